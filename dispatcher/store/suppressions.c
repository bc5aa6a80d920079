#include "dispatcher/store/suppressions.h"

#define MAX_KEY 400

#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/base/clock.h"
#include "dispatcher/store/asking.h"
#include "schedules/instant.h"

/* ---------------------------------------------------------------- suppression */

static json_t *read_suppress(const redisReply *reply, struct asking *a)
{
    return json_pack("{s:s, s:b}", "address", a->name, "suppressed", 1);
}

static json_t *read_unsuppress(const redisReply *reply, struct asking *a)
{
    return json_pack("{s:s, s:b}", "address", a->name, "removed", (int)reply->integer);
}

static json_t *entry_json(const char *address, const char *text)
{
    json_t *entry = json_loads(text, 0, NULL);

    if (!entry)
        return NULL;
    json_object_set_new(entry, "address", json_string(address));
    return entry;
}

static json_t *read_suppression(const redisReply *reply, struct asking *a)
{
    return entry_json(a->name, reply_text(reply, 0));
}

static void suppress_call(struct store *s, struct args *a, const char *address,
                          json_t *(*read)(const redisReply *, struct asking *), json_fn *fn, void *arg)
{
    struct asking *job = asking_new(read, fn, arg);

    g_strlcpy(job->name, address, sizeof job->name);
    store_script(s, store_partition(s, address), "suppress", a, on_asked, job);
}

void store_suppress(struct store *s, const char *address, const json_t *entry, int64_t ttl_ms, json_fn *fn, void *arg)
{
    struct args *a = args_begin("put", address);
    char *text = json_dumps(entry, JSON_COMPACT);

    args_text(a, text);
    args_int(a, ttl_ms);
    free(text);
    suppress_call(s, a, address, read_suppress, fn, arg);
}

void store_unsuppress(struct store *s, const char *address, json_fn *fn, void *arg)
{
    suppress_call(s, args_begin("del", address), address, read_unsuppress, fn, arg);
}

void store_suppression(struct store *s, const char *address, json_fn *fn, void *arg)
{
    suppress_call(s, args_begin("get", address), address, read_suppression, fn, arg);
}

static void on_suppressed_page(void *arg, const redisReply *reply)
{
    struct gather *all = arg;

    all->lost |= !reply;
    for (size_t i = 0; reply && i + 1 < reply->elements; i += 2)
        json_array_append_new(json_object_get(all->result, "suppressions"),
                              entry_json(reply_text(reply, i), reply_text(reply, i + 1)));
    gather_done(all);
}

void store_suppressions(struct store *s, json_fn *fn, void *arg)
{
    struct gather *all = gather_new(json_pack("{s:[]}", "suppressions"), fn, arg);

    for (int p = 0; p < s->partitions; p++) {
        struct args *a = args_new();
        args_text(a, "list");
        all->open++;
        store_script(s, p, "suppress", a, on_suppressed_page, all);
    }
    gather_done(all);
}

int suppressed_place(const struct store *s, const char *address)
{
    return nodes_is_cluster(s->nodes) ? store_partition(s, address) : 0;
}

struct batch *suppressed_batch(void)
{
    struct batch *b = batch_new(NULL);

    args_text(batch_args(b), "MGET");
    return b;
}

void suppressed_add(struct batch *b, const struct store *s, const char *address)
{
    static const char *const kinds[] = { "sup", "soft" };
    char key[MAX_KEY];

    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
        snprintf(key, sizeof key, "%s:{%d}:%s:%s", s->prefix, store_partition(s, address), kinds[i], address);
        args_text(batch_args(b), key);
    }
}

const char *suppressed_read(const redisReply *reply, size_t index, int *soft)
{
    const redisReply *entry = reply_at(reply, 2 * index);

    *soft = MAX(*soft, (int)reply_int(reply, 2 * index + 1));
    return entry && entry->type == REDIS_REPLY_STRING ? entry->str : NULL;
}

void store_soft_bounce(struct store *s, const char *address, const json_t *entry, int64_t ttl_ms, int64_t within_ms,
                       int max)
{
    struct args *a = args_begin("soft", address);
    char *text = json_dumps(entry, JSON_COMPACT);

    args_text(a, text);
    args_int(a, ttl_ms);
    args_int(a, within_ms);
    args_int(a, max);
    free(text);
    store_script(s, store_partition(s, address), "suppress", a, NULL, NULL);
}

void store_arrived(struct store *s, const char *address)
{
    store_script(s, store_partition(s, address), "suppress", args_begin("well", address), NULL, NULL);
}

void store_forget_soft(struct store *s, const char *address)
{
    store_script(s, store_partition(s, address), "suppress", args_begin("forget", address), NULL, NULL);
}
