/*
 * The store: the only room that speaks Redis.
 *
 * P partitions, fixed when the prefix is first used; every key of a recipient
 * lives in the partition of its id, so every script touches one slot.  Claims
 * are leases with a growing fence; the keys are listed in common.lua.
 *
 * Every call here is answered exactly once, from the loop.  An answer that is
 * NULL, or ok == false, means that Redis is gone and the outcome is unknown:
 * whoever asked lets go, and the lease, the retry of the caller or the journal
 * repeats it.  That is the one place where "Redis gone" is handled.
 */
#ifndef DISPATCHER_STORE_STORE_H
#define DISPATCHER_STORE_STORE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "dispatcher/base/vocab.h"
#include "dispatcher/config/config.h"
#include "dispatcher/base/ident.h"
#include "dispatcher/policy/policy.h"
#include "dispatcher/store/wire/redis.h"
#include "dispatcher/store/wire/script.h"

#define STORE_SCHEMA 1

enum durability { DURABILITY_MEMORY, DURABILITY_EVERYSEC, DURABILITY_FSYNC };

struct store {
    struct ev_loop *loop;
    struct redis *redis;
    char *prefix;
    int partitions;
    char *secret; /* of links and tokens: from the configuration, else from Redis */
    enum durability durability;
    bool ready;    /* connected, checked, clock set */
    char *fatal;   /* a complaint that no waiting mends: other partitions, eviction … */
    char *warning; /* unsafe settings, for `tidings check`; may be NULL */
    char *version; /* of the server */
    int64_t retain_messages_ms, retain_events_ms;
    void (*on_ready)(void *arg, bool ready);
    void *ready_arg;
    struct store_private *own;
};

/* store_open: connects in the background.  rate: service seconds a second to set, 0 to leave it.  NULL with *why (to be
 * freed). */
struct store *store_open(struct ev_loop *, const struct config *, double rate, char **why);
/* store_disconnect: answers everything that is open with NULL; nothing is asked after it.  store_close does the rest.
 */
void store_disconnect(struct store *);
void store_close(struct store *);

/* store_wait: runs the loop until ready; false with *why (to be freed) when fatal, after timeout_s, or when somebody
 * calls store_give_up meanwhile. */
bool store_wait(struct store *, double timeout_s, char **why);
void store_give_up(struct store *);

const char *store_fault(const struct store *);
const char *durability_name(enum durability);

/* store_script: a script in a partition; takes the args. */
void store_script(struct store *, int partition, const char *name, struct args *, redis_answer_fn *, void *arg);
/* store_command: one plain command; words are text. */
void store_command(struct store *, redis_answer_fn *, void *arg, int count, const char **words);
/* store_key: "<prefix>:<name>", for what belongs to no partition.  g_free. */
char *store_key(const struct store *, const char *name);
int store_partition(const struct store *, const char *name);

/* store_subscribe: a connection of its own; fn gets channel names without the prefix. */
void store_subscribe(struct store *, int count, const char **names,
                     void (*fn)(void *arg, const char *name, const char *message), void *arg);
/* store_connection: one more connection, for commands that block; closed with redis_close before the store. */
struct redis *store_connection(struct store *, double timeout_s, struct redis_events);

/* ---- pipeline.c: what the worker does ---- */

struct claimed {
    char message[MESSAGE_ID_SIZE];
    char letter, kind; /* kind and lane as accepted, whatever the policy says by now */
    enum lane lane;
    const char *body, *profile, *channels, *reason; /* borrowed until the callback returns; profile "" for none */
    size_t body_len;
    int attempts;
    int64_t fence, send_at, expires_at, due;
    int64_t planned;       /* when a gate let it go, 0 for none: what comes later than that, or than send_at, is late */
    int64_t unknown_since; /* no worker that had it knew its template or category; 0: not so */
};
struct claims {
    const struct claimed *list;
    int count, reclaimed;
    int64_t next_due[CHANNEL_COUNT]; /* service time, -1 for none; of late ones that wait for their turn: none */
    bool late_wait[CHANNEL_COUNT];   /* some of those do */
    int64_t next_lease;              /* real time, -1 for none */
    const char *const *to_give;      /* NULL at the end: account reservations, for store_account_give */
};
typedef void claim_fn(void *arg, bool ok, const struct claims *);
/* What a claim may take, by channel in the order of channel_letters. */
struct claim_limits {
    int64_t lease_ms, late_ms; /* real time; service time after which a message is late */
    int room[CHANNEL_COUNT];
    int late[CHANNEL_COUNT]; /* of it, for late ones of normal and low priority; -1: no limit */
};
void store_claim(struct store *, int partition, const struct claim_limits *, claim_fn *, void *arg);

struct admission_rule { /* one cap for one delivery */
    int rule, max;
    int64_t since, next, window;
};
struct admission {
    const char *message, *recipient, *category;
    const char *account, *role, *source; /* "" for none; account: only where its caps are asked next */
    char letter, kind;                   /* kind and lane as claimed */
    enum lane lane;
    int64_t fence;
    enum consent_rule consent;
    char later; /* 'p', 'q' or 0 */
    bool render_failed;
    struct admission_rule rules[CAPS_MAX + 1];
    int n_rules;
};
enum verdict {
    VERDICT_OK,
    VERDICT_GONE,
    VERDICT_CRASH,
    VERDICT_NO_CONSENT,
    VERDICT_OPTED_OUT,
    VERDICT_LATER,
    VERDICT_RENDER,
    VERDICT_CAP,
    VERDICT_WAIT /* another message of the person is just being decided: ask again soon */
};
struct admitted {
    enum verdict verdict;
    char consent; /* 'g', 'w' or 0 */
    int64_t consent_at;
    char counts[400]; /* "1=2,3=0": what each rule had counted */
    int rule;         /* from 0 */
    int64_t until;
};
/* A batch is filled, then run; the answer comes for each in order, or NULL. */
struct batch;

struct batch *admit_batch(const struct policy *);
void admit_add(struct batch *, const struct admission *);
void admit_read(const redisReply *, size_t i, struct admitted *);

/* The caps of accounts, in the partition of the account, once the person has been admitted; read with admit_read: ok,
 * gone or cap. */
struct batch *account_batch(const struct policy *);
void account_add(struct batch *, const struct admission *);
/* store_account_give: one of claims.to_give of a partition. */
void store_account_give(struct store *, int partition, const char *entry);

struct batch *commit_batch(void);
void commit_add(struct batch *, const char *message, char letter, int64_t fence, bool resend);

struct settlement {
    const char *message;
    char letter;
    int64_t fence;
    bool final;
    char code;          /* status letter of a final one */
    const char *reason; /* "" for none */
    int64_t due;
    bool burn, keep_cap, next_channel;
    bool denied;                /* by the account, which holds no place for it */
    const char *provider, *ref; /* "" for none */
    int64_t sent_at;
    const char *trace; /* JSON: [at, letter, [gate, verdict, detail], …] */
    const char *card;  /* in_app, else "" */
};
struct batch *settle_batch(const struct store *, const struct policy *);
void settle_add(struct batch *, const struct settlement *);

struct batch *lease_batch(bool renew, int64_t lease_ms);
void lease_add(struct batch *, const char *message, char letter, int64_t fence);

/* batch_run: takes the batch. */
void batch_run(struct store *, int partition, struct batch *, redis_answer_fn *, void *arg);

/* store_suppressed: the entry of an address, NULL for none, and how often it was refused for a while (soft). */
typedef void suppressed_fn(void *arg, bool ok, const char *entry, int soft);
void store_suppressed(struct store *, const char *address, suppressed_fn *, void *arg);
/* store_soft_bounce: one more of those; so many, each within_ms of the last, put the entry in place for ttl_ms.
 * store_arrived: half of them are forgotten; store_forget_soft: all.  Nobody waits for these. */
void store_soft_bounce(struct store *, const char *address, const json_t *entry, int64_t ttl_ms, int64_t within_ms,
                       int max);
void store_arrived(struct store *, const char *address);
void store_forget_soft(struct store *, const char *address);

/* store_rules: the version of the rules that this worker goes by from now on.  Where it is another one than before,
 * what waits because of a gate is due again in all partitions, in portions; else what waits for a template.  changed:
 * this worker has gone by other rules until now, and may have put things off by them after somebody else looked. */
void store_rules(struct store *, const char *version, bool changed);

/* ---- messages.c ---- */

struct acceptance {
    char id[MESSAGE_ID_SIZE];
    const char *recipient, *body, *category, *supersede, *source; /* the last two "" for none */
    size_t body_len;
    char kind, strategy; /* t s m; a f */
    char channels[CHANNEL_COUNT + 1];
    enum lane lane;
    int64_t send_at, expires_at;
    const char *local;                     /* "2026-12-01T09:00|ttl", "" unless the time was given in local time */
    const char *profile_was, *profile_new; /* profile_new "": leave it */
};
/* Answers "ok", "dup", "race", or NULL. */
typedef void accept_fn(void *arg, const char *answer);
void store_accept(struct store *, const struct acceptance *, accept_fn *, void *arg);
/* Answers "" when new, "other", id|send_at, or NULL. */
/* What a key holds, "hash|id|send_at", or ""; NULL when Redis is gone. */
void store_key_holder(struct store *, const char *key, accept_fn *, void *arg);
void store_reserve(struct store *, const char *key, const char *hash, const char *id, int64_t send_at, accept_fn *,
                   void *arg);

/* One message as JSON of contract 5, or NULL with known == false when there is none. */
typedef void message_fn(void *arg, bool ok, json_t *message);
enum show { SHOW_BRIEF, SHOW_TRACE };
void store_show(struct store *, const char *id, enum show, message_fn *, void *arg);

/* Status letters and their names. */
const char *status_name(char code);
bool status_is_final(char code);

/* Results of a cancel: {"cancelled":[ids],"in_flight":[],"already_sent":[],"final":[],"unknown":[]} */
typedef void json_fn(void *arg, bool ok, json_t *result);
void store_cancel_ids(struct store *, const json_t *ids, json_fn *, void *arg);
void store_cancel_recipient(struct store *, const char *recipient, const char *category, json_fn *, void *arg);

/* {"pending":[messages],"past":[messages]} */
void store_timeline(struct store *, const char *recipient, int limit, enum show, json_fn *, void *arg);
/* Which messages are meant; each NULL for all.  tag is "key:value". */
struct message_filter {
    const char *status, *category, *template, *source, *tag;
    const char *recipient;
};
bool message_fits(const struct message_filter *, const json_t *message);
/* One page over all messages: {"messages":[…],"cursor":"…" or null}.  Its cost is bounded: a page may have less than it
 * could, even nothing, and a cursor all the same. */
typedef bool left_fn(void *arg); /* nobody waits for the page any more: what there is of it is enough; may be NULL */
void store_list(struct store *, const struct message_filter *, int limit, const char *cursor, left_fn *, json_fn *,
                void *arg);
/* {"channels":{"email":{…}},"leases":n,"dead":n,"lag_seconds":x} */
void store_queue(struct store *, json_fn *, void *arg);

/* ---- people.c ---- */

/* The profile as text, "" for none, NULL when Redis is gone. */
typedef void profile_fn(void *arg, const char *profile);
void store_profile(struct store *, const char *recipient, profile_fn *, void *arg);
/* Answers "ok", "race" or NULL; now "" deletes. */
void store_profile_put(struct store *, const char *recipient, const char *was, const char *now, accept_fn *, void *arg);
void store_erase(struct store *, const char *recipient, json_fn *, void *arg);

struct consent_entry {
    const char *recipient, *category; /* category may be "*" */
    char letter;                      /* or '*' */
    char state;                       /* g granted, w withdrawn, p pending until it is confirmed */
    int64_t at;                       /* ms; -1: now */
    bool history;                     /* an import: a withdrawal holds from its own instant, not from its arrival */
    const char *exempt;               /* ",account," */
    const json_t *entry;              /* what the ledger keeps */
};
/* The receipt of contract 6 for a withdrawal, {"granted":true} for a grant, {"pending":true} for one to be confirmed.
 */
void store_consent(struct store *, const struct consent_entry *, json_fn *, void *arg);
void store_consents(struct store *, const char *recipient, json_fn *, void *arg);

void store_suppress(struct store *, const char *address, const json_t *entry, int64_t ttl_ms, json_fn *, void *arg);
void store_unsuppress(struct store *, const char *address, json_fn *, void *arg);
void store_suppression(struct store *, const char *address, json_fn *, void *arg);
void store_suppressions(struct store *, json_fn *, void *arg);

/* Whose address it is, for those who must know whether somebody else has it: more may be named than have it now. */
void store_address_claim(struct store *, const char *address, const char *recipient);
void store_address_leave(struct store *, const char *address, const char *recipient);
/* [recipient, …] */
void store_address_holders(struct store *, const char *address, json_fn *, void *arg);

/* store_civil: a person's pending messages whose time was given in local time: [{"id","local","at"}]. */
void store_civil(struct store *, const char *recipient, json_fn *, void *arg);
/* store_replan: [{"id","was","at"}]: what still waits for `was` goes at `at` instead. */
void store_replan(struct store *, const char *recipient, const json_t *moves, json_fn *, void *arg);

/* ---- inbox.c ---- */

void store_inbox_list(struct store *, const char *recipient, int limit, const char *before, const char *state,
                      json_fn *, void *arg);
/* op: read, seen, archive; id "*" for all.  {"known":bool,"unread":n,"unseen":n,"version":n} */
void store_inbox_mark(struct store *, const char *recipient, const char *op, const char *id, json_fn *, void *arg);

/* ---- dead.c ---- */

/* What could not be accepted: its bytes and the reason. */
void store_bury(struct store *, const char *source, const char *reason, const char *bytes, size_t len, json_fn *,
                void *arg);
/* [{"id","at","kind":"ingest"|"delivery","reason","detail"}] */
void store_dead_list(struct store *, int limit, json_fn *, void *arg);
/* One buried entry with its bytes, or null. */
void store_dead_show(struct store *, const char *id, json_fn *, void *arg);
/* store_dead_erase: forgets every buried entry that holds one of the texts. */
void store_dead_erase(struct store *, const GPtrArray *texts, json_fn *, void *arg);
void store_dead_forget(struct store *, const char *id, json_fn *, void *arg);
void store_dead_redrive(struct store *, const char *delivery, json_fn *, void *arg);

/* ---- journal.c: results that Redis could not take ---- */

struct journal;
/* journal_open: below data_dir, one file a process; what dead processes left is taken over.  NULL with *why (to be
 * freed). */
struct journal *journal_open(const char *data_dir, char **why);
/* journal_add: one settlement, on disk when it returns.  False when the disk does not take it; then it is kept in
 * memory only. */
bool journal_add(struct journal *, const struct settlement *);
/* journal_replay: settles everything in it once the store is ready; called whenever it becomes so. */
void journal_replay(struct journal *, struct store *, const struct policy *);
int journal_count(const struct journal *);
void journal_close(struct journal *);

#endif
