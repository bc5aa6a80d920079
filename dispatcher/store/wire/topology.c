#include "dispatcher/store/wire/topology.h"

#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/base/log.h"
#include "dispatcher/store/wire/reply.h"
#include "dispatcher/store/wire/sentinel.h"
#include "dispatcher/store/wire/slot.h"

#define LOOK_CALM  5.0 /* seconds from one look at a cluster's slots to the next */
#define LOOK_BUSY  0.25
#define LOOK_SOON  0.02
#define UNMAPPED_S 20.0 /* so long a server without slots stays connected, since it was last heard of */

struct node {
    struct topology *topology;
    struct redis_place place;
    struct redis *redis;
    bool usable, mapped; /* mapped: it holds slots */
    int replicas;
    double known_at; /* loop time: it held slots, or somebody named it */
};

struct topology {
    struct ev_loop *loop;
    const struct redis_address *address;
    double timeout;
    int replicas;
    struct topology_events events;
    GPtrArray *nodes; /* struct node; of a cluster sorted by place */
    bool cluster, asking, covered;
    struct node **owner; /* of each slot of a cluster, NULL: nobody */
    unsigned turn;       /* who is asked next */
    ev_timer look;
    struct sentinel *sentinel;
};

static void look_at(struct topology *t, double after);

/* ---------------------------------------------------------------- servers */

static void wait_for_replicas(struct node *n)
{
    redis_wait_for(n->redis, MIN(n->topology->replicas, n->replicas));
}

static bool where_node(void *arg, struct redis_place *p, const char **why)
{
    const struct node *n = arg;

    *why = "the sentinels have not named a master yet";
    *p = n->place;
    return p->port > 0;
}

static void on_node_up(void *arg)
{
    struct node *n = arg;

    redis_wait_for(n->redis, 0);
    n->topology->events.examine(n->topology->events.arg, n, n->redis);
}

static void on_node_down(void *arg, const char *why)
{
    struct node *n = arg;
    bool was_usable = n->usable;

    n->usable = false;
    if (n->topology->cluster)
        look_at(n->topology, LOOK_SOON);
    if (was_usable && n->topology->cluster)
        log_warn("redis.server_lost", "{s:s, s:i, s:s}", "host", n->place.host, "port", n->place.port, "why", why);
    n->topology->events.changed(n->topology->events.arg, false);
}

static int by_place(gconstpointer a, gconstpointer b)
{
    const struct node *const *x = a, *const *y = b;
    int order = strcmp((*x)->place.host, (*y)->place.host);

    return order ? order : (*x)->place.port - (*y)->place.port;
}

static struct node *node_new(struct topology *t, const struct redis_place *place)
{
    struct node *n = g_new0(struct node, 1);
    const struct redis_options options = {
        .address = t->address, .where = where_node, .where_arg = n, .timeout_s = t->timeout, .stays = true
    };

    *n = (struct node){ .topology = t, .mapped = !t->cluster, .known_at = ev_now(t->loop) };
    if (place)
        n->place = *place;
    n->redis = redis_open(t->loop, &options, (struct redis_events){ .up = on_node_up, .down = on_node_down, .arg = n });
    g_ptr_array_add(t->nodes, n);
    g_ptr_array_sort(t->nodes, by_place);
    return n;
}

static void node_free(struct node *n)
{
    n->usable = false;
    redis_close(n->redis);
    g_free(n);
}

struct node *topology_at(struct topology *t, const struct redis_place *place)
{
    for (guint i = 0; i < t->nodes->len; i++) {
        struct node *n = t->nodes->pdata[i];
        if (place_is(&n->place, place)) {
            n->known_at = ev_now(t->loop);
            return n;
        }
    }
    return node_new(t, place);
}

struct redis *node_redis(const struct node *n)
{
    return n->usable ? n->redis : NULL;
}

struct redis *node_connection(const struct node *n)
{
    return n->redis;
}

/* ---------------------------------------------------------------- the slots of a cluster */

/* [address, port, …]; a node that does not know its own address is where it was asked. */
static bool read_place(struct redis_place *p, const redisReply *r, const struct node *asked)
{
    const redisReply *host = reply_at(r, 0), *port = reply_at(r, 1);
    bool named = host && host->type == REDIS_REPLY_STRING && *host->str && strcmp(host->str, "?") != 0;

    if (!port || port->type != REDIS_REPLY_INTEGER)
        return false;
    g_strlcpy(p->host, named ? host->str : asked->place.host, sizeof p->host);
    p->port = (int)port->integer;
    return true;
}

/* [first slot, last slot, master, replica …] */
static void read_range(struct topology *t, const redisReply *range, const struct node *asked)
{
    const redisReply *first = reply_at(range, 0), *last = reply_at(range, 1);
    struct redis_place place;

    if (!first || !last || first->type != REDIS_REPLY_INTEGER || last->type != REDIS_REPLY_INTEGER ||
        !read_place(&place, reply_at(range, 2), asked))
        return;
    struct node *n = topology_at(t, &place);
    n->mapped = true;
    n->replicas = (int)range->elements - 3;
    for (long long slot = MAX(first->integer, 0); slot <= last->integer && slot < SLOTS; slot++)
        t->owner[slot] = n;
}

static bool all_well(const struct topology *t)
{
    for (guint i = 0; i < t->nodes->len; i++) {
        const struct node *n = t->nodes->pdata[i];
        if (n->mapped && !n->usable)
            return false;
    }
    return t->covered;
}

/* Servers that have lost their slots go, once nothing of theirs can be under way. */
static void drop_unmapped(struct topology *t)
{
    for (guint i = t->nodes->len; i-- > 0 && t->nodes->len > 1;) {
        struct node *n = t->nodes->pdata[i];
        if (n->mapped)
            n->known_at = ev_now(t->loop);
        if (ev_now(t->loop) - n->known_at < UNMAPPED_S)
            continue;
        for (int slot = 0; slot < SLOTS; slot++)
            if (t->owner[slot] == n)
                t->owner[slot] = NULL;
        g_ptr_array_remove_index(t->nodes, i);
        node_free(n);
    }
}

/* True when something has moved. */
static bool read_slots(struct topology *t, const redisReply *reply, const struct node *asked)
{
    g_autofree struct node **before = g_memdup2(t->owner, SLOTS * sizeof(struct node *));

    memset(t->owner, 0, SLOTS * sizeof(struct node *));
    for (guint i = 0; i < t->nodes->len; i++)
        ((struct node *)t->nodes->pdata[i])->mapped = false;
    for (size_t i = 0; i < reply->elements; i++)
        read_range(t, reply_at(reply, i), asked);
    t->covered = true;
    for (int slot = 0; slot < SLOTS; slot++)
        t->covered &= t->owner[slot] != NULL;
    for (guint i = 0; i < t->nodes->len; i++) {
        struct node *n = t->nodes->pdata[i];
        if (n->usable)
            wait_for_replicas(n);
    }
    return memcmp(before, t->owner, SLOTS * sizeof(struct node *)) != 0;
}

static void try_seeds(struct topology *t);

static void on_slots(void *arg, const redisReply *reply)
{
    struct node *asked = arg;
    struct topology *t = asked->topology;

    t->asking = false;
    bool told = reply && reply->type == REDIS_REPLY_ARRAY && reply->elements;
    if (told && read_slots(t, reply, asked))
        t->events.changed(t->events.arg, true);
    if (reply && !told) /* it has left its cluster */
        try_seeds(t);
    look_at(t, all_well(t) ? LOOK_CALM : LOOK_BUSY);
}

/* Whoever can be reached, in turn. */
static struct node *next_asked(struct topology *t)
{
    for (guint i = 0; i < t->nodes->len; i++) {
        struct node *n = t->nodes->pdata[t->turn++ % t->nodes->len];
        if (n->usable)
            return n;
    }
    return NULL;
}

/* All may be elsewhere by now, and the names of the configuration still lead there. */
static void try_seeds(struct topology *t)
{
    for (int i = 0; i < t->address->count; i++)
        redis_now(topology_at(t, &t->address->places[i])->redis);
}

static void look_now(struct topology *t)
{
    if (topology_any(t)) /* else it is not they who have gone */
        drop_unmapped(t);
    struct node *n = next_asked(t);
    if (n) {
        t->asking = true;
        redis_say(n->redis, on_slots, n, 2, (const char *[]){ "CLUSTER", "SLOTS" });
    } else {
        try_seeds(t);
        look_at(t, LOOK_BUSY);
    }
}

/* Earlier than planned, perhaps, but not later. */
static void look_at(struct topology *t, double after)
{
    if (ev_is_active(&t->look) && ev_timer_remaining(t->loop, &t->look) <= after)
        return;
    ev_timer_stop(t->loop, &t->look);
    ev_timer_set(&t->look, after, 0.);
    ev_timer_start(t->loop, &t->look);
}

void topology_refresh(struct topology *t)
{
    if (t->cluster)
        look_at(t, LOOK_SOON);
}

void topology_moved(struct topology *t, int slot, const struct redis_place *place)
{
    struct node *n = topology_at(t, place);

    t->owner[slot] = n;
    topology_refresh(t);
}

static void become_cluster(struct topology *t)
{
    t->cluster = true;
    t->owner = g_new0(struct node *, SLOTS);
}

/* ---------------------------------------------------------------- sentinels */

static void on_named(void *arg, const struct redis_place *named, int replicas)
{
    struct topology *t = arg;
    struct node *n = t->nodes->pdata[0];

    n->replicas = replicas;
    if (n->usable)
        wait_for_replicas(n);
    if (place_is(named, &n->place))
        return;
    log_info("redis.master", "{s:s, s:i}", "host", named->host, "port", named->port);
    n->place = *named;
    redis_drop(n->redis, "the sentinels name another master");
    redis_now(n->redis);
}

/* ---------------------------------------------------------------- examined */

static const char *complaint_about(const struct topology *t, const struct examined *e)
{
    return e->why                           ? e->why
           : e->cluster && t->address->path ? "this Redis is a node of a cluster, which is reached by host and port"
           : t->address->kind == REDIS_CLUSTER && !e->cluster
               ? "this Redis is no node of a cluster; write redis:// for it"
           : e->replica && !e->cluster ? "this Redis is a read-only replica; name its master in redis.url"
                                       : NULL;
}

void node_examined(struct node *n, const struct examined *e)
{
    struct topology *t = n->topology;
    const char *why = complaint_about(t, e);

    if (!redis_is_up(n->redis))
        return;
    if (why) {
        redis_drop(n->redis, why);
        return;
    }
    if (e->cluster && !t->cluster)
        become_cluster(t);
    if (!t->cluster && !t->sentinel)
        n->replicas = e->replicas;
    n->usable = true;
    wait_for_replicas(n);
    if (t->cluster)
        look_at(t, LOOK_SOON);
    t->events.changed(t->events.arg, true);
}

/* ---------------------------------------------------------------- the face */

static void on_look(struct ev_loop *loop, ev_timer *w, int revents)
{
    struct topology *t = w->data;

    if (t->cluster && !t->asking)
        look_now(t);
}

struct topology *topology_open(struct ev_loop *loop, const struct redis_address *address, double timeout, int replicas,
                               struct topology_events events)
{
    struct topology *t = g_new0(struct topology, 1);

    *t = (struct topology){
        .loop = loop, .address = address, .timeout = timeout, .replicas = replicas, .events = events
    };
    t->nodes = g_ptr_array_new();
    ev_init(&t->look, on_look);
    t->look.data = t;
    if (address->kind == REDIS_CLUSTER)
        become_cluster(t);
    if (address->kind == REDIS_SENTINEL)
        t->sentinel = sentinel_open(loop, address, timeout, on_named, t);
    if (t->cluster)
        look_at(t, LOOK_BUSY);
    for (int i = 0; t->cluster && i < address->count; i++)
        topology_at(t, &address->places[i]);
    if (!t->cluster)
        node_new(t, t->sentinel ? NULL : address->places);
    return t;
}

void topology_close(struct topology *t)
{
    if (!t)
        return;
    if (t->owner) /* who is answered below may ask again */
        memset(t->owner, 0, SLOTS * sizeof(struct node *));
    sentinel_close(t->sentinel);
    while (t->nodes->len)
        node_free(g_ptr_array_steal_index(t->nodes, t->nodes->len - 1));
    ev_timer_stop(t->loop, &t->look); /* last: what is answered above may have asked for a look */
    g_ptr_array_free(t->nodes, TRUE);
    g_free(t->owner);
    g_free(t);
}

bool topology_is_cluster(const struct topology *t)
{
    return t->cluster;
}

struct node *topology_node(const struct topology *t, int slot)
{
    return t->cluster ? t->owner[slot] : t->nodes->pdata[0];
}

bool topology_where(struct topology *t, int slot, struct redis_place *p, const char **why)
{
    const struct node *n = !t->cluster ? t->nodes->pdata[0] : slot < 0 ? next_asked(t) : t->owner[slot];

    topology_refresh(t);
    *why = "nobody is known to hold it";
    if (!n)
        return false;
    *p = n->place;
    return p->port > 0 || t->address->path;
}

bool topology_any(const struct topology *t)
{
    for (guint i = 0; i < t->nodes->len; i++)
        if (((struct node *)t->nodes->pdata[i])->usable)
            return true;
    return false;
}

int topology_count(const struct topology *t)
{
    int count = 0;

    for (guint i = 0; i < t->nodes->len; i++)
        count += ((struct node *)t->nodes->pdata[i])->mapped;
    return count;
}

struct node *topology_nth(const struct topology *t, int index)
{
    for (guint i = 0; i < t->nodes->len; i++) {
        struct node *n = t->nodes->pdata[i];
        if (n->mapped && index-- == 0)
            return n;
    }
    return t->nodes->pdata[0];
}

const char *topology_fault(const struct topology *t)
{
    if (t->sentinel && *sentinel_fault(t->sentinel))
        return sentinel_fault(t->sentinel);
    for (guint i = 0; i < t->nodes->len; i++) {
        const struct node *n = t->nodes->pdata[i];
        if (!n->usable && *redis_last_fault(n->redis))
            return redis_last_fault(n->redis);
    }
    return t->cluster && !t->covered ? "the cluster does not say who holds each of its slots" : "";
}
