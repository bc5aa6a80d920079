/*
 * Sending windows: spans of wall clock time in which messages may go, in the
 * person's zone; several a day, on chosen days, over midnight when `from` is
 * later than `to` (then the day is the one on which the window opens).
 */
#ifndef SCHEDULES_WINDOW_H
#define SCHEDULES_WINDOW_H

#include "schedules/zone.h"

struct window {
    int from, to;  /* minutes after midnight; from is in it, to is not */
    unsigned days; /* bit 0 is Monday */
};

/* window_opens: 0 when one of them is open at `now` (ms), else the next instant (ms) at which one opens; -1 when none
 * ever does. */
int64_t window_opens(const struct window *, int count, const struct zone *, int64_t now);

#endif
