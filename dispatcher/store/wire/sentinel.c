#include "dispatcher/store/wire/sentinel.h"

#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/store/wire/reply.h"

#define ASK_EVERY 1.0

struct sentinel {
    struct ev_loop *loop;
    const struct redis_address *address;
    struct redis *redis;
    unsigned turn; /* which is asked next */
    ev_timer ask;
    struct redis_place named;
    named_fn *fn;
    void *arg;
    char fault[400];
};

static bool where(void *arg, struct redis_place *p, const char **why)
{
    struct sentinel *s = arg;

    *p = s->address->places[s->turn++ % (unsigned)s->address->count];
    return true;
}

/* Name and value in turn; a stale master would not know it, so the sentinels say which replicas are well. */
static bool replica_is_well(const redisReply *fields)
{
    for (size_t i = 0; fields && i + 1 < fields->elements; i += 2)
        if (strcmp(reply_text(fields, i), "flags") == 0)
            return !strstr(reply_text(fields, i + 1), "down") && !strstr(reply_text(fields, i + 1), "disconnected");
    return false;
}

/* The master counts once its replicas are known, too. */
static void on_replicas(void *arg, const redisReply *reply)
{
    struct sentinel *s = arg;
    int well = 0;

    if (!reply || reply->type != REDIS_REPLY_ARRAY || s->named.port <= 0)
        return;
    for (size_t i = 0; i < reply->elements; i++)
        well += replica_is_well(reply_at(reply, i));
    s->fn(s->arg, &s->named, well);
}

static void on_master(void *arg, const redisReply *reply)
{
    struct sentinel *s = arg;

    if (!reply)
        return;
    s->named.port = (int)strtol(reply_text(reply, 1), NULL, 10);
    g_strlcpy(s->named.host, reply_text(reply, 0), sizeof s->named.host);
    s->fault[0] = '\0';
    if (s->named.port > 0)
        return;
    snprintf(s->fault, sizeof s->fault, "the sentinels know no master called \"%s\"", s->address->master);
    redis_drop(s->redis, s->fault); /* the next one may */
}

static void ask(struct sentinel *s)
{
    const char *const name = s->address->master;

    if (!redis_is_up(s->redis))
        return;
    redis_say(s->redis, on_master, s, 3, (const char *[]){ "SENTINEL", "get-master-addr-by-name", name });
    redis_say(s->redis, on_replicas, s, 3, (const char *[]){ "SENTINEL", "replicas", name });
}

static void on_ask(struct ev_loop *loop, ev_timer *w, int revents)
{
    ask(w->data);
}

static void on_up(void *arg)
{
    ask(arg);
}

static void on_down(void *arg, const char *why)
{
    struct sentinel *s = arg;

    if (strcmp(why, s->fault) != 0)
        snprintf(s->fault, sizeof s->fault, "no sentinel answers: %s", why);
}

struct sentinel *sentinel_open(struct ev_loop *loop, const struct redis_address *address, double timeout, named_fn *fn,
                               void *arg)
{
    struct sentinel *s = g_new0(struct sentinel, 1);
    const struct redis_options options = {
        .address = address, .where = where, .where_arg = s, .timeout_s = timeout, .bare = true
    };

    *s = (struct sentinel){ .loop = loop, .address = address, .fn = fn, .arg = arg };
    s->redis = redis_open(loop, &options, (struct redis_events){ .up = on_up, .down = on_down, .arg = s });
    ev_timer_init(&s->ask, on_ask, ASK_EVERY, ASK_EVERY);
    s->ask.data = s;
    ev_timer_start(loop, &s->ask);
    return s;
}

void sentinel_close(struct sentinel *s)
{
    if (!s)
        return;
    ev_timer_stop(s->loop, &s->ask);
    redis_close(s->redis);
    g_free(s);
}

const char *sentinel_fault(const struct sentinel *s)
{
    return s->fault;
}
