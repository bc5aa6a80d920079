#include "dispatcher/store/wire/redis.h"

#include <assert.h>
#include <glib.h>
#include <stdio.h>
#include <string.h>

#include "dispatcher/base/metrics.h"
#include "dispatcher/store/wire/link.h"
#include "dispatcher/store/wire/resolve.h"

#define CONNECT_TIMEOUT 3.0
#define FIRST_WAIT      0.05
#define LONGEST_WAIT    2.0
#define REPLICAS_MS     "1000"

struct call {
    redis_answer_fn *fn;
    void *arg;
    double sent;
    bool takes_errors;
    redisReply *held; /* until replicas have what it has done */
};

struct redis {
    struct ev_loop *loop;
    struct redis_options is;
    struct redis_events events;
    double wait;
    struct link *link;
    redisReader *reader;
    enum { DOWN, RESOLVING, CONNECTING, GREETING, UP } state;
    struct resolving *resolving;
    struct redis_place place;
    unsigned turn; /* of a name's addresses, each is tried in its turn */
    bool closing;
    double up_at; /* loop time; 0: it is not */
    char fault[256];
    GQueue sent;    /* struct call, in the order of their replies */
    GQueue held;    /* answered, but replicas have not said so yet */
    GQueue refused; /* answered with NULL from the loop */
    int replicas;   /* that are waited for */
    bool unconfirmed;
    ev_timer again, watchdog, refusals, drop;
    ev_prepare turn_end;
};

static void connect_now(struct redis *);

/* ---------------------------------------------------------------- answers */

static void answer(struct call *c, const redisReply *reply)
{
    redis_answer_fn *fn = c->fn;
    void *arg = c->arg;

    if (c->held && c->held != reply)
        freeReplyObject(c->held);
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

/* Everything that was under way: its outcome is unknown. */
static void answer_none(struct redis *r)
{
    GQueue lost[] = { r->held, r->sent };

    g_queue_init(&r->held);
    g_queue_init(&r->sent);
    for (size_t i = 0; i < G_N_ELEMENTS(lost); i++)
        while (lost[i].length)
            answer(g_queue_pop_head(&lost[i]), NULL);
}

static bool ends_connection(const struct redis *r, const redisReply *reply)
{
    static const char *const words[] = { "LOADING", "READONLY", "MASTERDOWN", "NOAUTH", "WRONGPASS", "NOPERM",
                                         "OOM",     "MISCONF",  "NOREPLICAS", "BUSY ",  "MOVED",     "ASK " };
    size_t count = r->is.stays ? G_N_ELEMENTS(words) - 2 : G_N_ELEMENTS(words);

    for (size_t i = 0; reply->type == REDIS_REPLY_ERROR && i < count; i++)
        if (strncmp(reply->str, words[i], strlen(words[i])) == 0)
            return true;
    return false;
}

/* ---------------------------------------------------------------- up and down */

static void went_down(struct redis *r, const char *why)
{
    bool was_up = r->up_at > 0;

    r->state = DOWN;
    link_close(r->link);
    r->link = NULL;
    g_clear_pointer(&r->reader, redisReaderFree);
    if (*why)
        g_strlcpy(r->fault, why, sizeof r->fault);
    ev_timer_stop(r->loop, &r->watchdog);
    ev_timer_stop(r->loop, &r->drop);
    if (r->resolving)
        resolve_cancel(r->resolving);
    r->resolving = NULL;
    if (was_up && ev_now(r->loop) - r->up_at > LONGEST_WAIT)
        r->wait = FIRST_WAIT; /* it was well; one that is refused each time is asked less and less */
    r->up_at = 0;
    r->unconfirmed = false;
    answer_none(r);
    if (r->closing)
        return;
    if (was_up)
        metrics_add(METRIC_REDIS_LOST, "", 1);
    ev_timer_set(&r->again, r->wait, 0.);
    ev_timer_start(r->loop, &r->again);
    r->wait = MIN(r->wait * 2, LONGEST_WAIT);
    if (r->events.down)
        r->events.down(r->events.arg, r->fault);
}

static void on_link_down(void *arg, const char *why)
{
    went_down(arg, why);
}

/* Not from inside the callback of an answer. */
static void on_drop(struct ev_loop *loop, ev_timer *w, int revents)
{
    struct redis *r = w->data;

    ev_timer_stop(loop, w);
    if (r->link || r->resolving)
        went_down(r, r->fault);
}

void redis_drop(struct redis *r, const char *why)
{
    g_strlcpy(r->fault, why, sizeof r->fault);
    if (!r->link && !r->resolving)
        return;
    if (r->state == UP)
        r->state = GREETING; /* no call goes out any more */
    ev_timer_set(&r->drop, 0., 0.);
    ev_timer_start(r->loop, &r->drop);
}

/* ---------------------------------------------------------------- calls */

static void send_words(struct redis *r, int argc, const char **argv, const size_t *lens)
{
    char *bytes = NULL;
    long long len = redisFormatCommandArgv(&bytes, argc, argv, (size_t *)lens);

    assert(len > 0);
    link_send(r->link, bytes, (size_t)len);
    redisFreeCommand(bytes);
}

static void send_call(struct redis *r, struct call *c, int argc, const char **argv, const size_t *lens)
{
    c->sent = ev_now(r->loop);
    if (!r->link) {
        refuse(r, c);
        return;
    }
    send_words(r, argc, argv, lens);
    g_queue_push_tail(&r->sent, c);
}

static struct call *call_new(redis_answer_fn *fn, void *arg)
{
    struct call *c = g_new0(struct call, 1);

    *c = (struct call){ .fn = fn, .arg = arg };
    return c;
}

static void greet(struct redis *r, redis_answer_fn *fn, int argc, const char **argv)
{
    send_call(r, call_new(fn, r), argc, argv, NULL);
}

/* A WAIT that is under way, and for how many. */
struct confirming {
    struct redis *redis;
    int replicas;
};

static void on_confirmed(void *arg, const redisReply *reply)
{
    g_autofree struct confirming *asked = arg;
    struct redis *r = asked->redis;
    GQueue held = r->held;

    if (!reply || reply->type != REDIS_REPLY_INTEGER || reply->integer < asked->replicas) {
        if (reply)
            redis_drop(r, "no replica has confirmed what was written");
        return; /* what is held is answered when the connection goes */
    }
    g_queue_init(&r->held);
    while (held.length) {
        struct call *c = g_queue_pop_head(&held);
        redisReply *its = c->held;
        answer(c, its);
        freeReplyObject(its);
    }
}

static void ask_replicas(struct redis *r)
{
    struct confirming *c = g_new0(struct confirming, 1);
    char count[8];

    *c = (struct confirming){ r, r->replicas };
    snprintf(count, sizeof count, "%d", r->replicas);
    r->unconfirmed = false;
    send_call(r, call_new(on_confirmed, c), 3, (const char *[]){ "WAIT", count, REPLICAS_MS }, NULL);
}

/* The end of a turn of the loop: what was said in it goes out in one piece, and behind it the question whether replicas
 * have it. */
static void on_turn_end(struct ev_loop *loop, ev_prepare *w, int revents)
{
    struct redis *r = w->data;

    if (r->unconfirmed && r->link)
        ask_replicas(r);
    if (r->link)
        link_flush(r->link);
}

/* ---------------------------------------------------------------- replies */

/* Takes the reply. */
static void take_reply(struct redis *r, redisReply *reply)
{
    struct call *c = g_queue_pop_head(&r->sent);

    if (!c) {
        if (r->events.heard)
            r->events.heard(r->events.arg, reply);
        freeReplyObject(reply);
    } else if (!c->takes_errors && ends_connection(r, reply)) {
        redis_drop(r, reply->str);
        freeReplyObject(reply);
        answer(c, NULL);
    } else if (r->replicas > 0 && r->state == UP && c->fn != on_confirmed) {
        c->held = reply;
        g_queue_push_tail(&r->held, c);
    } else {
        answer(c, reply);
        freeReplyObject(reply);
    }
}

static void on_link_bytes(void *arg, const char *bytes, size_t len)
{
    struct redis *r = arg;
    void *reply;

    if (ev_is_active(&r->drop)) /* whatever else comes is not trusted any more */
        return;
    if (redisReaderFeed(r->reader, bytes, len) != REDIS_OK) {
        redis_drop(r, r->reader->errstr);
        return;
    }
    for (;;) {
        if (redisReaderGetReply(r->reader, &reply) != REDIS_OK) {
            redis_drop(r, r->reader->errstr);
            return;
        }
        if (!reply)
            return;
        take_reply(r, reply);
        if (!r->link || ev_is_active(&r->drop))
            return;
    }
}

/* ---------------------------------------------------------------- watching */

static void on_watchdog(struct ev_loop *loop, ev_timer *w, int revents)
{
    struct redis *r = w->data;

    const struct call *oldest = g_queue_peek_head(&r->sent);
    double limit = r->state == UP ? r->is.timeout_s : CONNECT_TIMEOUT;

    if (r->state == CONNECTING)
        redis_drop(r, r->is.address->tls ? "no TLS connection in time" : "no connection in time");
    else if (oldest && limit > 0 && ev_now(loop) - oldest->sent > limit)
        redis_drop(r, "no answer in time");
}

static void watch(struct redis *r, double first)
{
    ev_timer_stop(r->loop, &r->watchdog);
    ev_timer_set(&r->watchdog, first, 0.5);
    ev_timer_start(r->loop, &r->watchdog);
}

/* ---------------------------------------------------------------- connecting */

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
    r->up_at = ev_now(r->loop);
    if (r->events.up)
        r->events.up(r->events.arg);
}

static void on_step(void *arg, const redisReply *reply)
{
    if (reply && reply->type == REDIS_REPLY_ERROR)
        redis_drop(arg, reply->str);
}

static void on_link_up(void *arg)
{
    struct redis *r = arg;
    const struct redis_address *a = r->is.address;
    char db[16];

    r->state = GREETING;
    watch(r, 0.5);
    if (a->password && !r->is.bare && a->user && *a->user)
        greet(r, on_step, 3, (const char *[]){ "AUTH", a->user, a->password });
    else if (a->password && !r->is.bare)
        greet(r, on_step, 2, (const char *[]){ "AUTH", a->password });
    snprintf(db, sizeof db, "%d", a->db);
    if (a->db && !r->is.bare)
        greet(r, on_step, 2, (const char *[]){ "SELECT", db });
    greet(r, on_greeted, 1, (const char *[]){ "PING" });
}

/* The address in numbers, NULL for the unix socket. */
static void connect_to(struct redis *r, const char *address)
{
    const struct link_target target = { .address = address,
                                        .port = r->place.port,
                                        .path = r->is.address->path,
                                        .tls = r->is.address->tls,
                                        .name = r->place.host };
    const char *why = NULL;

    r->link = link_open(r->loop, &target, &(struct link_events){ on_link_up, on_link_bytes, on_link_down, r }, &why);
    if (!r->link) {
        went_down(r, why);
        return;
    }
    r->reader = redisReaderCreate();
    r->state = CONNECTING;
    watch(r, CONNECT_TIMEOUT);
}

static void on_resolved(void *arg, const struct resolved *found)
{
    struct redis *r = arg;

    r->resolving = NULL;
    if (found->count) {
        connect_to(r, found->address[r->turn++ % (unsigned)found->count]);
        return;
    }
    g_autofree char *why = g_strdup_printf("%s: %s", r->place.host, found->why);
    went_down(r, why);
}

static void connect_now(struct redis *r)
{
    const char *why = "";

    if (r->is.address->path) {
        connect_to(r, NULL);
    } else if (!r->is.where(r->is.where_arg, &r->place, &why)) {
        went_down(r, why);
    } else if (resolve_is_number(r->place.host)) {
        connect_to(r, r->place.host);
    } else {
        r->state = RESOLVING;
        r->resolving = resolve_begin(r->loop, r->place.host, on_resolved, r);
    }
}

static void on_again(struct ev_loop *loop, ev_timer *w, int revents)
{
    ev_timer_stop(loop, w);
    connect_now(w->data);
}

void redis_now(struct redis *r)
{
    if (r->state != DOWN || r->closing)
        return;
    r->wait = FIRST_WAIT;
    ev_timer_stop(r->loop, &r->again);
    ev_timer_set(&r->again, 0., 0.);
    ev_timer_start(r->loop, &r->again);
}

/* ---------------------------------------------------------------- the face */

struct redis *redis_open(struct ev_loop *loop, const struct redis_options *options, struct redis_events events)
{
    struct redis *r = g_new0(struct redis, 1);

    *r = (struct redis){ .loop = loop, .is = *options, .events = events, .wait = FIRST_WAIT };
    g_queue_init(&r->sent);
    g_queue_init(&r->held);
    g_queue_init(&r->refused);
    ev_init(&r->again, on_again);
    ev_init(&r->watchdog, on_watchdog);
    ev_init(&r->refusals, on_refusals);
    ev_init(&r->drop, on_drop);
    r->again.data = r->watchdog.data = r->refusals.data = r->drop.data = r;
    ev_prepare_init(&r->turn_end, on_turn_end);
    ev_set_priority(&r->turn_end, EV_MINPRI); /* behind all who still say something in this turn */
    r->turn_end.data = r;
    ev_prepare_start(loop, &r->turn_end);
    ev_timer_set(&r->again, 0., 0.);
    ev_timer_start(loop, &r->again);
    return r;
}

void redis_close(struct redis *r)
{
    if (!r)
        return;
    r->closing = true;
    went_down(r, "");
    while (r->refused.length)
        answer(g_queue_pop_head(&r->refused), NULL);
    ev_timer_stop(r->loop, &r->again);
    ev_timer_stop(r->loop, &r->refusals);
    ev_prepare_stop(r->loop, &r->turn_end);
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

static void call(struct redis *r, struct call *c, int argc, const char **argv, const size_t *lens)
{
    if (r->state != UP) {
        refuse(r, c);
        return;
    }
    send_call(r, c, argc, argv, lens);
    r->unconfirmed |= r->replicas > 0;
}

void redis_call(struct redis *r, redis_answer_fn *fn, void *arg, int argc, const char **argv, const size_t *lens)
{
    call(r, call_new(fn, arg), argc, argv, lens);
}

void redis_say(struct redis *r, redis_answer_fn *fn, void *arg, int argc, const char **argv)
{
    struct call *c = call_new(fn, arg);

    c->takes_errors = true;
    call(r, c, argc, argv, NULL);
}

void redis_wait_for(struct redis *r, int replicas)
{
    r->replicas = replicas;
    r->unconfirmed |= replicas > 0 && r->held.length + r->sent.length > 0;
}

void redis_tell(struct redis *r, int argc, const char **argv)
{
    if (r->state == UP)
        send_words(r, argc, argv, NULL);
}
