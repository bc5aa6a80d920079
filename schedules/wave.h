/*
 * Waves: a sequence lets people in group by group, and watches whether it does
 * them good before it goes on.
 *
 *   waves:
 *     order:                                            the first that a person meets is theirs, decided at enrolment
 *       - {name: pilot, where: COND, most: 50}
 *       - {name: rest, where: always, share: 5%, rate: 500/h, window: {at: "09:00", until: "17:00", only: workdays}}
 *     gate:
 *       settle: 72h                                     somebody counts so long after having been let in
 *       least: 30                                       fewer who count, no verdict
 *       hold: {bounced: 3%, complained: 0.3%, opted_out: 2%, failed: 5%}
 *       open: {goal: {above: 25%}, answered_score: {event, field, mean_above}, approve: true}
 *
 * A gate decides on evidence: it holds a wave when the lower bound (95 %) of what
 * did harm lies above its limit, also before people have settled, for harm only
 * grows; it opens the next one when the lower bound of the goal lies above its own.
 */
#ifndef SCHEDULES_WAVE_H
#define SCHEDULES_WAVE_H

#include <glib.h>

#include "schedules/condition.h"
#include "schedules/moment.h"

enum harm { HARM_BOUNCED, HARM_COMPLAINED, HARM_OPTED_OUT, HARM_FAILED, HARMS };
extern const char *const harm_names[]; /* NULL at the end */

struct wave {
    char *name;
    struct condition *where; /* NULL: always */
    int share;               /* of 10,000, drawn by sequence and wave */
    int most;                /* people; 0: no limit */
    double gap;              /* ms from one release to the next; 0: all at once */
    struct moment *window;   /* releases from this time of the day on; NULL: at any time */
    int until;               /* minutes after midnight at which the window closes; 1440: with the day */
};

struct gate {
    int64_t settle;
    int least;
    double hold[HARMS];  /* shares; below 0: none */
    bool opens;          /* there is something on which it opens */
    double goal_above;   /* share; below 0: none */
    char *event, *field; /* of the answers that have a score; NULL */
    double mean_above;
    bool approve; /* and a person says so: by the command that opens */
};

/* wave_read, gate_read: of a definition; complaints name what is wrong. */
struct wave *wave_read(struct complaints *, const char *at, const json_t *);
struct gate *gate_read(struct complaints *, const char *at, const json_t *);
void wave_free(void *wave);
void gate_free(struct gate *);

/* wave_opens_at: the instant (ms) from `now` on at which its window is open. */
int64_t wave_opens_at(const struct wave *, const struct zone *, const struct almanac *, int64_t now);

struct wave_figures {
    int64_t released, harmed[HARMS];  /* people, since the wave was opened last */
    int64_t settled, goals, answered; /* those who have settled, since it is there */
    double answers;                   /* sum of their scores */
};
enum verdict { VERDICT_UNDECIDED, VERDICT_HOLD, VERDICT_OPEN };
/* gate_judge: reasons: a list that gets a sentence for what decided, or for what is missing. */
enum verdict gate_judge(const struct gate *, const struct wave_figures *, json_t *reasons);

#endif
