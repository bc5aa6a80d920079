#include "dispatcher/store/stops.h"

#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/store/asking.h"

#define NUMBER         "*"
#define PAGE           "500"
#define LIST_PARTITION 0

/* ---------------------------------------------------------------- the list */

static json_t *read_stops(const redisReply *reply, struct asking *job)
{
    json_t *all = json_pack("{s:i}", NUMBER, 0);

    for (size_t i = 0; i + 1 < reply->elements; i += 2) {
        json_t *one = json_loads(reply_text(reply, i + 1), JSON_DECODE_ANY, NULL);
        if (one)
            json_object_set_new(all, reply_text(reply, i), one);
    }
    return all;
}

static struct args *args_for(const char *op)
{
    struct args *a = args_new();

    args_text(a, op);
    return a;
}

void store_stops(struct store *s, int64_t least, json_fn *fn, void *arg)
{
    struct args *a = args_for("read");

    args_int(a, least);
    store_script(s, LIST_PARTITION, "stop", a, on_asked, asking_new(read_stops, fn, arg));
}

/* ---------------------------------------------------------------- putting one */

struct putting {
    struct store *store;
    struct gather *gather;
};

static void add_messages(json_t *list, const redisReply *members)
{
    for (size_t i = 0; members && i < members->elements; i++) {
        const char *member = reply_text(members, i);
        g_autofree char *mid = g_strndup(member, strlen(member) ? strlen(member) - 1 : 0);
        json_array_append_new(list, json_string(mid));
    }
}

static void on_told(void *arg, const redisReply *reply)
{
    struct gather *g = arg;

    g->lost |= !reply;
    add_messages(json_object_get(g->result, "flying"), reply_at(reply, 0));
    add_messages(json_object_get(g->result, "in_hand"), reply_at(reply, 1));
    gather_done(g);
}

static void tell_all(struct store *s)
{
    g_autofree char *channel = store_key(s, "stops");
    store_command(s, NULL, NULL, 3, (const char *[]){ "PUBLISH", channel, "" });
}

static void on_put(void *arg, const redisReply *reply)
{
    struct putting *p = arg;
    const char *number = reply && reply->type == REDIS_REPLY_STRING ? reply->str : NULL;

    p->gather->lost |= !number;
    for (int i = 0; number && i < p->store->partitions; i++) {
        struct args *a = args_for("tell");
        args_text(a, number);
        p->gather->open++;
        store_script(p->store, i, "stop", a, on_told, p->gather);
    }
    if (number)
        tell_all(p->store);
    gather_done(p->gather);
    g_free(p);
}

void store_stop_put(struct store *s, const char *id, const json_t *stop, json_fn *fn, void *arg)
{
    struct putting *p = g_new0(struct putting, 1);
    struct args *a = args_for("put");
    char *text = stop ? json_dumps(stop, JSON_COMPACT) : NULL;

    *p = (struct putting){ s, gather_new(json_pack("{s:[], s:[]}", "flying", "in_hand"), fn, arg) };
    args_text(a, id);
    args_text(a, text ? text : "");
    store_script(s, LIST_PARTITION, "stop", a, on_put, p);
    free(text);
}

/* ---------------------------------------------------------------- what waits */

/* A cursor is "PARTITION.LIST.SCAN": what is due on each channel and lane is a list. */
struct waiting_at {
    int partition, list;
    char scan[24];
};

static struct waiting_at read_cursor(const char *cursor)
{
    struct waiting_at at = { 0, 0, "0" };
    g_auto(GStrv) words = g_strsplit(cursor, ".", 3);

    if (g_strv_length(words) == 3) {
        at.partition = (int)g_ascii_strtoll(words[0], NULL, 10);
        at.list = (int)g_ascii_strtoll(words[1], NULL, 10);
        g_strlcpy(at.scan, words[2], sizeof at.scan);
    }
    return at;
}

/* "" when that was the last list. */
static char *next_cursor(const struct store *s, struct waiting_at at, const char *scan)
{
    if (strcmp(scan, "0") != 0)
        return g_strdup_printf("%d.%d.%s", at.partition, at.list, scan);
    if (++at.list == CHANNEL_COUNT * 3) {
        at.list = 0;
        at.partition++;
    }
    return at.partition == s->partitions ? g_strdup("") : g_strdup_printf("%d.%d.0", at.partition, at.list);
}

struct paging {
    struct store *store;
    struct waiting_at at;
    json_fn *fn;
    void *arg;
};

static void on_page(void *arg, const redisReply *reply)
{
    struct paging *p = arg;
    const redisReply *list = reply_at(reply, 1);
    g_autofree char *next = list ? next_cursor(p->store, p->at, reply_text(reply, 0)) : g_strdup("");
    json_auto_t *page = json_pack("{s:[], s:s}", "ids", "next", next);

    for (size_t i = 0; list && i + 1 < list->elements; i += 2)
        json_array_append_new(json_object_get(page, "ids"), json_string(reply_text(list, i)));
    p->fn(p->arg, list != NULL, page);
    g_free(p);
}

void store_waiting_page(struct store *s, const char *cursor, json_fn *fn, void *arg)
{
    struct paging *p = g_new0(struct paging, 1);
    struct waiting_at at = read_cursor(cursor);
    g_autofree char *key =
        g_strdup_printf("%s:{%d}:due:%c%d", s->prefix, at.partition, channel_letters[at.list / 3], at.list % 3);

    *p = (struct paging){ s, at, fn, arg };
    store_command(s, on_page, p, 5, (const char *[]){ "ZSCAN", key, at.scan, "COUNT", PAGE });
}
