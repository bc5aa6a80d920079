/*
 * A channel carries one finished message out of the house; a provider is one
 * configured way of doing that (a mail relay, an SMS gateway).
 *
 *   - send() borrows what the parcel points to, which stays put and unchanged until done().
 *   - ask() runs at most once before done(): everything but the last byte has
 *     been handed over.  Whoever sent calls answer() later, once, from the loop:
 *     go, or stop.  Before go nothing can have been delivered; after it only a
 *     reply tells.
 *   - done() runs exactly once, from the event loop, never from inside send()
 *     or answer().
 *   - A provider bounds its own waiting, keeps no queue and never retries:
 *     room() says how many parcels it would take now.
 */
#ifndef CHANNELS_CHANNEL_H
#define CHANNELS_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ev_loop;
struct provider;

enum outcome_kind {
    OUTCOME_SENT,     /* the next hop has taken responsibility */
    OUTCOME_DEFERRED, /* not now: refused for a while; nothing was taken; counts as an attempt */
    OUTCOME_FAULT,    /* the provider itself is unwell (unreachable, log-in refused): says nothing about this message */
    OUTCOME_REFUSED,  /* never: bad address, blocked, malformed */
    OUTCOME_UNKNOWN,  /* all of it was handed over and the answer was lost (RFC 1047) */
    OUTCOME_STOPPED,  /* answer() said stop */
    OUTCOME_RETURNED, /* never begun: its turn did not come; says nothing about anybody */
    OUTCOME_UNABLE,   /* this provider cannot carry such a message; another may */
};

struct outcome {
    enum outcome_kind kind;
    bool crowded;           /* FAULT, and others of this provider are open: it bears no more than those */
    bool perhaps;           /* DEFERRED, and yet it may have been taken: repeat under the same key */
    int64_t retry_after_ms; /* what the provider asked for, 0 for nothing */
    int code;               /* SMTP reply or HTTP status, 0 for none */
    char ref[200];          /* how the provider calls it */
    char detail[256]; /* one line for a person; of mail it begins with the code and RFC 3463's, by which policies judge
                       */
};

struct parcel {
    const char *id;   /* the delivery's: the same over retries, [A-Za-z0-9-]{1,64} */
    const char *from; /* email: envelope sender */
    const char *to;   /* a normalised address (address.h) */
    const char *bytes;
    size_t len;
    int64_t now_ms; /* for signatures */
    bool committed; /* go has been said already: ask() is not called */
};

struct parcel_events {
    void (*ask)(void *arg);
    void (*done)(void *arg, const struct outcome *);
    void *arg;
};

struct ticket; /* one parcel on its way */

struct provider_type {
    const char *channel;
    int (*room)(const struct provider *);
    /* NULL only when room() was 0. */
    struct ticket *(*send)(struct provider *, const struct parcel *, struct parcel_events);
    void (*answer)(struct ticket *, bool go);
    /* How many connections are open and well; NULL: not of interest. */
    int (*open)(const struct provider *);
    /* Ends idle connections; nothing is on its way any more. */
    void (*close)(struct provider *);
};

/* The head of every provider. */
struct provider {
    const struct provider_type *type;
    char name[64];
    int limit;    /* connections it may have at a time, set by whoever drives it; 0: as configured */
    bool at_once; /* what it is given now is handed over in a moment (milliseconds): whoever sends may commit before */
    int depth;    /* parcels a connection takes: one on its way, and those behind it */
};

const char *outcome_name(enum outcome_kind);

#endif
