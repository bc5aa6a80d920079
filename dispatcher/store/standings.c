#include "dispatcher/store/standings.h"

#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/store/asking.h"

#define RACES_MAX 16

/*
 *   look at the truth ──▶ what it becomes ──▶ compare and set ──▶ into all partitions
 *          ▲                                        │
 *          └───────────────── race ─────────────────┘
 */
struct changing {
    struct store *store;
    char *sequence;
    int home, races;
    becomes_fn *becomes;
    json_t *standing;
    json_fn *fn;
    void *arg;
};

static json_t *standing_of(const char *text)
{
    json_t *standing = *text ? json_loads(text, 0, NULL) : NULL;
    return standing ? standing : json_object();
}

/* ---------------------------------------------------------------- into all partitions */

struct spreading {
    struct gather *gather;
    int partition;
};

static void on_spread(void *arg, const redisReply *reply)
{
    struct spreading *job = arg;

    if (!reply)
        json_array_append_new(json_object_get(job->gather->result, "lost"), json_integer(job->partition));
    gather_done(job->gather);
    g_free(job);
}

static void put(struct store *s, int partition, const char *sequence, const char *text, const char *how,
                redis_answer_fn *fn, void *arg)
{
    struct args *a = args_new();

    args_text(a, sequence);
    args_text(a, text);
    args_text(a, how);
    store_script(s, partition, "standing", a, fn, arg);
}

void store_standing_spread(struct store *s, const char *sequence, const json_t *standing, json_fn *fn, void *arg)
{
    struct gather *g = gather_new(json_pack("{s:i, s:[]}", "partitions", s->partitions, "lost"), fn, arg);
    char *text = json_dumps(standing, JSON_COMPACT);

    for (int p = 0; p < s->partitions; p++) {
        struct spreading *job = g_new0(struct spreading, 1);
        *job = (struct spreading){ g, p };
        g->open++;
        put(s, p, sequence, text, "spread", on_spread, job);
    }
    free(text);
    gather_done(g);
}

/* ---------------------------------------------------------------- the truth */

static void changing_end(struct changing *c, bool ok, json_t *result)
{
    c->fn(c->arg, ok, result);
    json_decref(c->standing);
    g_free(c->sequence);
    g_free(c);
}

static void on_in_force(void *arg, bool ok, json_t *result)
{
    changing_end(arg, ok, result);
}

static void try_change(struct changing *c, const char *held);

static void on_put(void *arg, const redisReply *reply)
{
    struct changing *c = arg;

    if (!reply)
        changing_end(c, false, NULL);
    else if (strcmp(reply_text(reply, 0), "ok") == 0)
        store_standing_spread(c->store, c->sequence, c->standing, on_in_force, c);
    else if (c->races++ < RACES_MAX)
        try_change(c, reply_text(reply, 1));
    else
        changing_end(c, false, NULL);
}

static void try_change(struct changing *c, const char *held)
{
    json_auto_t *was = standing_of(held);

    json_decref(c->standing);
    c->standing = c->becomes(c->arg, was);
    if (!c->standing) { /* in force is what it was: whoever asked before may have died on the way */
        c->standing = json_incref(was);
        store_standing_spread(c->store, c->sequence, was, on_in_force, c);
        return;
    }
    json_object_set_new(c->standing, "n", json_integer(json_integer_value(json_object_get(was, "n")) + 1));
    char *text = json_dumps(c->standing, JSON_COMPACT);
    put(c->store, c->home, c->sequence, text, "change", on_put, c);
    free(text);
}

static void on_truth(void *arg, const redisReply *reply)
{
    struct changing *c = arg;

    if (!reply)
        changing_end(c, false, NULL);
    else
        try_change(c, reply->type == REDIS_REPLY_STRING ? reply->str : "");
}

static void ask_truth(struct store *s, const char *sequence, redis_answer_fn *fn, void *arg)
{
    g_autofree char *key = g_strdup_printf("%s:{%d}:qs", s->prefix, store_partition(s, sequence));
    store_command(s, fn, arg, 3, (const char *[]){ "HGET", key, sequence });
}

void store_standing_change(struct store *s, const char *sequence, becomes_fn *becomes, json_fn *fn, void *arg)
{
    struct changing *c = g_new0(struct changing, 1);

    *c = (struct changing){ .store = s,
                            .sequence = g_strdup(sequence),
                            .home = store_partition(s, sequence),
                            .becomes = becomes,
                            .fn = fn,
                            .arg = arg };
    ask_truth(s, sequence, on_truth, c);
}

static json_t *read_standing(const redisReply *reply, struct asking *job)
{
    return standing_of(reply->type == REDIS_REPLY_STRING ? reply->str : "");
}

void store_standing(struct store *s, const char *sequence, json_fn *fn, void *arg)
{
    ask_truth(s, sequence, on_asked, asking_new(read_standing, fn, arg));
}
