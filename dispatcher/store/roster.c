#include "dispatcher/store/roster.h"

#include <glib.h>
#include <string.h>

#include "dispatcher/base/clock.h"
#include "dispatcher/store/asking.h"

#define SILENT_MS 6000

/*
 * The names stand in a sorted set by when they were said last, <prefix>:workers;
 * what is said, in a hash beside it, <prefix>:worker.
 */
static char *long_ago(void)
{
    return g_strdup_printf("(%" G_GINT64_FORMAT, clock_real() - SILENT_MS);
}

static void on_silent(void *arg, const redisReply *reply)
{
    struct store *s = arg;
    g_autofree char *names = store_key(s, "workers"), *words = store_key(s, "worker"), *oldest = long_ago();

    for (size_t i = 0; reply && reply->type == REDIS_REPLY_ARRAY && i < reply->elements; i++)
        store_command(s, NULL, NULL, 3, (const char *[]){ "HDEL", words, reply_text(reply, i) });
    if (reply && reply->type == REDIS_REPLY_ARRAY && reply->elements)
        store_command(s, NULL, NULL, 4, (const char *[]){ "ZREMRANGEBYSCORE", names, "-inf", oldest });
}

void store_worker_says(struct store *s, const char *name, const char *text)
{
    g_autofree char *names = store_key(s, "workers"), *words = store_key(s, "worker"), *oldest = long_ago(),
                    *now = g_strdup_printf("%" G_GINT64_FORMAT, clock_real());

    store_command(s, NULL, NULL, 4, (const char *[]){ "HSET", words, name, text });
    store_command(s, NULL, NULL, 4, (const char *[]){ "ZADD", names, now, name });
    store_command(s, on_silent, s, 4, (const char *[]){ "ZRANGEBYSCORE", names, "-inf", oldest });
}

/* ---------------------------------------------------------------- reading */

static json_t *read_workers(const redisReply *reply, struct asking *a)
{
    json_t *list = json_array();

    for (size_t i = 1; i < reply->elements; i += 2) {
        json_t *one = json_loads(reply_text(reply, i), 0, NULL);
        if (one && json_integer_value(json_object_get(one, "at")) >= clock_real() - SILENT_MS)
            json_array_append_new(list, one);
        else
            json_decref(one);
    }
    return list;
}

void store_workers(struct store *s, json_fn *fn, void *arg)
{
    g_autofree char *words = store_key(s, "worker");
    store_command(s, on_asked, asking_new(read_workers, fn, arg), 2, (const char *[]){ "HGETALL", words });
}
