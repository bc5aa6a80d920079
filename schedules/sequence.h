/*
 * Sequences: a definition, read and checked.
 *
 * A definition is a file of schedules/ as JSON: trigger, goal, exit, re-entry and
 * steps.  It has no cycles but `repeat`, which is bounded, so each run ends.
 * Reading knows nothing of templates, people and the store; whoever knows them
 * checks the rest (journeys/check.h).
 *
 * A version is the first 12 hex digits of the SHA-256 of its JSON with sorted
 * keys, without title: a comment or a new title make no new version.
 */
#ifndef SCHEDULES_SEQUENCE_H
#define SCHEDULES_SEQUENCE_H

#include "schedules/condition.h"
#include "schedules/moment.h"
#include "schedules/span.h"
#include "schedules/wave.h"

enum step_kind {
    STEP_SEND,
    STEP_WAIT,
    STEP_WAIT_FOR,
    STEP_BRANCH,
    STEP_SPLIT,
    STEP_REPEAT,
    STEP_COLLECT,
    STEP_EMIT,
    STEP_END,
    STEP_KINDS
};
extern const char *const step_kind_names[]; /* "send" …, NULL at the end */

struct arm {
    char *name;             /* of then: an `as`, "timeout", or a part; NULL else */
    struct condition *when; /* of branch; NULL: else */
    int upto;               /* of split: the part has the buckets below, of 10,000 */
    struct step *first;     /* NULL: nothing to do */
};

enum awaited_kind { AWAIT_EVENT, AWAIT_MESSAGE };
struct awaited {
    enum awaited_kind kind;
    char *name; /* of the event, or of the step whose message it is */
    struct condition *where;
    char *is; /* of a message: sent, delivered, … */
    char *as; /* NULL: no arm */
};

struct step {
    char *id;
    char *at; /* where it stands in the file, for complaints */
    enum step_kind kind;
    struct condition *when;
    struct step *next, *up; /* in its list; the one in whose arm it is */
    GPtrArray *arms;        /* struct arm: branch, split, wait_for; of repeat one */

    json_t *message;            /* send: template, channels, strategy, category, priority, supersede as written */
    json_t *data;               /* send, emit: key → literal or {"from", "default"} */
    int64_t ttl;                /* send: ms */
    bool at_once, leave_failed; /* send: done when enqueued; on_failed: exit */
    struct moment *moment;      /* wait; wait_for: its timeout */
    GPtrArray *awaited;         /* wait_for */
    struct since since;         /* wait_for */
    int64_t grace;              /* wait_for */
    char *name;                 /* split: of the draw; emit: of the event; end: the reason */
    int max;                    /* repeat */
    struct condition *until;    /* repeat */
    struct collect *collect;    /* collect; its window, where it is one: moment */
};

/* A digest gathers triggers of its run's key until its window closes. */
struct collect {
    int64_t quiet, most_time;   /* ms, where there is no moment: so long after the last one, and at most */
    int most, keep;             /* closes early; so many of the newest are handed on */
    char *remove, *match;       /* an event that takes out what has the same value at this path */
    json_t *first, *first_data; /* a message that the opener hears of at once; NULL for none */
};

enum trigger_kind { TRIGGER_EVENT, TRIGGER_ENTERS, TRIGGER_CHANGES, TRIGGER_DATE, TRIGGER_DOOR };
struct trigger {
    enum trigger_kind kind;
    char *event;
    struct condition *where; /* of the event; what the profile enters */
    int64_t late;            /* of an event */
    char *path;              /* of the profile: what changes */
    json_t *from, *to;       /* NULL for any */
    struct moment *moment;   /* of a date */
    bool yearly, leap_in_march;
    int64_t missed; /* ms: what lies so long back is made up for */
    bool imports;   /* imports count, too */
};

struct entry {
    struct condition *unless;
    int max; /* 0: no limit */
    struct span per;
    bool queues; /* over the limit: waits at the door, else is turned away */
};

enum on_conflict { CONFLICT_QUEUE, CONFLICT_SKIP, CONFLICT_REPLACE };
struct group {
    char *name;
    bool of_account; /* one for all people of an account, else for a person */
    enum on_conflict on_conflict;
    int priority;
};

struct goal {
    char *event, *from; /* from: NULL for the whole run */
    struct condition *where;
    int64_t before; /* ms before the run's start that count, too */
    int64_t within; /* ms after the run's end in which it still counts */
    bool ends;
};

struct leave {
    char *event;            /* NULL: when or changed */
    char *changed;          /* path */
    struct condition *when; /* where of the event; when */
    char *reason;
    bool keep_messages;
};

enum reentry { REENTRY_NEVER, REENTRY_ALWAYS, REENTRY_AFTER };
enum while_running { RUNNING_IGNORE, RUNNING_RESTART, RUNNING_PARALLEL, RUNNING_QUEUE };

struct sequence {
    char *name, *title, *category, *source, *priority;
    char version[VERSION_SIZE];
    json_t *definition;  /* as read */
    GPtrArray *triggers; /* struct trigger */
    struct entry *entry; /* NULL for none */
    struct group *group;
    GPtrArray *waves;        /* struct wave, in their order; empty: everybody begins at once */
    struct gate *gate;       /* of the waves; NULL */
    const struct zone *zone; /* NULL: the person's */
    int64_t late_max;        /* a step that comes later than that after its time; -1: never too late */
    enum { LATE_GO, LATE_SKIP, LATE_EXIT } late_then;
    bool follows; /* runs of earlier versions go on with this one */
    char *key;    /* path in the trigger's event, NULL for none */
    enum reentry reentry;
    int64_t reentry_after;
    int64_t remember; /* of {per}: so long a key is known; 0: for ever */
    enum while_running while_running;
    struct goal *goal; /* NULL for none */
    GPtrArray *leaves; /* struct leave: exit */
    char *holdout;     /* name of the draw, NULL for none */
    int holdout_share; /* of 10,000 */
    bool stays_opted_out;
    int64_t life, ttl;
    struct step *first;
    GPtrArray *steps;   /* all of them, in the order of the file */
    GHashTable *events; /* names of events that it looks at */
    GHashTable *asked;  /* ids of steps whose outcome something looks at */
    bool asks_account;  /* something looks at events of the account */
    bool asks_trigger;  /* something looks at the trigger's data */
};

/* sequence_read: of JSON; NULL after an error.  name: what `sequence:` must say, the file's name. */
struct sequence *sequence_read(struct complaints *, const char *name, const json_t *);
void sequence_free(struct sequence *);

/* sequence_wave: by name, NULL when there is none. */
const struct wave *sequence_wave(const struct sequence *, const char *name);

/* sequence_step: by id, NULL when there is none. */
struct step *sequence_step(const struct sequence *, const char *id);

/* step_after: what comes when a step is done: the next of its list, else that of the one around it; a repeat that is
 * around it comes itself. */
struct step *step_after(const struct step *);

/* sequence_longest: the longest way through: ms of its waits, messages; open: it waits for a date in the data, too. */
struct longest {
    int64_t ms;
    int messages;
    bool open;
};
struct longest sequence_longest(const struct sequence *);

#endif
