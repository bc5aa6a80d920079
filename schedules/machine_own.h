/*
 * What machine.c (facts, the end of a run), machine_enrol.c (who gets in) and
 * machine_steps.c (steps) share.
 */
#ifndef SCHEDULES_MACHINE_OWN_H
#define SCHEDULES_MACHINE_OWN_H

#include "schedules/machine.h"

struct machine {
    const struct situation *in;
    struct person_runs *person;
    GPtrArray *effects;
    const json_t *at_hand; /* the event that is being applied; NULL */
};

/* tell: takes the detail. */
struct effect *tell(struct machine *, enum effect_kind, const struct run *, const char *step, json_t *detail);
/* event_inputs: which it was, and its two times; NULL for none. */
json_t *event_inputs(const json_t *event);
struct sight sight_of(const struct machine *, const struct run *, const json_t *event);
/* leave_run: the run is over; it goes when the fact has been dealt with (run_is_over). */
void leave_run(struct machine *, struct run *, const char *reason, bool keep_message);
/* end_fact: what is over goes, and whoever stands in line for it begins. */
void end_fact(struct machine *);
bool run_is_over(const struct run *);

/* add_effect: what is about no run.  definition_of: of a run, NULL when it is not known. */
struct effect *add_effect(struct machine *, enum effect_kind, const char *sequence, const char *run, const char *step,
                          json_t *detail);
const struct sequence *definition_of(struct machine *, struct run *);
const struct zone *zone_of(const struct machine *, const struct sequence *);
/* standing_of: NULL for as usual.  is_paused: nothing is sent, and no wait ends by time. */
const json_t *standing_of(const struct machine *, const struct sequence *);
bool is_paused(const struct machine *, const struct sequence *);
/* concerns: an event of this name that happened, as far as a run is concerned, at or after `from`. */
bool concerns(const struct run *, const json_t *event, const char *name, int64_t from);

/* machine_enrol.c: who gets in.  enrol: an event would begin a run.  admit_next: whoever stands in line and may begin
 * now does.  door_due: when the door wants to be looked at again, -1 for never. */
void enrol(struct machine *, const struct sequence *, const json_t *event, bool again);
void admit_next(struct machine *);
/* check_line: what has happened makes it needless for somebody in line to begin. */
void check_line(struct machine *, const json_t *event);
int64_t door_due(struct machine *);
/* machine_waves.c: choose_wave: the one that a person who would enter now belongs to; NULL for none.  stand_at_door: a
 * run that has just begun waits for its wave, if that does not let everybody in.  is_at_door.  is_held: its wave is,
 * and it sends nothing.  note_answer: an event is an answer that the gate asks for. */
const struct wave *choose_wave(struct machine *, const struct sequence *, const json_t *event);
void stand_at_door(struct machine *, struct run *, const struct sequence *);
bool is_at_door(const struct run *);
bool is_held(const struct machine *, const struct run *, const struct sequence *);
void note_answer(struct machine *, const struct run *, const struct sequence *, const json_t *event);
/* has_place: the one of its account in the group is the run's that this event would begin, or there is none to have;
 * place_of: its name, NULL; g_free.  run_id: of that run. */
bool has_place(struct machine *, const struct sequence *, const char *key, const json_t *event);
void run_id(const struct machine *, const struct sequence *, const char *key, const json_t *event,
            char id[static MACHINE_ID_SIZE]);
char *place_of(const struct machine *, const struct sequence *);
void check_triggers(struct machine *, const struct sequence *, const json_t *event);
void check_profile(struct machine *, const json_t *was, const char *id, bool import);
void check_dates(struct machine *);

/* run_gathers: one more item for the collect in which it stands; false when its window is over.  run_gives_up: an event
 * that takes items out. */
bool run_gathers(struct machine *, struct run *, const struct sequence *, const json_t *event);
/* run_inherits: what the other one has gathered for the same digest. */
void run_inherits(struct machine *, struct run *, const struct sequence *, const struct run *other);
bool run_gives_up(struct machine *, struct run *, const struct sequence *, const json_t *event);
/* run_go: enters a step, and all behind it, until one waits.  NULL: the end. */
void run_go(struct machine *, struct run *, const struct sequence *, const struct step *);
/* run_matches: an event at hand is what the run waits for: it goes on, and true is returned. */
bool run_matches(struct machine *, struct run *, const struct sequence *, const json_t *event);
/* run_hears: notes what has become of a message; the step whose open message it was, NULL for none.  run_moves: what
 * follows from it; waited: it is the one that the run waits for. */
const struct step *run_hears(struct machine *, struct run *, const struct sequence *, const char *message,
                             const char *status, const char *reason);
void run_moves(struct machine *, struct run *, const struct sequence *, const struct step *mine, bool waited,
               const char *status, const char *reason);
/* run_engages: the same of what the person does with a message. */
void run_engages(struct machine *, struct run *, const struct sequence *, const char *message, const char *what);
/* run_timer: what it waited for did not come, or is over. */
void run_timer(struct machine *, struct run *, const struct sequence *);
/* run_resumed: pauses that have ended since move what it waits for, as the operator said. */
void run_resumed(struct machine *, struct run *, const struct sequence *);
/* run_replan: the person's clock, or a date, may be another one now; all: the definition, too. */
void run_replan(struct machine *, struct run *, const struct sequence *, bool all);

#endif
