#include "dispatcher/store/wire/nodes.h"

#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/store/wire/slot.h"

#define SETTLE_S   2.0  /* so long a call waits for the cluster */
#define TRY_EVERY  0.03 /* seconds */
#define MOVES_MOST 8

struct nodes {
    struct ev_loop *loop;
    const struct redis_address *address;
    struct topology *topology;
    GQueue waiting; /* struct request */
    ev_timer again;
    GPtrArray *sides; /* struct side */
    bool closing;     /* the topology is not to be touched: all that comes is answered with NULL */
};

/* A call to a cluster, kept until it is answered, for it may have to be said again elsewhere. */
struct request {
    struct nodes *nodes;
    redis_answer_fn *fn;
    void *arg;
    int slot, moves, argc;
    double since;
    const char **argv;
    size_t *lens;
};

/* Where one more connection goes to. */
struct side {
    struct nodes *nodes;
    int slot;
};

/* ---------------------------------------------------------------- requests */

static struct request *request_new(struct nodes *n, int slot, redis_answer_fn *fn, void *arg, int argc,
                                   const char **argv, const size_t *lens)
{
    struct request *q = g_new0(struct request, 1);

    *q = (struct request){ .nodes = n, .fn = fn, .arg = arg, .slot = slot, .argc = argc, .since = ev_now(n->loop) };
    q->argv = g_new0(const char *, argc);
    q->lens = g_new0(size_t, argc);
    for (int i = 0; i < argc; i++) {
        q->lens[i] = lens ? lens[i] : strlen(argv[i]);
        q->argv[i] = g_memdup2(argv[i], q->lens[i] + 1); /* and the NUL behind it */
    }
    return q;
}

static void request_end(struct request *q, const redisReply *reply)
{
    if (q->fn)
        q->fn(q->arg, reply);
    for (int i = 0; i < q->argc; i++)
        g_free((char *)q->argv[i]);
    g_free(q->argv);
    g_free(q->lens);
    g_free(q);
}

static void wait_for_cluster(struct request *q)
{
    struct nodes *n = q->nodes;

    g_queue_push_tail(&n->waiting, q);
    if (n->closing)
        return;
    topology_refresh(n->topology);
    if (!ev_is_active(&n->again))
        ev_timer_again(n->loop, &n->again);
}

static void send_request(struct request *q, struct node *node, bool asking);

/* "MOVED 3999 10.0.0.7:6381" */
static bool redirected(const char *error, const char *word, struct redis_place *place)
{
    const char *space = g_str_has_prefix(error, word) ? strchr(error + strlen(word), ' ') : NULL;
    return space && place_parse(place, space + 1);
}

static bool is_script(const struct request *q)
{
    return g_str_has_prefix(q->argv[0], "EVAL");
}

static void on_error(struct request *q, const redisReply *reply)
{
    struct topology *t = q->nodes->topology;
    struct redis_place place;

    if (q->nodes->closing) {
        request_end(q, NULL);
    } else if (redirected(reply->str, "MOVED ", &place) && q->moves++ < MOVES_MOST) {
        topology_moved(t, q->slot, &place);
        send_request(q, topology_node(t, q->slot), false);
    } else if (redirected(reply->str, "ASK ", &place) && !is_script(q)) {
        send_request(q, topology_at(t, &place), true);
    } else if (g_str_has_prefix(reply->str, "MOVED ") || g_str_has_prefix(reply->str, "ASK ") ||
               g_str_has_prefix(reply->str, "TRYAGAIN") || g_str_has_prefix(reply->str, "CLUSTERDOWN")) {
        q->moves = 0;
        wait_for_cluster(q);
    } else {
        request_end(q, reply);
    }
}

static void on_reply(void *arg, const redisReply *reply)
{
    if (reply && reply->type == REDIS_REPLY_ERROR)
        on_error(arg, reply);
    else
        request_end(arg, reply);
}

static void send_request(struct request *q, struct node *node, bool asking)
{
    struct redis *redis = node ? node_redis(node) : NULL;

    if (!redis) {
        wait_for_cluster(q);
        return;
    }
    if (asking)
        redis_say(redis, NULL, NULL, 1, (const char *[]){ "ASKING" });
    redis_call(redis, on_reply, q, q->argc, q->argv, q->lens);
}

static void try_again(struct nodes *n)
{
    GQueue waiting = n->waiting;

    g_queue_init(&n->waiting);
    while (waiting.length) {
        struct request *q = g_queue_pop_head(&waiting);
        if (ev_now(n->loop) - q->since > SETTLE_S)
            request_end(q, NULL);
        else
            send_request(q, topology_node(n->topology, q->slot), false);
    }
    if (!n->waiting.length)
        ev_timer_stop(n->loop, &n->again);
}

static void on_again(struct ev_loop *loop, ev_timer *w, int revents)
{
    try_again(w->data);
}

/* ---------------------------------------------------------------- the face */

void nodes_call(struct nodes *n, const char *key, redis_answer_fn *fn, void *arg, int argc, const char **argv,
                const size_t *lens)
{
    bool cluster = !n->closing && topology_is_cluster(n->topology);
    struct redis *only = n->closing || cluster ? NULL : node_redis(topology_node(n->topology, 0));

    if (only) {
        redis_call(only, fn, arg, argc, argv, lens);
        return;
    }
    struct request *q = request_new(n, slot_of(key), fn, arg, argc, argv, lens);
    if (cluster) {
        send_request(q, topology_node(n->topology, q->slot), false);
    } else { /* there is nobody to wait for */
        q->since -= SETTLE_S + 1;
        wait_for_cluster(q);
    }
}

bool nodes_reach(const struct nodes *n, const char *key)
{
    const struct node *node = n->closing ? NULL : topology_node(n->topology, slot_of(key));
    return node && node_redis(node);
}

bool nodes_is_cluster(const struct nodes *n)
{
    return topology_is_cluster(n->topology);
}

bool nodes_any(const struct nodes *n)
{
    return topology_any(n->topology);
}

const char *nodes_fault(const struct nodes *n)
{
    return topology_fault(n->topology);
}

int nodes_count(const struct nodes *n)
{
    return topology_count(n->topology);
}

void nodes_say(struct nodes *n, int index, redis_answer_fn *fn, void *arg, int argc, const char **argv)
{
    if (n->closing)
        wait_for_cluster(request_new(n, 0, fn, arg, argc, argv, NULL));
    else
        redis_say(node_connection(topology_nth(n->topology, index)), fn, arg, argc, argv);
}

static bool where_side(void *arg, struct redis_place *p, const char **why)
{
    const struct side *side = arg;
    return topology_where(side->nodes->topology, side->slot, p, why);
}

struct redis *nodes_connection(struct nodes *n, const char *key, double timeout, struct redis_events events)
{
    struct side *side = g_new0(struct side, 1);

    *side = (struct side){ n, key ? slot_of(key) : -1 };
    g_ptr_array_add(n->sides, side);
    return redis_open(
        n->loop,
        &(struct redis_options){ .address = n->address, .where = where_side, .where_arg = side, .timeout_s = timeout },
        events);
}

struct nodes *nodes_open(struct ev_loop *loop, const struct redis_address *address, double timeout, int replicas,
                         struct topology_events events)
{
    struct nodes *n = g_new0(struct nodes, 1);

    n->loop = loop;
    n->address = address;
    n->sides = g_ptr_array_new_with_free_func(g_free);
    ev_init(&n->again, on_again);
    n->again.data = n;
    n->again.repeat = TRY_EVERY;
    n->topology = topology_open(loop, address, timeout, replicas, events);
    return n;
}

void nodes_close(struct nodes *n)
{
    if (!n)
        return;
    n->closing = true;
    topology_close(n->topology);
    while (n->waiting.length) /* whoever is answered may ask again */
        request_end(g_queue_pop_head(&n->waiting), NULL);
    ev_timer_stop(n->loop, &n->again);
    g_ptr_array_free(n->sides, TRUE);
    g_free(n);
}
