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
#include "dispatcher/store/wire/server.h"

#define CALL_TIMEOUT   5.0
#define CLOCK_INTERVAL 10.0

/*
 * Every connection, the first and each later one, goes through the same checks:
 *
 *   up ──▶ TIME ──▶ INFO ──▶ CONFIG GET appendfsync ──▶ hello ──▶ ready
 */
struct store_private {
    struct redis_address address;
    struct redis *subscriber;
    struct server *server;
    ev_timer clock;
    int64_t asked_at; /* TIME, in monotonic µs */
    char *configured_secret;
    double rate;
    bool allow_volatile, aof, given_up;
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
    script_run(s->redis, key, name, args, fn, arg);
}

void store_command(struct store *s, redis_answer_fn *fn, void *arg, int count, const char **words)
{
    g_autofree size_t *lens = g_new(size_t, count);

    for (int i = 0; i < count; i++)
        lens[i] = strlen(words[i]);
    redis_call(s->redis, fn, arg, count, words, lens);
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

/* A greeting that is refused leaves nothing to wait for: begin anew, with a pause. */
static void greeting_refused(struct store *s)
{
    if (redis_is_up(s->redis))
        redis_drop(s->redis, "Redis refused the greeting");
}

static void on_hello(void *arg, const redisReply *reply)
{
    struct store *s = arg;

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
    if (reply_int(reply, 1) != STORE_SCHEMA) {
        refuse(s, g_strdup_printf("the prefix \"%s\" holds data of schema %d, this program knows %d", s->prefix,
                                  (int)reply_int(reply, 1), STORE_SCHEMA));
        return;
    }
    g_free(s->secret);
    s->secret = g_strdup(s->own->configured_secret ? s->own->configured_secret : reply_text(reply, 2));
    clock_scale(g_ascii_strtod(reply_text(reply, 3), NULL), reply_int(reply, 4), reply_int(reply, 5));
    g_clear_pointer(&s->fatal, g_free);
    scripts_load(s->redis);
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
    args_int(a, STORE_SCHEMA);
    args_text(a, secret);
    args_text(a, rate);
    store_script(s, 0, "hello", a, on_hello, s);
}

/* A clock that runs fast would send next week's mail now: only where nothing real waits. */
static void look_for_messages(struct store *s, const char *cursor);

static void on_rate_known(void *arg, const redisReply *reply)
{
    struct store *s = arg;

    if (!reply)
        greeting_refused(s);
    else if (reply->type == REDIS_REPLY_STRING)
        say_hello(s); /* this prefix was made with a rate */
    else
        look_for_messages(s, "0");
}

static void on_messages_scanned(void *arg, const redisReply *reply)
{
    struct store *s = arg;
    const redisReply *keys = reply_at(reply, 1);

    if (!keys)
        greeting_refused(s);
    else if (keys->elements)
        refuse(s, g_strdup_printf(
                      "the prefix \"%s\" holds real messages, which --clock-rate would send before their time; "
                      "use another redis.prefix or data_dir for a demonstration",
                      s->prefix));
    else if (strcmp(reply_text(reply, 0), "0") != 0)
        look_for_messages(s, reply_text(reply, 0));
    else
        say_hello(s);
}

static void look_for_messages(struct store *s, const char *cursor)
{
    g_autofree char *match = g_strdup_printf("%s:{*}:s:*", s->prefix);
    store_command(s, on_messages_scanned, s, 6, (const char *[]){ "SCAN", cursor, "MATCH", match, "COUNT", "1000" });
}

static void greet_prefix(struct store *s)
{
    g_autofree char *meta = g_strdup_printf("%s:{0}:meta", s->prefix);

    if (s->own->rate > 0 && s->own->rate != 1)
        store_command(s, on_rate_known, s, 3, (const char *[]){ "HGET", meta, "rate" });
    else
        say_hello(s);
}

static void on_fsync(void *arg, const redisReply *reply)
{
    struct store *s = arg;

    /* an ACL may keep CONFIG from us: then the weaker promise is given */
    bool always = strcmp(reply_text(reply, 1), "always") == 0;
    s->durability = !s->own->aof ? DURABILITY_MEMORY : always ? DURABILITY_FSYNC : DURABILITY_EVERYSEC;
    if (s->durability == DURABILITY_MEMORY) {
        g_free(s->warning);
        s->warning = g_strdup("Redis keeps no append-only file: a restart of Redis loses accepted messages; set "
                              "\"appendonly yes\" in its configuration");
        log_warn("redis.volatile", "{s:s}", "why", s->warning);
    }
    greet_prefix(s);
}

static char *info_value(const char *info, const char *name)
{
    const char *at = strstr(info, name);

    if (!at)
        return g_strdup("");
    at += strlen(name);
    return g_strndup(at, strcspn(at, "\r\n"));
}

static void on_info(void *arg, const redisReply *reply)
{
    struct store *s = arg;

    if (!reply || reply->type != REDIS_REPLY_STRING) {
        greeting_refused(s);
        return;
    }
    g_autofree char *policy = info_value(reply->str, "maxmemory_policy:"),
                    *aof = info_value(reply->str, "aof_enabled:");
    g_autofree char *role = info_value(reply->str, "role:"), *cluster = info_value(reply->str, "cluster_enabled:");
    g_free(s->version);
    s->version = info_value(reply->str, "redis_version:");
    if (strcmp(cluster, "1") == 0) {
        refuse(s, g_strdup("this Redis is a node of a cluster, which is not supported yet; use a single Redis"));
        return;
    }
    if (strcmp(role, "slave") == 0) {
        redis_drop(s->redis, "this Redis is a read-only replica; name its master in redis.url");
        return;
    }
    if (*policy && strcmp(policy, "noeviction") != 0) {
        g_autofree char *why = g_strdup_printf(
            "Redis may evict keys (maxmemory-policy %s), which loses messages; set \"maxmemory-policy noeviction\"",
            policy);
        if (!s->own->allow_volatile) {
            refuse(s, g_strconcat(why, ", or redis.allow_volatile: true", NULL));
            return;
        }
        log_warn("redis.volatile", "{s:s}", "why", why);
    }
    s->own->aof = strcmp(aof, "1") == 0;
    store_command(s, on_fsync, s, 3, (const char *[]){ "CONFIG", "GET", "appendfsync" });
}

static void on_time(void *arg, const redisReply *reply)
{
    struct store *s = arg;

    if (reply && reply->type == REDIS_REPLY_ARRAY)
        clock_follow(reply_int(reply, 0) * 1000 + reply_int(reply, 1) / 1000,
                     g_get_monotonic_time() - s->own->asked_at);
}

static void ask_time(struct store *s)
{
    s->own->asked_at = g_get_monotonic_time();
    store_command(s, on_time, s, 1, (const char *[]){ "TIME" });
}

static void on_up(void *arg)
{
    struct store *s = arg;

    if (s->own->server)
        server_is_up(s->own->server);
    ask_time(s);
    store_command(s, on_info, s, 1, (const char *[]){ "INFO" });
}

static void on_down(void *arg, const char *why)
{
    struct store *s = arg;

    if (s->ready)
        log_warn("redis.lost", "{s:s}", "why", why);
    set_ready(s, false);
    if (s->own->server)
        server_ensure(s->own->server);
}

static void on_clock(struct ev_loop *loop, ev_timer *w, int revents)
{
    struct store *s = w->data;
    if (s->ready)
        ask_time(s);
}

/* ---------------------------------------------------------------- opening */

static char *parse_url(struct redis_address *a, const char *url)
{
    GError *error = NULL;

    if (g_str_has_prefix(url, "unix:")) {
        a->path = g_strdup(g_str_has_prefix(url, "unix://") ? url + 7 : url + 5);
        return NULL;
    }
    GUri *uri = g_uri_parse(url, G_URI_FLAGS_HAS_PASSWORD, &error);
    if (!uri) {
        char *why = g_strdup_printf("redis.url: %s", error->message);
        g_error_free(error);
        return why;
    }
    a->host = g_strdup(g_uri_get_host(uri));
    a->port = g_uri_get_port(uri) > 0 ? g_uri_get_port(uri) : 6379;
    a->user = g_strdup(g_uri_get_user(uri));
    a->password = g_strdup(g_uri_get_password(uri));
    a->db = (int)g_ascii_strtoll(*g_uri_get_path(uri) ? g_uri_get_path(uri) + 1 : "0", NULL, 10);
    g_uri_unref(uri);
    return NULL;
}

static char *find_redis(struct store *s, const struct config *config)
{
    const char *url = setting_text(config->root, "redis.url");
    char *why = NULL;

    if (url)
        return parse_url(&s->own->address, url);
    g_autofree char *data = config_path(config, config->root, "data_dir");
    s->own->server = server_open(data, &why);
    if (s->own->server)
        s->own->address.path = g_strdup(server_socket(s->own->server));
    return why;
}

struct store *store_open(struct ev_loop *loop, const struct config *config, double rate, char **why)
{
    struct store *s = g_new0(struct store, 1);
    const json_t *root = config->root;

    s->loop = loop;
    s->own = g_new0(struct store_private, 1);
    s->own->rate = rate;
    s->own->allow_volatile = setting_bool(root, "redis.allow_volatile");
    s->own->configured_secret = g_strdup(setting_text(root, "http.secret"));
    s->prefix = g_strdup(setting_text(root, "redis.prefix"));
    s->partitions = (int)setting_int(root, "redis.partitions");
    s->retain_messages_ms = setting_ms(root, "retention.messages");
    s->retain_events_ms = setting_ms(root, "retention.events");
    ev_init(&s->own->clock, on_clock);
    s->own->clock.data = s;
    *why = find_redis(s, config);
    if (*why) {
        store_close(s);
        return NULL;
    }
    s->redis = redis_open(loop, &s->own->address, CALL_TIMEOUT, (struct redis_events){ on_up, on_down, s });
    ev_timer_set(&s->own->clock, CLOCK_INTERVAL, CLOCK_INTERVAL);
    ev_timer_start(loop, &s->own->clock);
    return s;
}

void store_disconnect(struct store *s)
{
    s->ready = false;
    s->on_ready = NULL;
    ev_timer_stop(s->loop, &s->own->clock);
    redis_close(s->own->subscriber);
    redis_close(s->redis);
    s->own->subscriber = s->redis = NULL;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    store_disconnect(s);
    server_close(s->own->server);
    g_free(s->own->address.host);
    g_free(s->own->address.path);
    g_free(s->own->address.user);
    g_free(s->own->address.password);
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
    return s->fatal ? s->fatal : s->ready ? "" : redis_last_fault(s->redis);
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
    while (!s->ready && !s->fatal && !w.over && !s->own->given_up)
        ev_run(s->loop, EVRUN_ONCE);
    ev_timer_stop(s->loop, &w.timer);
    if (s->ready)
        return true;
    *why = s->fatal ? g_strdup(s->fatal)
                    : g_strdup_printf("Redis does not answer (%s); check redis.url and that redis-server runs",
                                      *redis_last_fault(s->redis) ? redis_last_fault(s->redis) : "no connection");
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
    s->own->on_message(s->own->message_arg, channel + strlen(s->prefix) + 1, message);
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
    s->own->subscriber = redis_open(s->loop, &s->own->address, 0, (struct redis_events){ 0 });
    redis_subscribe(s->own->subscriber, count, channels, on_message, s);
    for (int i = 0; i < count; i++)
        g_free((char *)channels[i]);
}

struct redis *store_connection(struct store *s, double timeout, struct redis_events events)
{
    return redis_open(s->loop, &s->own->address, timeout, events);
}
