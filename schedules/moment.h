/*
 * Moments: when a wait is over.
 *
 *   "2d"                                  elapsed: 48 hours, whatever the clocks do
 *   {at: "09:00"}                         the next 09:00 on the person's wall clock, strictly ahead
 *   {days: 2, at: "09:00", only: workdays}  that many local dates later, then on to the next day that is allowed
 *   {until: PATH, before: 7d, at: "09:00"}  a date in the data, whole local days before or after it; without `at`
 *                                           elapsed time
 *
 * A local time that a change of the clocks skips, or that exists twice, is read by the rule of zone.h.
 */
#ifndef SCHEDULES_MOMENT_H
#define SCHEDULES_MOMENT_H

#include "schedules/complaints.h"
#include "schedules/quiet.h"

enum moment_kind { MOMENT_ELAPSED, MOMENT_CALENDAR, MOMENT_UNTIL };
enum moment_past { PAST_GO, PAST_EXIT, PAST_STEP };

struct moment {
    enum moment_kind kind;
    int64_t ms;    /* elapsed; of until: what is added to the value, negative for before */
    int days;      /* calendar; of until with a clock time: whole days, negative for before */
    int at;        /* minutes after midnight, -1: none given */
    unsigned only; /* days that are allowed, bit 0 is Monday; 0x7f: all */
    bool workdays; /* and holidays are not */
    char *path;    /* until */
    enum moment_past past;
    char *past_step;
};

/* What days are none on which people work, besides Saturday and Sunday. */
struct almanac {
    struct day_list holidays, blackout;
};

/* moment_read: of a definition; complaints name what is wrong, and the moment may be used for nothing but moment_free
 * then.  allows_until: a date in the data may be waited for. */
struct moment *moment_read(struct complaints *, const char *at, const json_t *, bool allows_until);
void moment_free(struct moment *);

/* moment_is_local: the instant depends on the person's zone, and is computed anew when that changes. */
bool moment_is_local(const struct moment *);

/* moment_due: the instant (ms) for a wait that began at `entered`; value: what stands at the path, NULL for nothing.
 * -1: there is no such instant (the value is missing or no time). */
int64_t moment_due(const struct moment *, int64_t entered, const struct zone *, const struct almanac *,
                   const json_t *value);

/* moment_longest: ms that it lasts at most, as far as can be said: for the longest path; -1 for until. */
int64_t moment_longest(const struct moment *);

/* time_read: RFC 3339, or a date ("2026-12-31", midnight in the zone).  False when it is neither. */
bool time_read(int64_t *ms, const json_t *value, const struct zone *);

#endif
