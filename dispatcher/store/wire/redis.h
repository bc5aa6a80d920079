/*
 * One connection to Redis, on libev, that comes back by itself.
 *
 *   - Every call is answered exactly once, from the loop, never from inside the
 *     call: with the reply (borrowed until the callback returns), or with NULL
 *     when the outcome is unknown, because the connection is or was gone.
 *   - A server that does not answer within the timeout is a lost connection:
 *     replies are ordered, so nothing behind it can be trusted to come.
 *   - Errors that say "not now, not here" (LOADING, READONLY, OOM, MISCONF, NOAUTH …)
 *     also end the connection; it is tried again with growing waits, and whatever
 *     hangs on becoming ready (the journal) gets its turn when it is.
 */
#ifndef DISPATCHER_STORE_WIRE_REDIS_H
#define DISPATCHER_STORE_WIRE_REDIS_H

#include <ev.h>
#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>

struct redis;

struct redis_address {
    char *host, *path, *user, *password; /* path: a unix socket */
    int port, db;
};

typedef void redis_answer_fn(void *arg, const redisReply *reply);

struct redis_events {
    void (*up)(void *arg);
    void (*down)(void *arg, const char *why);
    void *arg;
};

/* redis_open: connects in the background; the address is borrowed.  timeout_s bounds every call, 0 for none. */
struct redis *redis_open(struct ev_loop *, const struct redis_address *, double timeout_s, struct redis_events);
void redis_close(struct redis *);

bool redis_is_up(const struct redis *);
/* redis_last_fault: why it is not up, for people. */
const char *redis_last_fault(const struct redis *);
/* redis_drop: gives the connection up and begins anew. */
void redis_drop(struct redis *, const char *why);

void redis_call(struct redis *, redis_answer_fn *, void *arg, int argc, const char **argv, const size_t *lens);

/* redis_subscribe: kept over reconnections; this connection can do nothing else. */
void redis_subscribe(struct redis *, int count, const char **channels,
                     void (*fn)(void *arg, const char *channel, const char *message), void *arg);

#endif
