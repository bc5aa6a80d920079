/*
 * What is asked of a Redis server before it is used, on each connection: who it
 * is, what it may throw away, and what survives its restart.
 *
 *   INFO ──▶ CONFIG GET appendfsync ──▶ greeted
 */
#ifndef DISPATCHER_STORE_WIRE_GREETING_H
#define DISPATCHER_STORE_WIRE_GREETING_H

#include "dispatcher/store/wire/topology.h"

/* What survives a restart of the server: nothing that is written, all but the last second, all. */
enum durability { DURABILITY_MEMORY, DURABILITY_EVERYSEC, DURABILITY_FSYNC };

struct greeting {
    enum durability durability;
    bool cluster, replica;
    int replicas;        /* that are connected to it */
    const char *version; /* borrowed */
    const char *evicts;  /* a complaint: it may throw keys away; NULL: it does not */
};
/* Runs once; NULL when the connection is gone or refuses to tell, and why. */
typedef void greeted_fn(void *arg, struct node *, const struct greeting *, const char *why);

void greet_server(struct node *, struct redis *, greeted_fn *, void *arg);

#endif
