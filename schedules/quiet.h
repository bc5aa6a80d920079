/*
 * Quiet hours: when a person is left alone.
 *
 * A rule is a daily span of wall clock time in the person's zone, from `from` up
 * to but not including `to`, over midnight when `from` is later; on chosen days
 * (the day on which the span begins); public holidays are quiet whole.
 */
#ifndef SCHEDULES_QUIET_H
#define SCHEDULES_QUIET_H

#include <stdbool.h>

#include "schedules/zone.h"

struct quiet {
    int from, to;          /* minutes after midnight; equal: no daily span */
    unsigned days;         /* bit 0 is Monday */
    const char **holidays; /* sorted "YYYY-MM-DD", borrowed; NULL or count 0 for none */
    int n_holidays;
};

/* quiet_clock: minutes after midnight from "21:00".  NULL when content, else a sentence. */
const char *quiet_clock(int *minutes, const char *text);

/* quiet_until: 0 when `now` (ms) is not quiet, else the first instant (ms) that is not, within a year;
 * *holiday says whether a holiday is the cause. */
int64_t quiet_until(const struct quiet *, const struct zone *, int64_t now, bool *holiday);

#endif
