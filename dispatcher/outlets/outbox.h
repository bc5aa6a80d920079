/*
 * The way out: providers with their limits, and the deliveries of this worker
 * that wait for one, in lanes.
 *
 * A provider is an outlet here: it has a rate (token bucket), a number of places,
 * and a breaker that pauses it after a fault, longer each time, and lets one
 * delivery try when the pause is over.
 */
#ifndef DISPATCHER_OUTLETS_OUTBOX_H
#define DISPATCHER_OUTLETS_OUTBOX_H

#include <glib.h>
#include <jansson.h>

#include "channels/channel.h"
#include "dispatcher/base/vocab.h"

struct delivery;
struct outbox;

struct outlet {
    struct provider *provider; /* NULL: the store itself takes what is sent, at once */
    enum channel channel;
    char name[64];
    double rate, tokens, burst; /* per second; rate 0: no limit */
    double filled_at;           /* loop time */
    int places;                 /* how many it carries at a time */
    int bears;                  /* how many connections the other side has shown to bear, at most places */
    double grown_at;            /* loop time at which that was last changed */
    double longest_rest;        /* seconds: what it asks for beyond is not obeyed */
    unsigned bit;               /* its own among those of its channel */
    int taken;                  /* deliveries on their way to or in it */
    bool full;                  /* and not yet empty enough to be filled again */
    double pace, pace_since;    /* sent per second, and since when that is counted anew, loop time */
    int pace_sent;
    double paused_until; /* loop time; 0: not */
    int faults;          /* in a row */
    int64_t sent, failed;
    GQueue ready;   /* admitted deliveries that wait for a place */
    bool stopped;   /* by an operator */
    int committing; /* being admitted and committed in one: each has a place waiting */
};

/* What the operator allows. */
struct outlet_terms {
    const char *name; /* copied */
    int places;
    double rate, longest_rest; /* per second, 0 for no limit; seconds */
};

struct outbox *outbox_new(struct ev_loop *);
/* outbox_add: tried after those that were added before; takes the provider. */
void outbox_add(struct outbox *, enum channel, struct provider *, const struct outlet_terms *);
/* outbox_close: and all providers. */
void outbox_close(struct outbox *);

/* outbox_capacity: how many deliveries of a channel a worker should hold; 0 while it could not send any. */
int outbox_capacity(struct outbox *, enum channel);
/* outbox_configured: whether a channel has any outlet. */
bool outbox_configured(const struct outbox *, enum channel);

/* outbox_stop: outlets take nothing more while an operator has stopped them; said anew for all.  outbox_stopped: the
 * name of one when all of a channel are stopped, else NULL. */
typedef bool stopped_fn(void *arg, const struct outlet *);
void outbox_stop(struct outbox *, stopped_fn *, void *arg);
const char *outbox_stopped(const struct outbox *, enum channel);

/* outbox_rest: seconds until some outlet of a channel may be tried again, 0 for now.  outbox_told: a delivery that was
 * claimed meanwhile has been told. */
double outbox_rest(const struct outbox *, enum channel);
void outbox_told(struct outbox *, enum channel);

/* outlet_pause_ms: how long it still pauses, 0 for not at all. */
int64_t outlet_pause_ms(const struct outbox *, const struct outlet *);
/* outbox_alternative: another outlet of the channel is well. */
bool outbox_alternative(const struct outbox *, const struct outlet *);

/* outbox_push, outbox_pop: the queue of a channel; high lanes leave first, but every eighth is taken from below. */
void outbox_push(struct outbox *, enum channel, enum lane, struct delivery *);
struct delivery *outbox_pop(struct outbox *, enum channel);
/* outbox_unpop: the one just popped has found no outlet. */
void outbox_unpop(struct outbox *, enum channel, enum lane, struct delivery *);
int outbox_waiting(const struct outbox *, enum channel);

/* outbox_take: an outlet, none of `unable` (bits), that takes one more now (its token is spent, its place counted), or
 * NULL; *again says in how many seconds to ask again, 0 when a finished delivery will tell. */
struct outlet *outbox_take(struct outbox *, enum channel, unsigned unable, double *again);
/* outbox_able: some outlet of the channel is none of `unable`. */
bool outbox_able(const struct outbox *, enum channel, unsigned unable);
/* outlet_leave: a delivery has left it, with this outcome; NULL when it never got there, which costs no token. */
void outlet_leave(struct outbox *, struct outlet *, const struct outcome *);

/* outbox_each: all outlets. */
void outbox_each(struct outbox *, void (*fn)(void *arg, struct outlet *), void *arg);

/* outbox_report: [{"name","channel","paused","in_flight","sent","failed"}] */
json_t *outbox_report(const struct outbox *);

#endif
