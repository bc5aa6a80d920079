#include "dispatcher/store/store.h"

#include <glib.h>
#include <string.h>

#include "schedules/instant.h"
#include "dispatcher/store/asking.h"
#include "dispatcher/store/inbox.h"

struct inbox_job {
    json_fn *fn;
    void *arg;
};

static json_t *instant_or_null(const redisReply *reply, size_t i)
{
    char text[32];
    int64_t ms = reply_int(reply, i);
    return ms ? json_string(instant_format(text, ms)) : json_null();
}

static void add_totals(json_t *object, const redisReply *totals)
{
    json_object_set_new(object, "unread", json_integer(reply_int(totals, 0)));
    json_object_set_new(object, "unseen", json_integer(reply_int(totals, 1)));
    json_object_set_new(object, "version", json_integer(reply_int(totals, 2)));
}

/* "ms|answer"; what event an answer is, is nobody's business here. */
static void add_answer(json_t *item, const char *answered)
{
    const char *bar = strchr(answered, '|');
    char text[32];

    if (!json_object_get(item, "answer"))
        return;
    json_object_del(json_object_get(item, "answer"), "event");
    json_object_set_new(item, "answered_at",
                        bar ? json_string(instant_format(text, g_ascii_strtoll(answered, NULL, 10))) : json_null());
    json_object_set_new(item, "answered", bar ? json_loads(bar + 1, JSON_DECODE_ANY, NULL) : json_null());
}

static void on_list(void *arg, const redisReply *reply)
{
    struct inbox_job *job = arg;
    const redisReply *list = reply_at(reply, 0);
    json_auto_t *result = json_object();
    json_t *items = json_array();
    int64_t last = 0;

    for (size_t i = 0; list && i + 6 < list->elements; i += 7) {
        json_t *item = json_loads(reply_text(list, i + 2), 0, NULL);
        if (!item)
            continue;
        last = reply_int(list, i + 1);
        json_object_set_new(item, "id", json_string(reply_text(list, i)));
        json_object_set_new(item, "at", instant_or_null(list, i + 1));
        json_object_set_new(item, "seen_at", instant_or_null(list, i + 3));
        json_object_set_new(item, "read_at", instant_or_null(list, i + 4));
        json_object_set_new(item, "archived_at", instant_or_null(list, i + 5));
        add_answer(item, reply_text(list, i + 6));
        json_array_append_new(items, item);
    }
    json_object_set_new(result, "items", items);
    json_object_set_new(result, "before", last ? json_integer(last) : json_null());
    add_totals(result, reply_at(reply, 1));
    job->fn(job->arg, reply != NULL, result);
    g_free(job);
}

static struct inbox_job *job_new(json_fn *fn, void *arg)
{
    struct inbox_job *job = g_new0(struct inbox_job, 1);
    *job = (struct inbox_job){ fn, arg };
    return job;
}

void store_inbox_list(struct store *s, const char *recipient, int limit, const char *before, const char *state,
                      json_fn *fn, void *arg)
{
    struct args *a = args_new();

    args_text(a, recipient);
    args_text(a, "list");
    args_int(a, limit);
    args_text(a, before);
    args_text(a, state);
    store_script(s, store_partition(s, recipient), "inbox", a, on_list, job_new(fn, arg));
}

static void on_mark(void *arg, const redisReply *reply)
{
    struct inbox_job *job = arg;
    json_auto_t *result = json_pack("{s:b}", "known", (int)reply_int(reply, 0));

    if (*reply_text(reply, 2))
        json_object_set_new(result, "card", json_string(reply_text(reply, 2)));
    if (*reply_text(reply, 3))
        json_object_set_new(result, "answered", json_string(reply_text(reply, 3)));
    add_totals(result, reply_at(reply, 1));
    job->fn(job->arg, reply != NULL, result);
    g_free(job);
}

static json_t *read_card(const redisReply *reply, struct asking *job)
{
    return reply->type == REDIS_REPLY_STRING ? json_loads(reply->str, 0, NULL) : NULL;
}

void store_inbox_card(struct store *s, const char *recipient, const char *id, json_fn *fn, void *arg)
{
    g_autofree char *key = g_strdup_printf("%s:{%d}:i:%s", s->prefix, store_partition(s, recipient), recipient);

    store_command(s, on_asked, asking_new(read_card, fn, arg), 3, (const char *[]){ "HGET", key, id });
}

void store_inbox_answer(struct store *s, const char *recipient, const char *id, const char *answer, json_fn *fn,
                        void *arg)
{
    struct args *a = args_new();
    g_autofree char *channel = store_key(s, "inbox");

    args_text(a, recipient);
    args_text(a, "answer");
    args_text(a, id);
    args_text(a, channel);
    args_text(a, answer);
    store_script(s, store_partition(s, recipient), "inbox", a, on_mark, job_new(fn, arg));
}

void store_inbox_mark(struct store *s, const char *recipient, const char *op, const char *id, json_fn *fn, void *arg)
{
    struct args *a = args_new();
    g_autofree char *channel = store_key(s, "inbox");

    args_text(a, recipient);
    args_text(a, op);
    args_text(a, id);
    args_text(a, channel);
    store_script(s, store_partition(s, recipient), "inbox", a, on_mark, job_new(fn, arg));
}
