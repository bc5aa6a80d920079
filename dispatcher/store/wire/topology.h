/*
 * Which server holds which slot: one server for all, the master that sentinels
 * name, or the masters of a Redis Cluster, found from any of its nodes and
 * followed while they change.
 *
 *   - Every connection is examined by the owner before it is used, each time it
 *     is made (`examine`); node_examined says how that went.
 *   - A cluster is asked for its slots (CLUSTER SLOTS) every few seconds, four
 *     times a second while one of its masters is away, and at once when a server
 *     says that a slot has moved.
 */
#ifndef DISPATCHER_STORE_WIRE_TOPOLOGY_H
#define DISPATCHER_STORE_WIRE_TOPOLOGY_H

#include "dispatcher/store/wire/redis.h"

struct topology;
struct node;

struct topology_events {
    void (*examine)(void *arg, struct node *, struct redis *);
    void (*changed)(void *arg, bool gained); /* a server can be used, or cannot be any more */
    void *arg;
};

/* topology_open: the address is borrowed.  replicas: how many are to have what is answered, as far as there are any. */
struct topology *topology_open(struct ev_loop *, const struct redis_address *, double timeout_s, int replicas,
                               struct topology_events);
/* topology_close: what is open is answered with NULL. */
void topology_close(struct topology *);

/* What an examination found. */
struct examined {
    bool cluster, replica; /* a node of a cluster; a replica */
    int replicas;          /* that are connected to it */
    const char *why;       /* it is not to be used, for people; NULL: it is */
};
void node_examined(struct node *, const struct examined *);

/* node_redis: NULL unless it can be used.  node_connection: whether or not. */
struct redis *node_redis(const struct node *);
struct redis *node_connection(const struct node *);

bool topology_is_cluster(const struct topology *);
/* topology_node: who holds a slot; NULL when nobody is known to. */
struct node *topology_node(const struct topology *, int slot);
/* topology_moved: a server says that a slot is there now.  topology_at: a server by its place, new ones too. */
void topology_moved(struct topology *, int slot, const struct redis_place *);
struct node *topology_at(struct topology *, const struct redis_place *);
void topology_refresh(struct topology *);
/* topology_where: the place of a slot's server, of any for -1; false with *why when it is not known. */
bool topology_where(struct topology *, int slot, struct redis_place *, const char **why);

/* Those that hold slots, by their place. */
bool topology_any(const struct topology *); /* can be used */
int topology_count(const struct topology *);
struct node *topology_nth(const struct topology *, int index); /* some other one when there are fewer by now */
/* topology_fault: why it cannot be used, or a part of it; "" when all is well. */
const char *topology_fault(const struct topology *);

#endif
