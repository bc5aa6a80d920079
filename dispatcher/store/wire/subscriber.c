#include "dispatcher/store/wire/subscriber.h"

#include <glib.h>

#define PING_EVERY 4.0 /* seconds */

struct subscriber {
    struct ev_loop *loop;
    struct redis *redis;
    ev_timer ping;
    double heard_at; /* loop time */
    bool was_up;
    int count;
    char **words; /* SUBSCRIBE channel … */
    published_fn *fn;
    void *arg;
};

static void on_up(void *arg)
{
    struct subscriber *s = arg;

    s->heard_at = ev_now(s->loop);
    redis_tell(s->redis, s->count + 1, (const char **)s->words);
    if (s->was_up)
        s->fn(s->arg, "", ""); /* what was said meanwhile is lost */
    s->was_up = true;
}

static void on_heard(void *arg, const redisReply *reply)
{
    struct subscriber *s = arg;

    s->heard_at = ev_now(s->loop);
    if (reply->type == REDIS_REPLY_ERROR)
        redis_drop(s->redis, reply->str);
    else if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 3 && reply->element[2]->type == REDIS_REPLY_STRING)
        s->fn(s->arg, reply->element[1]->str, reply->element[2]->str);
}

/* Nobody answers on a connection that only listens, so it is asked now and then; the silence of a dead one would last.
 */
static void on_ping(struct ev_loop *loop, ev_timer *w, int revents)
{
    struct subscriber *s = w->data;

    if (!redis_is_up(s->redis))
        return;
    if (ev_now(loop) - s->heard_at > 2 * PING_EVERY + 1)
        redis_drop(s->redis, "the subscription is silent");
    else
        redis_tell(s->redis, 1, (const char *[]){ "PING" });
}

struct subscriber *subscriber_open(struct ev_loop *loop, struct nodes *nodes, int count, const char **channels,
                                   published_fn *fn, void *arg)
{
    struct subscriber *s = g_new0(struct subscriber, 1);

    *s = (struct subscriber){ .loop = loop, .count = count, .fn = fn, .arg = arg };
    s->words = g_new0(char *, count + 2);
    s->words[0] = g_strdup("SUBSCRIBE");
    for (int i = 0; i < count; i++)
        s->words[i + 1] = g_strdup(channels[i]);
    s->redis = nodes_connection(nodes, NULL, 0, (struct redis_events){ .up = on_up, .heard = on_heard, .arg = s });
    ev_timer_init(&s->ping, on_ping, PING_EVERY, PING_EVERY);
    s->ping.data = s;
    ev_timer_start(loop, &s->ping);
    return s;
}

void subscriber_close(struct subscriber *s)
{
    if (!s)
        return;
    ev_timer_stop(s->loop, &s->ping);
    redis_close(s->redis);
    g_strfreev(s->words);
    g_free(s);
}
