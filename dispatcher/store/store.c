#include "dispatcher/store/store.h"

#include <assert.h>
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "dispatcher/base/clock.h"
#include "dispatcher/base/log.h"
#include "dispatcher/base/metrics.h"
#include "dispatcher/config/settings.h"
#include "dispatcher/store/wire/scan.h"
#include "dispatcher/store/wire/upgrade.h"
#include "dispatcher/store/wire/server.h"
#include "dispatcher/store/wire/subscriber.h"

#define TRACE_LINES    500 /* of a person's runs */
#define CALL_TIMEOUT   5.0
#define CLOCK_INTERVAL 10.0
#define GREET_AGAIN    0.5

/*
 * Every connection to a server, the first and each later one, is examined (greeting.h); then the prefix is greeted, on
 * the server of partition 0:
 *
 *   examined ──▶ (no real messages, when the clock is to run fast) ──▶ hello ──▶ ready
 */
struct store_private {
    struct redis_address address;
    struct subscriber *subscriber;
    struct server *server;
    ev_timer clock, again;
    int64_t asked_at; /* TIME, in monotonic µs */
    char *configured_secret;
    double rate;
    bool allow_volatile, given_up, greeting, greeted, takes_over, upgrading;
    void (*on_message)(void *arg, const char *name, const char *message);
    void *message_arg;
};

const char *durability_name(enum durability d)
{
    static const char *const names[] = { "memory", "everysec", "fsync" };
    return names[d];
}

int store_partition(const struct store *s, const char *name)
{
    return partition_of(name, s->partitions);
}

char *store_key(const struct store *s, const char *name)
{
    return g_strdup_printf("%s:%s", s->prefix, name);
}

void store_script(struct store *s, int partition, const char *name, struct args *args, redis_answer_fn *fn, void *arg)
{
    char key[64];

    snprintf(key, sizeof key, "%s:{%d}:", s->prefix, partition);
    script_run(s->nodes, key, name, args, fn, arg);
}

void store_command_bytes(struct store *s, redis_answer_fn *fn, void *arg, int count, const char **words,
                         const size_t *lens)
{
    nodes_call(s->nodes, words[1], fn, arg, count, words, lens);
}

void store_command(struct store *s, redis_answer_fn *fn, void *arg, int count, const char **words)
{
    store_command_bytes(s, fn, arg, count, words, NULL);
}

/* ---------------------------------------------------------------- becoming ready */

static void set_ready(struct store *s, bool ready)
{
    if (s->ready == ready)
        return;
    s->ready = ready;
    metrics_set(METRIC_REDIS_UP, "", ready);
    if (s->on_ready)
        s->on_ready(s->ready_arg, ready);
}

static void refuse(struct store *s, char *why)
{
    if (!s->fatal)
        log_error("redis.refused", "{s:s}", "why", why);
    g_free(s->fatal);
    s->fatal = why;
}

/* Nothing else would ask again. */
static void greeting_refused(struct store *s)
{
    s->own->greeting = false;
    ev_timer_set(&s->own->again, GREET_AGAIN, 0.);
    ev_timer_start(s->loop, &s->own->again);
}

static void say_hello(struct store *s);

static void on_upgraded(void *arg, const char *why)
{
    struct store *s = arg;

    s->own->upgrading = false;
    if (!why) {
        s->own->greeting = true;
        say_hello(s);
    } else if (*why) {
        refuse(s, g_strdup(why));
    } else {
        greeting_refused(s);
    }
}

/* What another version wrote. */
static void take_over(struct store *s, int schema)
{
    if (schema > SCHEMA || schema < UPGRADE_FROM) {
        refuse(s, g_strdup_printf("the prefix \"%s\" holds data of schema %d, this program knows %d to %d", s->prefix,
                                  schema, UPGRADE_FROM, SCHEMA));
    } else if (!s->own->takes_over) {
        refuse(s, g_strdup_printf("the prefix \"%s\" holds data of schema %d, written by an earlier version; \"tidings "
                                  "serve\" of this one takes it over when it starts",
                                  s->prefix, schema));
    } else if (!s->own->upgrading) {
        s->own->upgrading = true;
        upgrade_run(&(struct upgrade_of){ schema, s->nodes, s->prefix, s->partitions, s->retain_messages_ms,
                                          s->retain_events_ms },
                    on_upgraded, s);
    }
}

static void on_hello(void *arg, const redisReply *reply)
{
    struct store *s = arg;

    s->own->greeting = false;
    if (!reply) {
        greeting_refused(s);
        return;
    }
    if (reply_int(reply, 0) != s->partitions) {
        refuse(s,
               g_strdup_printf(
                   "the prefix \"%s\" was made with %d partitions; set redis.partitions to %d, or use another prefix",
                   s->prefix, (int)reply_int(reply, 0), (int)reply_int(reply, 0)));
        return;
    }
    int schema = *reply_text(reply, 6) ? (int)reply_int(reply, 6) : (int)reply_int(reply, 1);
    if (schema != SCHEMA) {
        take_over(s, schema);
        return;
    }
    g_free(s->secret);
    s->secret = g_strdup(s->own->configured_secret ? s->own->configured_secret : reply_text(reply, 2));
    clock_scale(g_ascii_strtod(reply_text(reply, 3), NULL), reply_int(reply, 4), reply_int(reply, 5));
    g_clear_pointer(&s->fatal, g_free);
    s->own->greeted = true;
    set_ready(s, true);
}

static void say_hello(struct store *s)
{
    struct args *a = args_new();
    char secret[48], rate[G_ASCII_DTOSTR_BUF_SIZE] = "";
    unsigned char bytes[20];

    if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes)
        return;
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(secret + 2 * i, 3, "%02x", bytes[i]);
    if (s->own->rate > 0)
        g_ascii_formatd(rate, sizeof rate, "%.10g", s->own->rate);
    args_int(a, s->partitions);
    args_int(a, SCHEMA);
    args_text(a, secret);
    args_text(a, rate);
    store_script(s, 0, "hello", a, on_hello, s);
}

/* A clock that runs fast would send next week's mail now: only where nothing real waits. */
static void on_messages_scanned(void *arg, const char *cursor, const redisReply *keys)
{
    struct store *s = arg;
    g_autofree char *states = store_key(s, STORE_MESSAGES);

    if (!keys)
        greeting_refused(s);
    else if (keys->elements)
        refuse(s, g_strdup_printf(
                      "the prefix \"%s\" holds real messages, which --clock-rate would send before their time; "
                      "use another redis.prefix or data_dir for a demonstration",
                      s->prefix));
    else if (strcmp(cursor, "0") != 0)
        scan_page(s->nodes, states, cursor, on_messages_scanned, s);
    else
        say_hello(s);
}

static void on_rate_known(void *arg, const redisReply *reply)
{
    struct store *s = arg;
    g_autofree char *states = store_key(s, STORE_MESSAGES);

    if (!reply)
        greeting_refused(s);
    else if (reply->type == REDIS_REPLY_STRING)
        say_hello(s); /* this prefix was made with a rate */
    else
        scan_page(s->nodes, states, "0", on_messages_scanned, s);
}

static void greet_prefix(struct store *s)
{
    g_autofree char *meta = g_strdup_printf("%s:{0}:meta", s->prefix);

    if (s->own->greeting || !nodes_reach(s->nodes, meta))
        return;
    s->own->greeting = true;
    if (s->own->rate > 0 && s->own->rate != 1)
        store_command(s, on_rate_known, s, 3, (const char *[]){ "HGET", meta, "rate" });
    else
        say_hello(s);
}

static void on_greet_again(struct ev_loop *loop, ev_timer *w, int revents)
{
    ev_timer_stop(loop, w);
    greet_prefix(w->data);
}

/* ---------------------------------------------------------------- servers come and go */

static void warn_volatile(struct store *s, const char *why)
{
    g_free(s->warning);
    s->warning = g_strdup(why);
    log_warn("redis.volatile", "{s:s}", "why", why);
}

static void on_server_greeted(void *arg, struct node *node, const struct greeting *found, const char *why)
{
    struct store *s = arg;

    if (!found || (found->evicts && !s->own->allow_volatile)) {
        if (found)
            refuse(s, g_strconcat(found->evicts, ", or redis.allow_volatile: true", NULL));
        node_examined(node, &(struct examined){ .why = found ? found->evicts : why });
        return;
    }
    if (found->evicts)
        log_warn("redis.volatile", "{s:s}", "why", found->evicts);
    s->durability = s->version ? MIN(s->durability, found->durability) : found->durability;
    g_free(s->version);
    s->version = g_strdup(found->version);
    if (found->durability == DURABILITY_MEMORY)
        warn_volatile(s, "Redis keeps no append-only file: a restart of Redis loses accepted messages; set "
                         "\"appendonly yes\" in its configuration");
    node_examined(node, &(struct examined){ found->cluster, found->replica, found->replicas, NULL });
}

static void ask_time(struct store *s);

static void on_examine(void *arg, struct node *node, struct redis *redis)
{
    struct store *s = arg;

    if (s->own->server)
        server_is_up(s->own->server);
    scripts_load(redis);
    greet_server(node, redis, on_server_greeted, s);
}

static void on_changed(void *arg, bool gained)
{
    struct store *s = arg;

    metrics_set(METRIC_PARTITIONS_AWAY, "", store_away(s));
    if (!nodes_any(s->nodes)) {
        if (s->ready)
            log_warn("redis.lost", "{s:s}", "why", nodes_fault(s->nodes));
        s->own->greeted = false;
        set_ready(s, false);
        if (s->own->server)
            server_ensure(s->own->server);
        return;
    }
    if (!gained)
        return;
    if (s->own->greeted && s->on_ready)
        s->on_ready(s->ready_arg, true);
    ask_time(s);
    greet_prefix(s);
}

static void on_time(void *arg, const redisReply *reply)
{
    struct store *s = arg;

    if (reply && reply->type == REDIS_REPLY_ARRAY)
        clock_follow(reply_int(reply, 0) * 1000 + reply_int(reply, 1) / 1000,
                     g_get_monotonic_time() - s->own->asked_at);
}

/* One clock for all: that of the server of partition 0. */
static void ask_time(struct store *s)
{
    g_autofree char *meta = g_strdup_printf("%s:{0}:meta", s->prefix);

    s->own->asked_at = g_get_monotonic_time();
    nodes_call(s->nodes, meta, on_time, s, 1, (const char *[]){ "TIME" }, NULL);
}

static void on_clock(struct ev_loop *loop, ev_timer *w, int revents)
{
    struct store *s = w->data;
    if (s->ready)
        ask_time(s);
}

/* ---------------------------------------------------------------- opening */

static char *find_redis(struct store *s, const struct config *config)
{
    const char *url = setting_text(config->root, "redis.url");
    char *why = NULL;

    if (url)
        return address_parse(&s->own->address, url, config);
    g_autofree char *data = config_path(config, config->root, "data_dir");
    s->own->server = server_open(data, &why);
    if (s->own->server)
        s->own->address.path = g_strdup(server_socket(s->own->server));
    return why;
}

/* Where a failover may happen, nothing counts before a replica has it. */
static int wait_replicas(const struct store *s, const json_t *root)
{
    bool asked = setting_json(root, "redis.wait_replicas") != NULL;
    return asked ? (int)setting_int(root, "redis.wait_replicas") : s->own->address.kind != REDIS_ONE;
}

struct store *store_open(struct ev_loop *loop, const struct config *config, double rate, bool takes_over, char **why)
{
    struct store *s = g_new0(struct store, 1);
    const json_t *root = config->root;

    s->loop = loop;
    s->own = g_new0(struct store_private, 1);
    s->own->rate = rate;
    s->own->takes_over = takes_over;
    s->own->allow_volatile = setting_bool(root, "redis.allow_volatile");
    s->own->configured_secret = g_strdup(setting_text(root, "http.secret"));
    s->prefix = g_strdup(setting_text(root, "redis.prefix"));
    s->partitions = (int)setting_int(root, "redis.partitions");
    s->retain_messages_ms = setting_ms(root, "retention.messages");
    s->retain_events_ms = setting_ms(root, "retention.events");
    s->trace_lines = TRACE_LINES;
    ev_init(&s->own->clock, on_clock);
    ev_init(&s->own->again, on_greet_again);
    s->own->clock.data = s->own->again.data = s;
    *why = find_redis(s, config);
    if (*why) {
        store_close(s);
        return NULL;
    }
    s->nodes = nodes_open(loop, &s->own->address, CALL_TIMEOUT, wait_replicas(s, root),
                          (struct topology_events){ on_examine, on_changed, s });
    ev_timer_set(&s->own->clock, CLOCK_INTERVAL, CLOCK_INTERVAL);
    ev_timer_start(loop, &s->own->clock);
    return s;
}

void store_disconnect(struct store *s)
{
    s->ready = false;
    s->on_ready = NULL;
    subscriber_close(s->own->subscriber);
    nodes_close(s->nodes);
    s->own->subscriber = NULL;
    s->nodes = NULL;
    ev_timer_stop(s->loop, &s->own->clock);
    ev_timer_stop(s->loop, &s->own->again);
}

void store_close(struct store *s)
{
    if (!s)
        return;
    store_disconnect(s);
    server_close(s->own->server);
    address_clear(&s->own->address);
    g_free(s->own->configured_secret);
    g_free(s->own);
    g_free(s->prefix);
    g_free(s->secret);
    g_free(s->fatal);
    g_free(s->warning);
    g_free(s->version);
    g_free(s);
}

const char *store_fault(const struct store *s)
{
    return s->fatal ? s->fatal : s->ready ? "" : nodes_fault(s->nodes);
}

bool store_reaches(const struct store *s, int partition)
{
    char key[64];

    snprintf(key, sizeof key, "%s:{%d}:", s->prefix, partition);
    return nodes_reach(s->nodes, key);
}

int store_away(const struct store *s)
{
    int away = 0;

    for (int p = 0; p < s->partitions; p++)
        away += !store_reaches(s, p);
    return away;
}

struct waiting {
    ev_timer timer;
    bool over;
};

static void on_wait_over(struct ev_loop *loop, ev_timer *w, int revents)
{
    ((struct waiting *)w->data)->over = true;
    ev_timer_stop(loop, w);
}

bool store_wait(struct store *s, double timeout, char **why)
{
    struct waiting w = { .over = false };

    ev_timer_init(&w.timer, on_wait_over, timeout, 0.);
    w.timer.data = &w;
    ev_now_update(s->loop);
    ev_timer_start(s->loop, &w.timer);
    while (!s->ready && !s->fatal && (!w.over || s->own->upgrading) && !s->own->given_up)
        ev_run(s->loop, EVRUN_ONCE);
    ev_timer_stop(s->loop, &w.timer);
    if (s->ready)
        return true;
    *why = s->fatal ? g_strdup(s->fatal)
                    : g_strdup_printf("Redis does not answer (%s); check redis.url and that redis-server runs",
                                      *nodes_fault(s->nodes) ? nodes_fault(s->nodes) : "no connection");
    return false;
}

void store_give_up(struct store *s)
{
    s->own->given_up = true;
}

/* ---------------------------------------------------------------- further connections */

static void on_message(void *arg, const char *channel, const char *message)
{
    struct store *s = arg;
    /* "": it was broken, and nobody knows what was said meanwhile */
    s->own->on_message(s->own->message_arg, *channel ? channel + strlen(s->prefix) + 1 : "", message);
}

void store_subscribe(struct store *s, int count, const char **names, void (*fn)(void *, const char *, const char *),
                     void *arg)
{
    const char *channels[8];

    assert(count <= 8 && !s->own->subscriber);
    for (int i = 0; i < count; i++)
        channels[i] = store_key(s, names[i]);
    s->own->on_message = fn;
    s->own->message_arg = arg;
    s->own->subscriber = subscriber_open(s->loop, s->nodes, count, channels, on_message, s);
    for (int i = 0; i < count; i++)
        g_free((char *)channels[i]);
}

struct redis *store_connection(struct store *s, const char *key, double timeout, struct redis_events events)
{
    return nodes_connection(s->nodes, key, timeout, events);
}
