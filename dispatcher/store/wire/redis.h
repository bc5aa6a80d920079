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
 *   - Where it is to wait for replicas, no answer is told before so many of them
 *     have all that was written up to it (WAIT); when they do not say so in time,
 *     the answer is NULL, and the connection is made anew.
 */
#ifndef DISPATCHER_STORE_WIRE_REDIS_H
#define DISPATCHER_STORE_WIRE_REDIS_H

#include <ev.h>
#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>

#include "dispatcher/store/wire/address.h"

struct redis;

typedef void redis_answer_fn(void *arg, const redisReply *reply);

struct redis_events {
    void (*up)(void *arg);
    void (*down)(void *arg, const char *why);
    void (*heard)(void *arg, const redisReply *); /* what answers no call; may be NULL */
    void *arg;
};

/* Where to connect to, asked each time; false with *why (a literal): not known yet. */
typedef bool redis_where_fn(void *arg, struct redis_place *, const char **why);

struct redis_options {
    const struct redis_address *address; /* borrowed: path, user, password, database, TLS */
    redis_where_fn *where;               /* not asked where there is a path */
    void *where_arg;
    double timeout_s; /* of every call, 0: none */
    bool stays;       /* MOVED and ASK are answers like any other; else they end the connection */
    bool bare;        /* neither password nor database: a sentinel */
};

/* redis_open: connects in the background. */
struct redis *redis_open(struct ev_loop *, const struct redis_options *, struct redis_events);
void redis_close(struct redis *);

bool redis_is_up(const struct redis *);
/* redis_last_fault: why it is not up, or last was not, for people. */
const char *redis_last_fault(const struct redis *);
/* redis_drop: gives the connection up and begins anew. */
void redis_drop(struct redis *, const char *why);
/* redis_now: connects at once, should it be waiting to. */
void redis_now(struct redis *);

void redis_call(struct redis *, redis_answer_fn *, void *arg, int argc, const char **argv, const size_t *lens);
/* redis_say: words that are text; an error is an answer like any other, whatever it says. */
void redis_say(struct redis *, redis_answer_fn *, void *arg, int argc, const char **argv);

/* redis_wait_for: so many replicas from here on. */
void redis_wait_for(struct redis *, int replicas);

/* redis_tell: says it and expects no answer, as in SUBSCRIBE: whatever comes is heard. */
void redis_tell(struct redis *, int argc, const char **argv);

#endif
