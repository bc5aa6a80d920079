/*
 * Quiet hours: when a person is left alone.
 *
 * A rule is a daily span of wall clock time in the person's zone, from `from` up
 * to but not including `to`, over midnight when `from` is later; on chosen days
 * (the day on which the span begins); public holidays and the company's own
 * blackout days are quiet whole.
 */
#ifndef SCHEDULES_QUIET_H
#define SCHEDULES_QUIET_H

#include <stdbool.h>

#include "schedules/zone.h"

struct day_list {
    const char **dates; /* sorted "YYYY-MM-DD", borrowed */
    int count;
};

/* day_list_has: the day of a civil time is in the list. */
bool day_list_has(const struct day_list *, const struct civil *);

struct quiet {
    int from, to;  /* minutes after midnight; equal: no daily span */
    unsigned days; /* bit 0 is Monday */
    struct day_list holidays, blackout;
};

enum quiet_cause { QUIET_NONE, QUIET_HOURS, QUIET_HOLIDAY, QUIET_BLACKOUT };

/* quiet_clock: minutes after midnight from "21:00".  NULL when content, else a sentence. */
const char *quiet_clock(int *minutes, const char *text);

/* quiet_until: 0 when `now` (ms) is not quiet, else the first instant (ms) that is not, within a year; *cause is what
 * stands in the way at `now`. */
int64_t quiet_until(const struct quiet *, const struct zone *, int64_t now, enum quiet_cause *cause);

#endif
