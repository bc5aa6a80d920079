/*
 * The addresses of a host, asked for in a thread of its own: getaddrinfo(3) may
 * wait for a name server for seconds, and the loop must not.
 */
#ifndef DISPATCHER_STORE_WIRE_RESOLVE_H
#define DISPATCHER_STORE_WIRE_RESOLVE_H

#include <ev.h>
#include <stdbool.h>

#define RESOLVED_MAX 8

struct resolved {
    char address[RESOLVED_MAX][64]; /* in numbers, IPv4 first */
    int count;                      /* 0: none */
    const char *why;                /* then */
};

/* Runs once, from the loop, never from inside resolve_begin(). */
typedef void resolved_fn(void *arg, const struct resolved *);

struct resolving;
struct resolving *resolve_begin(struct ev_loop *, const char *host, resolved_fn *, void *arg);
/* resolve_cancel: the answer is not wanted any more; once it has come, there is nothing to cancel. */
void resolve_cancel(struct resolving *);

/* resolve_is_number: an address already. */
bool resolve_is_number(const char *host);

#endif
