/*
 * What machine.c (facts, enrolment, the end of a run) and machine_steps.c (steps) share.
 */
#ifndef SCHEDULES_MACHINE_OWN_H
#define SCHEDULES_MACHINE_OWN_H

#include "schedules/machine.h"

struct machine {
    const struct situation *in;
    struct person_runs *person;
    GPtrArray *effects;
};

/* tell: takes the detail. */
struct effect *tell(struct machine *, enum effect_kind, const struct run *, const char *step, json_t *detail);
struct sight sight_of(const struct machine *, const struct run *, const json_t *event);
/* leave_run: the run is over; it goes when the fact has been dealt with (run_is_over). */
void leave_run(struct machine *, struct run *, const char *reason, bool keep_message);
bool run_is_over(const struct run *);

/* run_go: enters a step, and all behind it, until one waits.  NULL: the end. */
void run_go(struct machine *, struct run *, const struct sequence *, const struct step *);
/* run_matches: an event at hand is what the run waits for: it goes on, and true is returned. */
bool run_matches(struct machine *, struct run *, const struct sequence *, const json_t *event);
/* run_hears: notes what has become of a message; the step whose open message it was, NULL for none.  run_moves: what
 * follows from it. */
const struct step *run_hears(struct machine *, struct run *, const struct sequence *, const char *message,
                             const char *status, const char *reason);
void run_moves(struct machine *, struct run *, const struct sequence *, const struct step *mine, const char *status,
               const char *reason);
/* run_timer: what it waited for did not come, or is over. */
void run_timer(struct machine *, struct run *, const struct sequence *);
/* run_replan: the person's clock, or a date, may be another one now. */
void run_replan(struct machine *, struct run *, const struct sequence *);

#endif
