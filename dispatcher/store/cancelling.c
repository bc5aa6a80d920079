#include "dispatcher/store/cancelling.h"

#include <glib.h>
#include <string.h>

#include "dispatcher/base/ident.h"
#include "dispatcher/store/asking.h"
#include "dispatcher/store/portions.h"

static void add_cancelled(json_t *result, const char *mid, const char *word)
{
    const char *list = strcmp(word, "sent") == 0 ? "already_sent" : word;
    json_array_append_new(json_object_get(result, list), json_string(mid));
}

static void on_cancelled(void *arg, const redisReply *reply)
{
    struct gather *g = arg;

    g->lost |= !reply;
    for (size_t i = 0; reply && i + 1 < reply->elements; i += 2)
        add_cancelled(g->result, reply_text(reply, i), reply_text(reply, i + 1));
    gather_done(g);
}

static struct gather *cancel_gather(json_fn *fn, void *arg)
{
    return gather_new(
        json_pack("{s:[], s:[], s:[], s:[], s:[]}", "cancelled", "in_flight", "already_sent", "final", "unknown"), fn,
        arg);
}

static struct args *cancel_args(struct store *s, const char *mode)
{
    struct args *a = args_new();
    args_int(a, s->retain_messages_ms);
    args_int(a, s->retain_events_ms);
    args_text(a, mode);
    return a;
}

void store_cancel_ids(struct store *s, const json_t *ids, json_fn *fn, void *arg)
{
    struct gather *g = cancel_gather(fn, arg);
    struct args **by_partition = g_new0(struct args *, s->partitions);
    size_t i;
    json_t *id;

    json_array_foreach ((json_t *)ids, i, id) {
        int p = ident_partition(json_string_value(id));
        if (p < 0 || p >= s->partitions)
            p = 0; /* the script will not know it */
        if (!by_partition[p])
            by_partition[p] = cancel_args(s, "ids");
        args_text(by_partition[p], json_string_value(id));
    }
    for (int p = 0; p < s->partitions; p++)
        if (by_partition[p]) {
            g->open++;
            store_script(s, p, "cancel", by_partition[p], on_cancelled, g);
        }
    g_free(by_partition);
    if (g->open == 1) { /* no id at all: still answered from the loop */
        g->open++;
        store_script(s, 0, "cancel", cancel_args(s, "ids"), on_cancelled, g);
    }
    gather_done(g);
}

/* All pending messages of a person, in portions, so that nobody waits for Redis long. */
struct cancelling {
    struct store *store;
    struct gather *gather;
    char recipient[129], category[65];
    struct portions mids;
};

static void cancel_on(struct cancelling *c);

static void cancelling_end(struct cancelling *c, bool lost)
{
    c->gather->lost |= lost;
    gather_done(c->gather);
    portions_clear(&c->mids);
    g_free(c);
}

static void on_some_cancelled(void *arg, const redisReply *reply)
{
    struct cancelling *c = arg;

    for (size_t i = 0; reply && i + 1 < reply->elements; i += 2)
        add_cancelled(c->gather->result, reply_text(reply, i), reply_text(reply, i + 1));
    if (reply && portions_left(&c->mids))
        cancel_on(c);
    else
        cancelling_end(c, !reply);
}

static void cancel_on(struct cancelling *c)
{
    struct args *a = cancel_args(c->store, "recipient");

    args_text(a, c->recipient);
    args_text(a, c->category);
    portions_args(&c->mids, a);
    store_script(c->store, store_partition(c->store, c->recipient), "cancel", a, on_some_cancelled, c);
}

static void on_pending_mids(void *arg, const redisReply *reply)
{
    struct cancelling *c = arg;

    portions_add(&c->mids, reply_at(reply, 0)); /* pending */
    if (reply)
        cancel_on(c);
    else
        cancelling_end(c, true);
}

void store_cancel_recipient(struct store *s, const char *recipient, const char *category, json_fn *fn, void *arg)
{
    struct cancelling *c = g_new0(struct cancelling, 1);
    struct args *a = args_new();

    *c = (struct cancelling){ .store = s, .gather = cancel_gather(fn, arg) };
    g_strlcpy(c->recipient, recipient, sizeof c->recipient);
    g_strlcpy(c->category, category ? category : "", sizeof c->category);
    args_text(a, "mids");
    args_text(a, recipient);
    args_int(a, 1000000);
    store_script(s, store_partition(s, recipient), "person", a, on_pending_mids, c);
}
