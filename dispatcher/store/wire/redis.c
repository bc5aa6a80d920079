#include "dispatcher/store/wire/redis.h"

#include <errno.h>
#include <glib.h>
#include <hiredis/adapters/libev.h>
#include <hiredis/async.h>
#include <stdio.h>
#include <string.h>

#include "dispatcher/base/log.h"
#include "dispatcher/base/metrics.h"
#include "dispatcher/store/wire/resolve.h"

#define CONNECT_TIMEOUT 3.0
#define FIRST_WAIT      0.05
#define LONGEST_WAIT    2.0
#define PING_EVERY      4.0 /* seconds */

struct call {
    struct redis *redis;
    redis_answer_fn *fn;
    void *arg;
    double sent;
};

struct redis {
    struct ev_loop *loop;
    const struct redis_address *address;
    struct redis_events events;
    double timeout, wait;
    redisAsyncContext *ac;
    enum { DOWN, RESOLVING, CONNECTING, GREETING, UP } state;
    struct resolving *resolving;
    unsigned turn; /* of a name's addresses, each is tried in its turn */
    bool closing;
    char fault[256];
    GQueue sent;    /* struct call, in the order of their replies */
    GQueue refused; /* answered with NULL from the loop */
    ev_timer again, watchdog, refusals, drop;
    int subscriptions;
    double heard_at, pinged_at; /* loop time, of a subscriber */
    char **channels;
    void (*on_message)(void *arg, const char *channel, const char *message);
    void *message_arg;
};

static void connect_now(struct redis *);
static void on_published(redisAsyncContext *, void *reply, void *arg);

/* ---------------------------------------------------------------- answers */

static void answer(struct call *c, const redisReply *reply)
{
    redis_answer_fn *fn = c->fn;
    void *arg = c->arg;

    g_free(c);
    if (fn)
        fn(arg, reply);
}

static void on_refusals(struct ev_loop *loop, ev_timer *w, int revents)
{
    struct redis *r = w->data;

    ev_timer_stop(loop, w);
    for (unsigned n = r->refused.length; n > 0; n--)
        answer(g_queue_pop_head(&r->refused), NULL);
}

static void refuse(struct redis *r, struct call *c)
{
    g_queue_push_tail(&r->refused, c);
    if (!ev_is_active(&r->refusals)) {
        ev_timer_set(&r->refusals, 0., 0.);
        ev_timer_start(r->loop, &r->refusals);
    }
}

static bool ends_connection(const redisReply *reply)
{
    static const char *const words[] = { "LOADING", "READONLY", "MASTERDOWN", "NOAUTH",     "WRONGPASS",
                                         "NOPERM",  "OOM",      "MISCONF",    "NOREPLICAS", "BUSY " };

    for (size_t i = 0; reply->type == REDIS_REPLY_ERROR && i < G_N_ELEMENTS(words); i++)
        if (strncmp(reply->str, words[i], strlen(words[i])) == 0)
            return true;
    return false;
}

static void on_reply(redisAsyncContext *ac, void *reply, void *data)
{
    struct call *c = data;
    struct redis *r = c->redis;

    g_queue_pop_head(&r->sent);
    if (reply && ends_connection(reply)) {
        redis_drop(r, ((redisReply *)reply)->str);
        reply = NULL;
    }
    answer(c, reply);
}

/* ---------------------------------------------------------------- up and down */

static void went_down(struct redis *r, const char *why)
{
    bool was_up = r->state == UP;

    r->state = DOWN;
    r->ac = NULL;
    if (*why)
        g_strlcpy(r->fault, why, sizeof r->fault);
    ev_timer_stop(r->loop, &r->watchdog);
    if (r->closing)
        return;
    if (was_up)
        metrics_add(METRIC_REDIS_LOST, "", 1);
    if (r->events.down)
        r->events.down(r->events.arg, r->fault);
    ev_timer_set(&r->again, r->wait, 0.);
    ev_timer_start(r->loop, &r->again);
    r->wait = MIN(r->wait * 2, LONGEST_WAIT);
}

static void on_disconnect(const redisAsyncContext *ac, int status)
{
    went_down(ac->data, ac->errstr && *ac->errstr ? ac->errstr : "");
}

/* Not from inside a callback of hiredis, which would touch what it has freed. */
static void on_drop(struct ev_loop *loop, ev_timer *w, int revents)
{
    struct redis *r = w->data;

    ev_timer_stop(loop, w);
    if (!r->ac)
        return;
    bool connected = r->state >= GREETING;
    redisAsyncFree(r->ac); /* answers everything pending with NULL */
    if (!connected)
        went_down(r, r->fault);
}

void redis_drop(struct redis *r, const char *why)
{
    g_strlcpy(r->fault, why, sizeof r->fault);
    if (r->state == UP)
        r->state = GREETING; /* no call goes out any more */
    ev_timer_set(&r->drop, 0., 0.);
    ev_timer_start(r->loop, &r->drop);
}

/* Nobody answers on a connection that only listens, so it is asked now and then; the silence of a dead one would last.
 */
static void ask_subscriber(struct redis *r, double now)
{
    if (now - r->heard_at > 2 * PING_EVERY)
        redis_drop(r, "the subscription is silent");
    else if (now - r->pinged_at > PING_EVERY) {
        r->pinged_at = now;
        redisAsyncCommand(r->ac, on_published, r, "SUBSCRIBE %s",
                          r->channels[0]); /* hiredis hides the answer to PING here */
    }
}

static void on_watchdog(struct ev_loop *loop, ev_timer *w, int revents)
{
    struct redis *r = w->data;

    if (r->state == UP && r->subscriptions) {
        ask_subscriber(r, ev_now(loop));
        return;
    }
    const struct call *oldest = g_queue_peek_head(&r->sent);

    if (r->state == CONNECTING)
        redis_drop(r, "no connection in time");
    else if (oldest && r->timeout > 0 && ev_now(loop) - oldest->sent > r->timeout)
        redis_drop(r, "no answer in time");
}

static void send_call(struct redis *r, struct call *c, int argc, const char **argv, const size_t *lens)
{
    c->sent = ev_now(r->loop);
    if (r->ac && redisAsyncCommandArgv(r->ac, on_reply, c, argc, argv, lens) == REDIS_OK)
        g_queue_push_tail(&r->sent, c);
    else
        refuse(r, c);
}

static void greet(struct redis *r, redis_answer_fn *fn, int argc, const char **argv)
{
    struct call *c = g_new0(struct call, 1);
    size_t lens[4];

    for (int i = 0; i < argc; i++)
        lens[i] = strlen(argv[i]);
    *c = (struct call){ .redis = r, .fn = fn, .arg = r };
    send_call(r, c, argc, argv, lens);
}

static void send_subscription(struct redis *r);

static void on_greeted(void *arg, const redisReply *reply)
{
    struct redis *r = arg;

    if (!reply)
        return;
    if (reply->type == REDIS_REPLY_ERROR) {
        redis_drop(r, reply->str);
        return;
    }
    r->state = UP;
    r->wait = FIRST_WAIT;
    r->fault[0] = '\0';
    if (r->subscriptions)
        send_subscription(r);
    if (r->events.up)
        r->events.up(r->events.arg);
}

static void on_step(void *arg, const redisReply *reply)
{
    if (reply && reply->type == REDIS_REPLY_ERROR)
        redis_drop(arg, reply->str);
}

static void on_connect(const redisAsyncContext *ac, int status)
{
    struct redis *r = ac->data;
    const struct redis_address *a = r->address;
    char db[16];

    ev_timer_stop(r->loop, &r->watchdog);
    if (status != REDIS_OK) { /* hiredis frees the context itself, and calls no disconnect callback */
        went_down(r, ac->errstr && *ac->errstr ? ac->errstr : "cannot connect");
        return;
    }
    r->state = GREETING;
    ev_timer_set(&r->watchdog, 0.5, 0.5);
    ev_timer_start(r->loop, &r->watchdog);
    if (a->password && a->user && *a->user)
        greet(r, on_step, 3, (const char *[]){ "AUTH", a->user, a->password });
    else if (a->password)
        greet(r, on_step, 2, (const char *[]){ "AUTH", a->password });
    snprintf(db, sizeof db, "%d", a->db);
    if (a->db)
        greet(r, on_step, 2, (const char *[]){ "SELECT", db });
    greet(r, on_greeted, 1, (const char *[]){ "PING" });
}

/* hiredis would wait for a name server, so it is given numbers. */
static void connect_to(struct redis *r, const char *host)
{
    r->ac = host ? redisAsyncConnect(host, r->address->port) : redisAsyncConnectUnix(r->address->path);
    if (!r->ac || r->ac->err) {
        g_autofree char *why = g_strdup(r->ac ? r->ac->errstr : "out of memory");
        if (r->ac)
            redisAsyncFree(r->ac);
        went_down(r, why);
        return;
    }
    r->ac->data = r;
    r->state = CONNECTING;
    redisLibevAttach(r->loop, r->ac);
    redisAsyncSetConnectCallback(r->ac, on_connect);
    redisAsyncSetDisconnectCallback(r->ac, on_disconnect);
    ev_timer_set(&r->watchdog, CONNECT_TIMEOUT, 0.5);
    ev_timer_start(r->loop, &r->watchdog);
}

static void on_resolved(void *arg, const struct resolved *found)
{
    struct redis *r = arg;

    r->resolving = NULL;
    if (found->count) {
        connect_to(r, found->address[r->turn++ % (unsigned)found->count]);
        return;
    }
    g_autofree char *why = g_strdup_printf("%s: %s", r->address->host, found->why);
    went_down(r, why);
}

static void connect_now(struct redis *r)
{
    const struct redis_address *a = r->address;

    if (a->path || resolve_is_number(a->host)) {
        connect_to(r, a->path ? NULL : a->host);
        return;
    }
    r->state = RESOLVING;
    r->resolving = resolve_begin(r->loop, a->host, on_resolved, r);
}

static void on_again(struct ev_loop *loop, ev_timer *w, int revents)
{
    ev_timer_stop(loop, w);
    connect_now(w->data);
}

/* ---------------------------------------------------------------- the face */

struct redis *redis_open(struct ev_loop *loop, const struct redis_address *address, double timeout,
                         struct redis_events events)
{
    struct redis *r = g_new0(struct redis, 1);

    r->loop = loop;
    r->address = address;
    r->events = events;
    r->timeout = timeout;
    r->wait = FIRST_WAIT;
    g_queue_init(&r->sent);
    g_queue_init(&r->refused);
    ev_init(&r->again, on_again);
    ev_init(&r->watchdog, on_watchdog);
    ev_init(&r->refusals, on_refusals);
    ev_init(&r->drop, on_drop);
    r->again.data = r->watchdog.data = r->refusals.data = r->drop.data = r;
    ev_timer_set(&r->again, 0., 0.);
    ev_timer_start(loop, &r->again);
    return r;
}

void redis_close(struct redis *r)
{
    if (!r)
        return;
    r->closing = true;
    if (r->resolving)
        resolve_cancel(r->resolving);
    if (r->ac)
        redisAsyncFree(r->ac);
    while (r->refused.length)
        answer(g_queue_pop_head(&r->refused), NULL);
    ev_timer_stop(r->loop, &r->again);
    ev_timer_stop(r->loop, &r->watchdog);
    ev_timer_stop(r->loop, &r->refusals);
    ev_timer_stop(r->loop, &r->drop);
    g_strfreev(r->channels);
    g_free(r);
}

bool redis_is_up(const struct redis *r)
{
    return r->state == UP;
}

const char *redis_last_fault(const struct redis *r)
{
    return r->fault;
}

void redis_call(struct redis *r, redis_answer_fn *fn, void *arg, int argc, const char **argv, const size_t *lens)
{
    struct call *c = g_new0(struct call, 1);

    *c = (struct call){ .redis = r, .fn = fn, .arg = arg };
    if (r->state == UP)
        send_call(r, c, argc, argv, lens);
    else
        refuse(r, c);
}

static void on_published(redisAsyncContext *ac, void *data, void *arg)
{
    const redisReply *reply = data;
    struct redis *r = arg;

    r->heard_at = ev_now(r->loop);
    if (reply && reply->type == REDIS_REPLY_ARRAY && reply->elements == 3 &&
        reply->element[2]->type == REDIS_REPLY_STRING)
        r->on_message(r->message_arg, reply->element[1]->str, reply->element[2]->str);
}

static void send_subscription(struct redis *r)
{
    g_autofree const char **argv = g_new0(const char *, r->subscriptions + 1);

    r->heard_at = r->pinged_at = ev_now(r->loop);
    argv[0] = "SUBSCRIBE";
    for (int i = 0; i < r->subscriptions; i++)
        argv[i + 1] = r->channels[i];
    redisAsyncCommandArgv(r->ac, on_published, r, r->subscriptions + 1, argv, NULL);
}

void redis_subscribe(struct redis *r, int count, const char **channels, void (*fn)(void *, const char *, const char *),
                     void *arg)
{
    r->on_message = fn;
    r->message_arg = arg;
    r->subscriptions = count;
    r->channels = g_new0(char *, count + 1);
    for (int i = 0; i < count; i++)
        r->channels[i] = g_strdup(channels[i]);
    if (r->state == UP)
        send_subscription(r);
}
