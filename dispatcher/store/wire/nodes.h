/*
 * Redis as everybody else sees it, on one server or many: a call names a key, and
 * goes to whoever holds it.
 *
 *   - Answers as in redis.h: exactly one, NULL when the outcome is unknown.
 *   - MOVED is followed.  What a server surely has not done (no connection yet,
 *     CLUSTERDOWN, TRYAGAIN) waits up to two seconds for the cluster to settle.
 *   - While a slot is on its way from one master to another, its scripts wait: a
 *     script works on keys that it does not name, and must find all of them.  For
 *     this the key that a script names never exists: then the old master answers
 *     ASK, whatever has gone already.  Other commands have one key, and follow it.
 */
#ifndef DISPATCHER_STORE_WIRE_NODES_H
#define DISPATCHER_STORE_WIRE_NODES_H

#include "dispatcher/store/wire/topology.h"

struct nodes;

/* nodes_open, nodes_close: as topology.h. */
struct nodes *nodes_open(struct ev_loop *, const struct redis_address *, double timeout_s, int replicas,
                         struct topology_events);
void nodes_close(struct nodes *);

void nodes_call(struct nodes *, const char *key, redis_answer_fn *, void *arg, int argc, const char **argv,
                const size_t *lens);
/* nodes_reach: the server of a key can be used. */
bool nodes_reach(const struct nodes *, const char *key);
/* nodes_any: one of them can. */
bool nodes_any(const struct nodes *);
/* nodes_is_cluster: one command cannot name keys of several partitions. */
bool nodes_is_cluster(const struct nodes *);
const char *nodes_fault(const struct nodes *);

/* nodes_count, nodes_say: for what is asked of each of them, in an order that stays while the cluster does. */
int nodes_count(const struct nodes *);
void nodes_say(struct nodes *, int index, redis_answer_fn *, void *arg, int argc, const char **argv);

/* nodes_connection: one more connection, to whoever holds a key (NULL: to any); for commands that block, and
 * subscriptions.  redis_close before nodes_close. */
struct redis *nodes_connection(struct nodes *, const char *key, double timeout_s, struct redis_events);

#endif
