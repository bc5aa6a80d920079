/*
 * What a worker asks of a partition, from claim to settlement, in batches; and the
 * rules it goes by.
 */
#ifndef DISPATCHER_STORE_PIPELINE_H
#define DISPATCHER_STORE_PIPELINE_H

#include "dispatcher/store/store.h"

struct claimed {
    char message[MESSAGE_ID_SIZE];
    char letter, kind; /* kind and lane as accepted, whatever the policy says by now */
    enum lane lane;
    const char *state, *body, *profile, *channels, *reason,
        *journey; /* borrowed until the callback returns; profile "" for none; journey: "run|sequence|step", "" for none
                   */
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
    int64_t
        yield_ms; /* service time for which what no worker knew so far is left to the others; 0: this one knows all */
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
    int64_t stops; /* number of the list of stops by which it was judged */
    char later;    /* 'p', 'q' or 0 */
    bool render_failed;
    const char *state, *next; /* as Redis has it, as far as is known, and as it becomes; "" for unknown (shortcut.h) */
    char commit; /* 'r' or 'h', what a lost outcome means, where it is handed over at once when admitted; else 0 */
    struct admission_rule rules[CAPS_MAX + 1];
    int n_rules;
};
enum verdict {
    VERDICT_OK,
    VERDICT_CHANGED, /* admitted, though its state was not as believed, and is not now */
    VERDICT_GONE,
    VERDICT_CRASH,
    VERDICT_NO_CONSENT,
    VERDICT_OPTED_OUT,
    VERDICT_LATER,
    VERDICT_RENDER,
    VERDICT_CAP,
    VERDICT_WAIT,  /* another message of the person is just being decided: ask again soon */
    VERDICT_STOPS, /* there is a newer list of stops, number `until`: read it, and ask again */
};
struct admitted {
    enum verdict verdict;
    char consent; /* 'g', 'w' or 0 */
    int64_t consent_at;
    char counts[400]; /* "1=2,3=0": what each rule had counted */
    int rule;         /* from 0 */
    int64_t until;
};
/* A batch is filled, then run; the answer comes for each in order, or NULL.  batch_new: of a script; NULL: its
 * arguments are a plain command, whose second word is a key of the partition. */
struct batch;
struct batch *batch_new(const char *script);
struct args *batch_args(struct batch *);

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
/* commit_add: on_lost, stops, state and next as of an admission. */
void commit_add(struct batch *, const char *message, char letter, int64_t fence, char on_lost, int64_t stops,
                const char *state, const char *next);

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

/* Those that were sent, the short way (shortcut_sent); answered 0, the settlement is to be told the long way. */
struct sent {
    const struct settlement *settlement;
    const char *recipient, *state, *next;
    int64_t ended, send_at;
    bool closes;
};
struct batch *sent_batch(const struct store *, const struct policy *);
void sent_add(struct batch *, const struct sent *);

struct batch *lease_batch(bool renew, int64_t lease_ms);
void lease_add(struct batch *, const char *message, char letter, int64_t fence);

/* batch_run: takes the batch. */
void batch_run(struct store *, int partition, struct batch *, redis_answer_fn *, void *arg);

/* store_rules: the version of the rules that this worker goes by from now on.  Where it is another one than before,
 * what waits because of a gate is due again in all partitions, in portions; else what waits for a template.  changed:
 * this worker has gone by other rules until now, and may have put things off by them after somebody else looked. */
void store_rules(struct store *, const char *version, bool changed);
/* store_look_again: what waits because of a gate is due again in all partitions, in portions. */
void store_look_again(struct store *);

#endif
