/*
 * Runs: what is kept of a person's sequences, and its form in the store.
 *
 * All runs of a person, and what must be remembered of earlier ones, are one
 * text (JSON with short keys); a run that waits takes some 250 bytes of it.
 * Kept events are a JSON array, oldest first: {"i": id, "n": name, "t": when it
 * happened, "a": when it came, "d": data, "b": true for history, "g": the message that it
 * answers}.
 */
#ifndef SCHEDULES_RUN_H
#define SCHEDULES_RUN_H

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define RUN_ID_SIZE  27
#define KEPT_MOST    200 /* events that are kept of a person */
#define VERSION_SIZE 13  /* of a definition: 12 hex digits of its SHA-256 */

struct run {
    char id[RUN_ID_SIZE], version[VERSION_SIZE];
    char *sequence, *key; /* key "" for none */
    int64_t started;      /* when the event that began it happened */
    int64_t enrolled;     /* when it was enrolled, service time */
    char *trigger_id;     /* of that event, which satisfies nothing in it */
    json_t *trigger;      /* its data; NULL when nothing in the definition looks at it */
    char *step;           /* where it stands */
    int visit;            /* how many steps it has entered; makes the ids of messages */
    int64_t entered;      /* when it came to that step */
    int64_t due;          /* when the step is over by itself, -1: never; the deadline with its grace */
    int64_t deadline;     /* of wait_for: what happened later does not count; -1 */
    char *message;        /* the open message, NULL */
    char *sender;         /* the step that sent it */
    char *author;         /* who they were when it was sent, before they were merged; NULL */
    json_t *open;         /* by id: step of the messages that it does not wait for, and would cancel */
    json_t *steps;        /* by id: what became of them, as far as the definition asks: {"status":…, "matched":…} */
    json_t *rounds;       /* by id of a repeat: rounds begun */
    json_t *watched;      /* by path: values of the person at enrolment whose change ends the run */
    int64_t resumed;      /* the end of the last pause that it knows of */
    int hops;             /* of the event that began it: how many sequences handed it on */
    json_t *gathered;     /* {"items": […], "opened", "last"}: of the collect in which it stands; NULL */
    char *wave;           /* the one in which they are let in; NULL */
    int64_t released;     /* since when; -1: they stand at its door */
    char *place;          /* the one that they hold while it lasts, of so many there are; NULL */
    bool opened;          /* the trigger itself has been an item */
    bool sent;            /* it has sent something */
    bool yielded;         /* it stands before its step, and goes on with it in the next turn */
    bool goal, goal_open; /* reached; may count from now on */
    bool held_out;
};

/* What waits at the door: a trigger whose run may not begin yet. */
struct standing {
    char *sequence, *key;
    json_t *event; /* as kept */
};

struct person_runs {
    GPtrArray *runs;  /* struct run, oldest first */
    GPtrArray *queue; /* struct standing, oldest first */
    GPtrArray *ended; /* struct run: over, but its goal may still be counted, until its `due` */
    json_t *entries;  /* sequence → when its last runs began, for the limit of entries */
    json_t *watches; /* sequence → {"v": date, "d": when it is due, -1; "o": the day it is about}: triggers by date */
    char *moved;     /* who they are now: nothing is done here any more but to tell them; NULL */
    json_t *merged; /* whoever they were before → how much was heard of them there when it was taken over; below 0: they
                       are about to become this one, since then (real ms, negative) */
    json_t *seen;   /* sequence → key → when its last run started; what "never" and "after" ask */
};

/* person_read: of a text; "" is nobody's.  NULL when it is none of ours.  person_write: the text, "" when nothing needs
 * to be kept; free() it. */
struct person_runs *person_read(const char *text);
char *person_write(const struct person_runs *);
void person_free(struct person_runs *);
/* person_empty: all but who they are now. */
void person_empty(struct person_runs *);

struct run *run_new(void);
void run_free(struct run *);
/* run_json: as a person may read it: {"id","sequence","version","key","started","step",…}. */
json_t *run_json(const struct run *);

struct standing *standing_new(const char *sequence, const char *key, json_t *event);
void standing_free(struct standing *);

/* kept_text, kept_time: a field of a kept event. */
const char *kept_text(const json_t *event, const char *key);
int64_t kept_time(const json_t *event, const char *key);

#endif
