#include "dispatcher/store/store.h"

#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/base/clock.h"
#include "schedules/instant.h"
#include "dispatcher/store/asking.h"
#include "dispatcher/store/dead.h"

/*
 * Two kinds of dead: what could not be accepted lies in a stream of its own
 * (<prefix>:dead) with its bytes; what could not be delivered is a message like
 * any other, with a failed delivery, and each partition keeps an index of them.
 */

static void on_buried(void *arg, const redisReply *reply)
{
    struct gather *job = arg;

    job->lost = !reply || reply->type != REDIS_REPLY_STRING;
    if (!job->lost)
        json_object_set_new(job->result, "id", json_string(reply->str));
    gather_done(job);
}

/* Their ids are real time; retention is service time. */
static char *oldest_kept(const struct store *s)
{
    int64_t kept = (int64_t)((double)s->retain_messages_ms / clock_rate());
    return g_strdup_printf("%" G_GINT64_FORMAT, MAX(0, clock_real() - kept));
}

void store_bury(struct store *s, const char *source, const char *reason, const char *bytes, size_t len, json_fn *fn,
                void *arg)
{
    g_autofree char *key = store_key(s, "dead");
    const char *words[] = { "XADD",   key,    "MAXLEN", "~",    "100000", "*",
                            "source", source, "reason", reason, "bytes",  bytes };
    size_t lens[G_N_ELEMENTS(words)];

    for (size_t i = 0; i < G_N_ELEMENTS(words); i++)
        lens[i] = i == G_N_ELEMENTS(words) - 1 ? len : strlen(words[i]);
    store_command_bytes(s, on_buried, gather_new(json_object(), fn, arg), G_N_ELEMENTS(words), words, lens);
    /* dead letters hold people's data, so they do not live for ever */
    g_autofree char *oldest = oldest_kept(s);
    store_command(s, NULL, NULL, 4, (const char *[]){ "XTRIM", key, "MINID", oldest });
}

static const redisReply *entry_field(const redisReply *fields, const char *name)
{
    for (size_t i = 0; fields && i + 1 < fields->elements; i += 2)
        if (strcmp(reply_text(fields, i), name) == 0)
            return reply_at(fields, i + 1);
    return NULL;
}

static json_t *buried_json(const redisReply *entry, bool whole)
{
    const redisReply *fields = reply_at(entry, 1), *bytes = entry_field(fields, "bytes");
    const redisReply *reason = entry_field(fields, "reason"), *source = entry_field(fields, "source");
    char at[32];
    json_t *json = json_pack("{s:s, s:s, s:s, s:s, s:s, s:I}", "id", reply_text(entry, 0), "kind", "ingest", "at",
                             instant_format(at, g_ascii_strtoll(reply_text(entry, 0), NULL, 10)), "reason",
                             reason ? reason->str : "", "source", source ? source->str : "", "bytes",
                             (json_int_t)(bytes ? bytes->len : 0));

    if (whole && bytes) {
        json_t *text = json_stringn(bytes->str, bytes->len);
        if (text) {
            json_object_set_new(json, "payload", text);
        } else { /* not UTF-8 */
            g_autofree char *base64 = g_base64_encode((guchar *)bytes->str, bytes->len);
            json_object_set_new(json, "payload_base64", json_string(base64));
        }
    }
    return json;
}

static void on_stream(void *arg, const redisReply *reply)
{
    struct gather *job = arg;

    job->lost |= !reply || reply->type != REDIS_REPLY_ARRAY;
    for (size_t i = 0; !job->lost && i < reply->elements; i++)
        json_array_append_new(job->result, buried_json(reply_at(reply, i), false));
    gather_done(job);
}

static void on_failed(void *arg, const redisReply *reply)
{
    struct gather *job = arg;
    char at[32];

    job->lost |= !reply;
    for (size_t i = 0; reply && i + 2 < reply->elements; i += 3) {
        const char *member = reply_text(reply, i);
        g_autofree char *id = g_strdup_printf("%.*s-%c", MESSAGE_ID_LEN, member, member[strlen(member) - 1]);
        json_array_append_new(job->result, json_pack("{s:s, s:s, s:s, s:s}", "id", id, "kind", "delivery", "at",
                                                     instant_format(at, reply_int(reply, i + 1)), "reason",
                                                     reply_text(reply, i + 2)));
    }
    gather_done(job);
}

void store_dead_list(struct store *s, int limit, json_fn *fn, void *arg)
{
    struct gather *job = gather_new(json_array(), fn, arg);
    g_autofree char *key = store_key(s, "dead"), *count = g_strdup_printf("%d", limit), *oldest = oldest_kept(s);

    job->open += s->partitions;
    store_command(s, on_stream, job, 6, (const char *[]){ "XREVRANGE", key, "+", oldest, "COUNT", count });
    for (int p = 0; p < s->partitions; p++) {
        struct args *a = args_new();
        args_text(a, "list");
        args_int(a, limit);
        store_script(s, p, "dead", a, on_failed, job);
    }
}

static void on_one(void *arg, const redisReply *reply)
{
    struct gather *job = arg;

    /* an id that is none is an error of Redis, which here means: no such entry */
    job->lost = !reply;
    if (reply && reply->type == REDIS_REPLY_ARRAY && reply->elements) {
        json_decref(job->result);
        job->result = buried_json(reply_at(reply, 0), true);
    }
    gather_done(job);
}

void store_dead_show(struct store *s, const char *id, json_fn *fn, void *arg)
{
    g_autofree char *key = store_key(s, "dead");
    store_command(s, on_one, gather_new(json_null(), fn, arg), 4, (const char *[]){ "XRANGE", key, id, id });
}

static void on_count(void *arg, const redisReply *reply)
{
    struct gather *job = arg;

    job->lost = !reply;
    json_decref(job->result);
    job->result = json_boolean(reply && reply->type == REDIS_REPLY_INTEGER && reply->integer);
    gather_done(job);
}

void store_dead_forget(struct store *s, const char *id, json_fn *fn, void *arg)
{
    g_autofree char *key = store_key(s, "dead");
    store_command(s, on_count, gather_new(json_null(), fn, arg), 3, (const char *[]){ "XDEL", key, id });
}

#define ERASE_PAGE "500"

struct dead_erasing {
    struct store *store;
    const GPtrArray *texts;
    struct gather *job;
};

static bool holds_one(const redisReply *bytes, const GPtrArray *texts)
{
    for (guint i = 0; bytes && i < texts->len; i++)
        if (memmem(bytes->str, bytes->len, texts->pdata[i], strlen(texts->pdata[i])))
            return true;
    return false;
}

static void erase_page(struct dead_erasing *e, const char *from);

static void on_page(void *arg, const redisReply *reply)
{
    struct dead_erasing *e = arg;
    g_autofree char *key = store_key(e->store, "dead"), *next = NULL;

    e->job->lost |= !reply || reply->type != REDIS_REPLY_ARRAY;
    for (size_t i = 0; !e->job->lost && i < reply->elements; i++) {
        const redisReply *entry = reply_at(reply, i);
        if (holds_one(entry_field(reply_at(entry, 1), "bytes"), e->texts))
            store_command(e->store, NULL, NULL, 3, (const char *[]){ "XDEL", key, reply_text(entry, 0) });
        g_free(next);
        next = g_strdup_printf("(%s", reply_text(entry, 0));
    }
    if (next && !e->job->lost) {
        erase_page(e, next);
        return;
    }
    gather_done(e->job);
    g_free(e);
}

static void erase_page(struct dead_erasing *e, const char *from)
{
    g_autofree char *key = store_key(e->store, "dead");
    store_command(e->store, on_page, e, 6, (const char *[]){ "XRANGE", key, from, "+", "COUNT", ERASE_PAGE });
}

void store_dead_erase(struct store *s, const GPtrArray *texts, json_fn *fn, void *arg)
{
    struct dead_erasing *e = g_new0(struct dead_erasing, 1);

    *e = (struct dead_erasing){ s, texts, gather_new(json_object(), fn, arg) };
    erase_page(e, "-");
}

void store_dead_redrive(struct store *s, const char *delivery, json_fn *fn, void *arg)
{
    char message[MESSAGE_ID_SIZE] = "", letter = 'e', member[MESSAGE_ID_SIZE + 1];
    struct args *a = args_new();
    g_autofree char *wake = store_key(s, "wake");
    bool good = ident_delivery(delivery, message, &letter);

    g_snprintf(member, sizeof member, "%s%c", good ? message : "", letter);
    args_text(a, "redrive");
    args_text(a, member);
    args_text(a, wake);
    store_script(s, good && ident_partition(message) < s->partitions ? ident_partition(message) : 0, "dead", a,
                 on_count, gather_new(json_null(), fn, arg));
}
