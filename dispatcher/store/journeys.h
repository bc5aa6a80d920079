/*
 * Runs of sequences in the store: who has something to do, what the machine sees
 * of them, and the one step that writes what it made of that.
 *
 *   store_turn (a partition's people whose time has come, under a lease) ─┐
 *   store_look (one person, for an event) ────────────────────────────────┴─▶ machine ──▶ store_step
 *
 * A step is written whole or not at all: if somebody else has moved the person
 * since it was looked at, the answer is "race", and whoever asked looks again.
 */
#ifndef DISPATCHER_STORE_JOURNEYS_H
#define DISPATCHER_STORE_JOURNEYS_H

#include "dispatcher/store/batches.h"
#include "dispatcher/store/store.h"

/* All borrowed until the callback returns. */
struct seen_person {
    const char *recipient, *version, *runs; /* version and runs "" for none (schedules/run.h) */
    const char *profile;                    /* JSON, "" for none */
    const redisReply *kept, *unheard;       /* lists of JSON */
    const redisReply *consents;             /* field, entry, … */
    const redisReply *standings;            /* sequence, JSON, …, and "*", their number */
    const redisReply *ended;                /* list of JSON, NULL unless asked for */
};

/* What is asked in one turn of the loop is asked together: store_look joins batches of look_kind, store_step those of
 * step_kind (whose arg is the store).  person NULL: Redis is gone. */
extern const struct batch_kind look_kind, step_kind;
typedef void look_fn(void *arg, const struct seen_person *);
void store_look(struct batches *, const char *recipient, look_fn *, void *arg);

/* store_runs: what a person may read of their runs, the active ones first, then the newest that ended. */
void store_runs(struct store *, const char *recipient, json_fn *, void *arg);

struct turn {
    const struct seen_person *people;
    size_t count;
    int64_t next_due, next_lease; /* service and real time, -1 for none */
    bool late_wait;               /* late ones wait for their share */
    int late;                     /* how many of them were taken */
    const redisReply *said;       /* to accounts: JSON {"account","event"}, each until store_said */
};
/* turn NULL: Redis is gone. */
typedef void turns_fn(void *arg, const struct turn *);
/* late: what was due before that is late, and at most late_most of those are taken (-1: no limit). */
void store_turn(struct store *, int partition, int64_t lease_ms, int most, int64_t late, int late_most, turns_fn *,
                void *arg);

/* store_said: it has been. */
void store_said(struct store *, int partition, const char *what);

/* store_company: who belongs to an account: {"known": an event of this id has come before, "people": [id, …]}.
 * store_company_keep: keeps an event of it.  store_company_events: what is kept, oldest first. */
void store_company(struct store *, const char *account, const char *event_id, json_fn *, void *arg);
void store_company_keep(struct store *, const char *account, const char *event_id, const json_t *event, json_fn *,
                        void *arg);
void store_company_events(struct store *, const char *account, json_fn *, void *arg);

/* What a step writes; borrowed by store_step.  The lists are arguments of step.lua. */
struct step_of {
    const char *recipient, *version, *runs;
    int64_t due;
    const char *standings; /* their number as it was seen, "" for none */
    bool is_in;            /* in some sequence then, or at its door */
    bool looked;           /* what could end their runs was looked at; else a turn that was to come still comes */
    size_t taken;          /* how many unheard things were dealt with */
    const char *event_id;  /* of an event that must be new, "" for none */
    struct args *events, *messages, *cancels, *trace, *ended, *handed, *counts, *said, *marks, *known;
    int n_events, n_messages, n_cancels, n_trace, n_ended, n_handed, n_counts, n_said, n_marks, n_known;
};
enum stepped { STEPPED, STEP_RACE, STEP_KNOWN, STEP_GONE, STEP_FAILED }; /* FAILED: an error over this person */
/* cancelled, flying: lists of message ids, NULL unless STEPPED. */
typedef void stepped_fn(void *arg, enum stepped, const redisReply *cancelled, const redisReply *flying);
void store_step(struct batches *, const struct step_of *, stepped_fn *, void *arg);

/* store_trace: the decisions about a person's runs, [[ms, run, sequence, step, what, detail], …]. */
void store_trace(struct store *, const char *recipient, json_fn *, void *arg);
/* store_event_ids: of the events that they have been told of. */
void store_event_ids(struct store *, const char *recipient, json_fn *, void *arg);
/* store_runners: everybody with runs of a sequence (of one wave of it, "" for all), in portions; what is to be done to
 * the messages for which they wait is an op of runners.lua.  fn gets {"messages","in_flight","people":[id, …]} with all
 * of them. */
void store_runners(struct store *, const char *sequence, const char *wave, const char *op, json_fn *, void *arg);

/* store_ask_profiles: whether what happens to profiles is told to the runs, also of people who have none yet. */
void store_ask_profiles(struct store *, bool ask);

/* store_running: {sequence: runs under way}.  store_counted: {"sequence|version|held|step|what|word": how often}, of
 * one sequence.  Sums over partitions that are read one after the other: counters only grow, so each lies between the
 * truth at the beginning and at the end of the reading. */
void store_running(struct store *, json_fn *, void *arg);
void store_counted(struct store *, const char *sequence, json_fn *, void *arg);

/* store_definition_put: a definition by its version, for whoever goes on with a run of it; answers "ok" or NULL.
 * store_definition: its text, "" when there is none. */
void store_definition_put(struct store *, const char *version, const char *text, accept_fn *, void *arg);
void store_definition(struct store *, const char *version, accept_fn *, void *arg);

/* store_heard: an event has come, in words of a fixed few.  store_all_heard: the list of them. */
void store_heard(struct store *, const char *words);
void store_all_heard(struct store *, json_fn *, void *arg);

#endif
