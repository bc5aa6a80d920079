/*
 * When a person may be reached: quiet hours, public holidays, blackout days and
 * sending windows, as one answer.
 */
#ifndef DISPATCHER_POLICY_REACH_H
#define DISPATCHER_POLICY_REACH_H

#include "dispatcher/policy/policy.h"

/* Who is to be reached, and how. */
struct reach {
    const struct category *category;
    enum channel channel;
    const struct zone *zone;
    const char *region; /* whose holidays hold, a key of the file; NULL or unknown: the configured one */
};

/* policy_reach: 0 when they may be reached at `now` (ms), else the first instant at which they may, -1 when there is
 * none within a year; *cause is what stands in the way at `now`: "hours", "holiday", "blackout" or "window". */
int64_t policy_reach(const struct policy *, const struct reach *, int64_t now, const char **cause);

/* policy_opening: for what comes too late: the first instant after `now` at which a time begins when they may be
 * reached; where none begins within a week, the next one that has the clock time of `planned`. */
int64_t policy_opening(const struct policy *, const struct reach *, int64_t now, int64_t planned);

/* policy_spread: when after an opening a deferred message goes: within the configured time and before it closes again,
 * high priority in the first third, low in the last; the same for the same id. */
int64_t policy_spread(const struct policy *, const struct reach *, int64_t opening, enum lane, const char *id);

/* policy_days: the holidays and blackout days that hold in a region (NULL or unknown: the configured one); borrowed. */
void policy_days(const struct policy *, const char *region, struct day_list *holidays, struct day_list *blackout);

#endif
