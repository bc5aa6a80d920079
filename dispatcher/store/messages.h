/*
 * Messages: accepted and shown; and the queue of them as figures.
 */
#ifndef DISPATCHER_STORE_MESSAGES_H
#define DISPATCHER_STORE_MESSAGES_H

#include "dispatcher/store/batches.h"
#include "dispatcher/store/store.h"

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
    const char *journey;                   /* "run|sequence|step" of what sends it, "" for none */
};
/* acceptance_args: appends the arguments of one to those of a script that accepts. */
void acceptance_args(struct args *, const struct acceptance *);
/* What is accepted in a turn of the loop is written together: store_accept joins batches of accept_kind (whose arg is
 * the store).  Answers "ok", "dup", "race", or NULL. */
extern const struct batch_kind accept_kind;
void store_accept(struct batches *, const struct acceptance *, accept_fn *, void *arg);
/* What a key holds, "hash|id|send_at", or ""; NULL when Redis is gone. */
void store_key_holder(struct store *, const char *key, accept_fn *, void *arg);
/* Answers "" when new, "other", id|send_at, or NULL. */
void store_reserve(struct store *, const char *key, const char *hash, const char *id, int64_t send_at, accept_fn *,
                   void *arg);

/* One message as JSON of contract 5, or NULL with known == false when there is none. */
typedef void message_fn(void *arg, bool ok, json_t *message);
enum show { SHOW_BRIEF, SHOW_TRACE };
void store_show(struct store *, const char *id, enum show, message_fn *, void *arg);

/* {"pending":[messages],"past":[messages],"runs":[runs of sequences]} */
void store_timeline(struct store *, const char *recipient, int limit, enum show, json_fn *, void *arg);
/* {"channels":{"email":{…}},"leases":n,"dead":n,"lag_seconds":x} */
void store_queue(struct store *, json_fn *, void *arg);

#endif
