#include "dispatcher/intake/ingest.h"

#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dispatcher/base/log.h"
#include "dispatcher/intake/intake.h"
#include "dispatcher/store/dead.h"

#define GROUP      "tidings"
#define PAGE       "64"
#define BLOCK_MS   "2000"
#define TRIES_MOST 3
#define CLAIM_IDLE "15000" /* what a dead worker had read is taken over after this */

/*
 *   (group made) ──▶ XAUTOCLAIM ──▶ XREADGROUP BLOCK ──▶ entries ──▶ intake ──▶ XACK + XDEL ─┐
 *                        ▲                                                                  │
 *                        └──────────────────────────────────────────────────────────────────┘
 */
struct ingest {
    struct service *service;
    struct redis *redis; /* its own: XREADGROUP blocks */
    char *key, consumer[80];
    int busy, rounds;
    bool stopped, reading;
    ingest_door_fn *events;
    ev_timer again; /* after an error */
};

struct entry {
    struct ingest *ingest;
    char id[48];
    char *bytes;
    size_t len;
    bool is_event;
};

static const char *source_of(const struct entry *e)
{
    return e->is_event ? "event" : "stream";
}

static void read_next(struct ingest *in);

static void call(struct ingest *in, redis_answer_fn *fn, int count, const char **words)
{
    size_t lens[16];

    for (int i = 0; i < count; i++)
        lens[i] = strlen(words[i]);
    redis_call(in->redis, fn, in, count, words, lens);
}

/* ---------------------------------------------------------------- one entry */

static void entry_done(struct entry *e, bool settled)
{
    struct ingest *in = e->ingest;

    if (settled) {
        store_command(in->service->store, NULL, NULL, 4, (const char *[]){ "XACK", in->key, GROUP, e->id });
        store_command(in->service->store, NULL, NULL, 3, (const char *[]){ "XDEL", in->key, e->id });
    }
    in->busy--;
    g_free(e->bytes);
    g_free(e);
    if (in->busy == 0)
        read_next(in);
}

static void on_buried(void *arg, bool ok, json_t *result)
{
    entry_done(arg, ok);
}

/* "…: /send_at has no time zone; /foo is no field": the reason a person reads in the dead letters */
static char *reason_of(const json_t *problem)
{
    GString *text = g_string_new(NULL);
    json_t *error;
    size_t i;

    json_array_foreach (json_object_get(problem, "errors"), i, error)
        g_string_append_printf(text, "%s%s %s", text->len ? "; " : "",
                               json_string_value(json_object_get(error, "pointer")),
                               json_string_value(json_object_get(error, "detail")));
    if (!text->len)
        g_string_append(text, json_string_value(json_object_get(problem, "detail")));
    return g_strstrip(g_string_free(text, FALSE));
}

static void take_in(struct entry *e);

static void on_try(void *arg, const redisReply *reply)
{
    struct entry *e = arg;

    if (!reply || reply->type != REDIS_REPLY_INTEGER) {
        entry_done(e, false);
        return;
    }
    if (reply->integer < TRIES_MOST) {
        take_in(e);
        return;
    }
    store_bury(e->ingest->service->store, source_of(e),
               "the store threw an error over it again and again; its log says which", e->bytes, e->len, on_buried, e);
}

/* So many times; kept in Redis, for each try may be another worker's. */
static void count_try(struct entry *e)
{
    struct store *s = e->ingest->service->store;
    g_autofree char *name = g_strdup_printf("tries:%s", e->id), *key = store_key(s, name);

    store_command(s, on_try, e, 2, (const char *[]){ "INCR", key });
    store_command(s, NULL, NULL, 3, (const char *[]){ "EXPIRE", key, "86400" });
}

static void on_answer(void *arg, const struct intake_answer *a)
{
    struct entry *e = arg;

    if (a->status == 202 || a->status == 503 || a->status == 409) { /* without an acknowledgement it comes again */
        entry_done(e, a->status == 202);
        return;
    }
    if (a->status == 500) { /* the store throws an error over it */
        count_try(e);
        return;
    }
    g_autofree char *reason = reason_of(a->body);
    store_bury(e->ingest->service->store, source_of(e), reason, e->bytes, e->len, on_buried, e);
}

static void take_in(struct entry *e)
{
    g_autofree char *seed = g_strdup_printf("ingest:%s:%s", e->ingest->key, e->id);

    ingest_door_fn *door = e->is_event ? e->ingest->events : intake_text;

    door(e->ingest->service, e->bytes, e->len, &(struct intake_origin){ .door = "stream", .source = "", .seed = seed },
         on_answer, e);
}

static void take_entry(struct ingest *in, const redisReply *reply)
{
    const redisReply *fields = reply_at(reply, 1), *message = NULL;
    struct entry *e = g_new0(struct entry, 1);

    for (size_t i = 0; fields && i + 1 < fields->elements; i += 2) {
        bool is_event = strcmp(reply_text(fields, i), "event") == 0;
        if (!is_event && strcmp(reply_text(fields, i), "message") != 0)
            continue;
        message = reply_at(fields, i + 1);
        e->is_event = is_event;
    }
    e->ingest = in;
    g_strlcpy(e->id, reply_text(reply, 0), sizeof e->id);
    e->len = message ? message->len : 0;
    e->bytes = g_memdup2(message ? message->str : "", e->len + 1);
    in->busy++;
    if (message)
        take_in(e);
    else
        store_bury(in->service->store, "stream",
                   "the entry has no field \"message\" or \"event\"; write XADD <prefix>:ingest * message '<json>'", "",
                   0, on_buried, e);
}

static void take_entries(struct ingest *in, const redisReply *entries)
{
    in->busy++; /* so that nothing ends while the list is walked */
    for (size_t i = 0; entries && i < entries->elements; i++) {
        const redisReply *entry = reply_at(entries, i);
        if (reply_at(entry, 1) && reply_at(entry, 1)->type == REDIS_REPLY_ARRAY)
            take_entry(in, entry);
        else if (entry && *reply_text(entry, 0)) /* deleted by somebody while it was pending */
            store_command(in->service->store, NULL, NULL, 4,
                          (const char *[]){ "XACK", in->key, GROUP, reply_text(entry, 0) });
    }
    if (--in->busy == 0)
        read_next(in);
}

/* ---------------------------------------------------------------- reading */

/* Whatever Redis said against it, it is tried again: with a group made anew, should that have gone. */
static void try_again(struct ingest *in, const redisReply *reply)
{
    log_error("ingest.unusable", "{s:s, s:s}", "key", in->key, "error", reply->str);
    if (!in->stopped)
        ev_timer_again(in->service->loop, &in->again);
}

static void on_group(void *arg, const redisReply *reply)
{
    struct ingest *in = arg;

    in->reading = false;
    if (reply && reply->type == REDIS_REPLY_ERROR && !g_str_has_prefix(reply->str, "BUSYGROUP")) {
        try_again(in, reply);
        return;
    }
    if (reply)
        read_next(in);
}

static void make_group(struct ingest *in)
{
    in->reading = true;
    call(in, on_group, 6, (const char *[]){ "XGROUP", "CREATE", in->key, GROUP, "0", "MKSTREAM" });
}

static void on_again(struct ev_loop *loop, ev_timer *w, int revents)
{
    struct ingest *in = w->data;

    ev_timer_stop(loop, w);
    if (!in->stopped && !in->reading && redis_is_up(in->redis))
        make_group(in);
}

/* True when the answer carries entries; a group that is gone (restart without persistence, FLUSH) is made again. */
static bool usable(struct ingest *in, const redisReply *reply)
{
    in->reading = false;
    if (!reply)
        return false; /* on_up begins anew */
    if (reply->type == REDIS_REPLY_ERROR) {
        try_again(in, reply);
        return false;
    }
    return true;
}

static void on_read(void *arg, const redisReply *reply)
{
    struct ingest *in = arg;

    if (usable(in, reply))
        take_entries(in, reply->type == REDIS_REPLY_ARRAY ? reply_at(reply_at(reply, 0), 1) : NULL);
}

static void on_taken_over(void *arg, const redisReply *reply)
{
    struct ingest *in = arg;

    if (usable(in, reply))
        take_entries(in, reply_at(reply, 1));
}

static void read_next(struct ingest *in)
{
    if (in->stopped || in->reading || in->busy > 0 || !redis_is_up(in->redis) || !in->service->store->ready)
        return;
    in->reading = true;
    if (in->rounds++ % 8 == 0)
        call(in, on_taken_over, 8,
             (const char *[]){ "XAUTOCLAIM", in->key, GROUP, in->consumer, CLAIM_IDLE, "0", "COUNT", PAGE });
    else
        call(in, on_read, 11,
             (const char *[]){ "XREADGROUP", "GROUP", GROUP, in->consumer, "COUNT", PAGE, "BLOCK", BLOCK_MS, "STREAMS",
                               in->key, ">" });
}

static void on_up(void *arg)
{
    struct ingest *in = arg;
    if (!in->stopped)
        make_group(in);
}

struct ingest *ingest_start(struct service *s, ingest_door_fn *events)
{
    struct ingest *in = g_new0(struct ingest, 1);
    char host[40] = "host";

    gethostname(host, sizeof host - 1);
    in->service = s;
    in->events = events;
    in->key = store_key(s->store, "ingest");
    snprintf(in->consumer, sizeof in->consumer, "%s-%d", host, getpid());
    ev_init(&in->again, on_again);
    in->again.data = in;
    in->again.repeat = 1;
    in->redis = store_connection(s->store, in->key, 10, (struct redis_events){ .up = on_up, .arg = in });
    return in;
}

void ingest_wake(struct ingest *in)
{
    read_next(in);
}

void ingest_stop(struct ingest *in)
{
    in->stopped = true;
}

int ingest_busy(const struct ingest *in)
{
    return in->busy;
}

void ingest_close(struct ingest *in)
{
    if (!in)
        return;
    in->stopped = true;
    ev_timer_stop(in->service->loop, &in->again);
    redis_close(in->redis);
    g_free(in->key);
    g_free(in);
}
