/*
 * The machine of sequences: runs of one person and a fact in, runs and effects out.
 *
 * It knows no clock, no store and no chance: all it may know comes in the
 * situation, so the same facts always have the same effects, with the same ids.
 * A fact is an event, the end of a message, or merely that time has passed or the
 * person has changed.  Rules are named S1 to S66 in the format's description
 * (schedules/README.md).
 *
 *   event ──▶ each run, oldest first: goal, exit, what it waits for ──▶ triggers, by name
 *   time  ──▶ each run, oldest first: exit, life, what it waits for
 */
#ifndef SCHEDULES_MACHINE_H
#define SCHEDULES_MACHINE_H

#include "schedules/run.h"
#include "schedules/sequence.h"

/* How the machine tells what it did; each in the order in which it happened. */
#define EFFECT_TABLE(X)                                                                                                \
    X(ENROLLED, "enrolled")         /* key */                                                                          \
    X(NOT_ENROLLED, "not_enrolled") /* why */                                                                          \
    X(QUEUED, "queued")                                                                                                \
    X(DOOR, "door")         /* it waits until its wave lets it in */                                                   \
    X(RELEASED, "released") /* its wave lets it in */                                                                  \
    X(ANSWERED, "answered") /* with a score that the gate asks for */                                                  \
    X(MOVED, "moved")       /* it was another person's, who is this one */                                             \
    X(PASSED, "passed")     /* the place that it holds, which was another run's ({"run"}), or another person's */      \
    X(GIVEN, "given")       /* the place of many that it held: free again */                                           \
    X(SEND, "send")         /* the message as a door would bring it; its id */                                         \
    X(HOLDOUT, "holdout")   /* it would have been sent */                                                              \
    X(ENDED, "ended")       /* status of its message */                                                                \
    X(WAIT, "wait")         /* until when */                                                                           \
    X(LATE, "late")         /* what it comes too late for: go, skip or exit */                                         \
    X(PAST, "past")         /* go, exit, or the step */                                                                \
    X(ENGAGED, "engaged")   /* its message was read, or answered */                                                    \
    X(WAITED, "waited")                                                                                                \
    X(MATCHED, "matched") /* as */                                                                                     \
    X(TIMEOUT, "timeout")                                                                                              \
    X(BRANCH, "branch")       /* index of the arm, -1 */                                                               \
    X(PART, "part")           /* its name */                                                                           \
    X(GATHERED, "gathered")   /* an item: how many there are */                                                        \
    X(COLLECTED, "collected") /* the window has closed: how many */                                                    \
    X(ROUND, "round")         /* from 1 */                                                                             \
    X(MIGRATED, "migrated")   /* {"to": its step in the other version, "due": ms or null} */                           \
    X(STUCK, "stuck")         /* its step is not in the other version, or does another thing there */                  \
    X(SKIPPED, "skipped")                                                                                              \
    X(EMIT, "emit")       /* {"event", "data"} */                                                                      \
    X(COUNTED, "counted") /* its goal, after its end */                                                                \
    X(GOAL, "goal")                                                                                                    \
    X(LEFT, "left")           /* why */                                                                                \
    X(CANCELLED, "cancelled") /* the open message of a run that was left; its id */
enum effect_kind {
#define ROW(name, text) EFFECT_##name,
    EFFECT_TABLE(ROW)
#undef ROW
};
extern const char *const effect_names[];

#define MACHINE_ID_SIZE RUN_ID_SIZE

struct effect {
    enum effect_kind kind;
    char *sequence, *run, *step; /* run and step "" for none */
    char message[MACHINE_ID_SIZE];
    char version[VERSION_SIZE]; /* of the definition, "" where it is about no run */
    bool held_out;              /* the run hears nothing */
    char *wave;                 /* of the run; NULL */
    int64_t released, enrolled; /* of the run; -1: not yet */
    int64_t lapse;              /* ms: of a step that is over, and of a goal since the run's start; -1 */
    json_t *detail;             /* as the table says; NULL for none */
    json_t *inputs;             /* on what it was decided, for the trace (schedules/rerun.h); NULL */
    json_t *was;                /* of LEFT: the run as it was (run_json) */
};

/* A place of which there are only so many: in a wave, or the one of an account in a group. */
struct place {
    const char *name; /* "wave|portal|pilot", "group|acme|onboarding" */
    const char *home; /* whose partition knows it: the sequence, or the account */
    const char *run;  /* for which; "" for one that is the person's */
    int most;
    bool waits; /* who does not get it wants to be told when it is free */
};
/* ASKED: it is not known yet; the store is asked, and everything is thought again. */
enum place_answer { PLACE_HAS, PLACE_NONE, PLACE_ASKED };

struct situation {
    int64_t now; /* service time, ms */
    const char *recipient;
    const json_t *profile; /* NULL: unknown */
    const struct zone *zone;
    const struct almanac *almanac;
    json_t *kept;             /* events, oldest first, with the one at hand (run.h) */
    const GPtrArray *current; /* struct sequence, by name: what may begin */
    /* Definitions of runs under way, NULL: not known, then the run stands still; and ids from a seed. */
    const struct sequence *(*find)(void *arg, const char *name, const char *version);
    void (*make_id)(void *arg, const char *seed, char id[static MACHINE_ID_SIZE]);
    /* Whether the person may still be written to in what a sequence sends, lost: besides the channels of this step
     * (NULL for none); NULL: always. */
    bool (*may_hear)(void *arg, const struct sequence *, const struct step *lost);
    /* How a sequence stands; NULL, or the function is, for as usual: {"paused": "all" | "entry", "since": ms, "pauses":
     * [[from, to, how], …], "waves": {name: {"state": "open" | "held"}}}. */
    const json_t *(*standing)(void *arg, const struct sequence *);
    /* "granted", "withdrawn" or NULL; NULL, the function: nothing is known. */
    const char *(*consent)(void *arg, const char *category, const char *channel);
    /* Whether a place is this person's; NULL: always. */
    enum place_answer (*place)(void *arg, const struct place *);
    void *arg;
};

/* Each does its fact to the person; what has become due meanwhile waits for machine_look.  effects (struct effect,
 * freed by effect_free) are added to the list. */
void machine_event(const struct situation *, struct person_runs *, const json_t *event, GPtrArray *effects);
void machine_message(const struct situation *, struct person_runs *, const char *message, const char *status,
                     const char *reason, GPtrArray *effects);
/* machine_engaged: the person has read or answered a message. */
void machine_engaged(const struct situation *, struct person_runs *, const char *message, const char *what,
                     GPtrArray *effects);
/* machine_look: time has passed, or something that conditions look at has changed. */
void machine_look(const struct situation *, struct person_runs *, GPtrArray *effects);
/* machine_profile: a profile was written; was: as it was before, NULL for none; id: of the write, of which events are
 * made; import: it came with many others. */
void machine_profile(const struct situation *, struct person_runs *, const json_t *was, const char *id, bool import,
                     GPtrArray *effects);
/* machine_enroll: the event is an enrolment in this sequence alone, whatever its trigger; again: re-entry is not asked.
 */
void machine_enroll(const struct situation *, struct person_runs *, const struct sequence *, const json_t *event,
                    bool again, GPtrArray *effects);
/* machine_release: the wave of a run lets it in. */
void machine_release(const struct situation *, struct person_runs *, const char *run, GPtrArray *effects);
/* machine_migrate: runs of a sequence of another version (from: only of that one, NULL: of any) go on with this one;
 * map: old id → new id of a step, NULL for none. */
void machine_migrate(const struct situation *, struct person_runs *, const struct sequence *to, const char *from,
                     const json_t *map, GPtrArray *effects);
/* machine_leave: ends the runs of a sequence (NULL: all). */
void machine_leave(const struct situation *, struct person_runs *, const char *sequence, const char *reason,
                   GPtrArray *effects);

/* machine_replan: the definitions of today, where runs follow them, and the clocks of today: nothing else is done. */
void machine_replan(const struct situation *, struct person_runs *, GPtrArray *effects);
/* machine_move: they are somebody else from now on; machine_absorb: who takes over the runs of the one who has moved,
 * as they were then; emptied. */
void machine_move(const struct situation *, struct person_runs *, const char *into, GPtrArray *effects);
void machine_absorb(const struct situation *, struct person_runs *, const char *who, struct person_runs *from,
                    GPtrArray *effects);
/* machine_forget: nothing will be heard any more of what was sent to whoever they were. */
void machine_forget(const struct situation *, struct person_runs *, const char *who, GPtrArray *effects);

/* machine_due: the next instant at which it wants to look, -1 for never. */
int64_t machine_due(const struct situation *, const struct person_runs *);

void effect_free(struct effect *);
/* effect_text: detail as text, "" for none. */
const char *effect_text(const struct effect *);

/* bucket_of: of 10,000, the same for the same name and person for ever (SHA-256). */
int bucket_of(const char *name, const char *recipient);

#endif
