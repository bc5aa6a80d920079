#include "dispatcher/store/rehearsal.h"

#include <glib.h>
#include <string.h>

#include "dispatcher/store/asking.h"
#include "dispatcher/store/wire/scan.h"

#define AT_A_TIME   32
#define DEFINITIONS "definition:"

/* ---------------------------------------------------------------- what is due, and who is there */

struct asking_next {
    int open, in_hand;
    bool lost;
    int64_t next;
    next_fn *fn;
    void *arg;
};

static void on_next(void *arg, const redisReply *reply)
{
    struct asking_next *job = arg;
    int64_t next = reply_int(reply, 0);

    job->lost |= !reply;
    job->in_hand += (int)reply_int(reply, 1);
    if (next >= 0 && (job->next < 0 || next < job->next))
        job->next = next;
    if (--job->open > 0)
        return;
    job->fn(job->arg, !job->lost, job->next, job->in_hand);
    g_free(job);
}

void store_next(struct store *s, next_fn *fn, void *arg)
{
    struct asking_next *job = g_new0(struct asking_next, 1);

    *job = (struct asking_next){ .open = s->partitions, .next = -1, .fn = fn, .arg = arg };
    for (int p = 0; p < s->partitions; p++)
        store_script(s, p, "next", args_new(), on_next, job);
}

static void on_there(void *arg, bool ok, json_t *people)
{
    struct gather *g = arg;

    g->lost |= !ok;
    json_array_extend(g->result, people);
    gather_done(g);
}

void store_everybody(struct store *s, json_fn *fn, void *arg)
{
    struct gather *g = gather_new(json_array(), fn, arg);

    for (int p = 0; p < s->partitions; p++) {
        struct asking *job = asking_new(read_texts, on_there, g);
        g_autofree char *pattern = g_strdup_printf("%s:{%d}:u:*", s->prefix, p);
        g_snprintf(job->name, sizeof job->name, "%s:{%d}:u:", s->prefix, p);
        g->open++;
        store_command(s, on_asked, job, 2, (const char *[]){ "KEYS", pattern });
    }
    gather_done(g);
}

/* ---------------------------------------------------------------- a part of another store */

struct part { /* of a partition, or a definition */
    int partition;
    struct args *args;
    char *name, *text; /* of the definition, NULL */
};

struct copy {
    int partitions;
    GPtrArray *parts;
};

struct copying {
    struct store *store;
    struct copy *copy;
    int open;
    bool lost;
    copy_fn *fn;
    void *arg;
};

struct asked_part {
    struct copying *job;
    int partition;
    char *name; /* of a definition */
};

static void free_part(void *arg)
{
    struct part *part = arg;

    if (part->args)
        args_free(part->args);
    g_free(part->name);
    g_free(part->text);
    g_free(part);
}

void copy_free(struct copy *copy)
{
    if (!copy)
        return;
    g_ptr_array_unref(copy->parts);
    g_free(copy);
}

int copy_partitions(const struct copy *copy)
{
    return copy->partitions;
}

/* ---------------------------------------------------------------- reading */

static void copying_done(struct copying *job)
{
    if (--job->open > 0)
        return;
    if (job->lost)
        g_clear_pointer(&job->copy, copy_free);
    job->fn(job->arg, job->copy);
    g_free(job);
}

static struct asked_part *ask(struct copying *job, int partition, const char *name)
{
    struct asked_part *one = g_new0(struct asked_part, 1);

    *one = (struct asked_part){ job, partition, g_strdup(name) };
    job->open++;
    return one;
}

static void add_part(struct copying *job, struct part of)
{
    g_ptr_array_add(job->copy->parts, g_memdup2(&of, sizeof of));
}

static void on_part(void *arg, const redisReply *reply)
{
    struct asked_part *one = arg;
    const redisReply *dumps = reply_at(reply, 0), *entries = reply_at(reply, 1);
    struct args *a = args_new();

    one->job->lost |= !entries;
    args_int(a, dumps ? (int64_t)dumps->elements / 2 : 0);
    for (size_t i = 0; dumps && i < dumps->elements; i++)
        args_bytes(a, dumps->element[i]->str, dumps->element[i]->len);
    for (size_t i = 0; entries && i < entries->elements; i++)
        args_text(a, reply_text(entries, i));
    add_part(one->job, (struct part){ .partition = one->partition, .args = a });
    copying_done(one->job);
    g_free(one);
}

/* One question to a partition, of a few people or keys; takes them. */
static void ask_partition(struct copying *job, int partition, const char *what, GPtrArray *names)
{
    struct args *a = args_new();

    args_text(a, what);
    for (guint i = 0; i < names->len; i++)
        args_text(a, names->pdata[i]);
    store_script(job->store, partition, "copy", a, on_part, ask(job, partition, NULL));
    g_ptr_array_unref(names);
}

static void ask_people(struct copying *job, const json_t *people)
{
    g_autofree GPtrArray **waiting = g_new0(GPtrArray *, job->store->partitions);
    json_t *one;
    size_t i;

    json_array_foreach ((json_t *)people, i, one) {
        int partition = store_partition(job->store, json_string_value(one));
        if (!waiting[partition])
            waiting[partition] = g_ptr_array_new();
        g_ptr_array_add(waiting[partition], (char *)json_string_value(one));
        if (waiting[partition]->len == AT_A_TIME)
            ask_partition(job, partition, "people", g_steal_pointer(&waiting[partition]));
    }
    for (int p = 0; p < job->store->partitions; p++)
        if (waiting[p])
            ask_partition(job, p, "people", waiting[p]);
}

static void ask_key(struct copying *job, int partition, const char *key)
{
    GPtrArray *keys = g_ptr_array_new();

    g_ptr_array_add(keys, (char *)key);
    ask_partition(job, partition, "keys", keys);
}

/* ---------------------------------------------------------------- definitions */

static void on_definition(void *arg, const redisReply *reply)
{
    struct asked_part *one = arg;
    const char *text = reply && reply->type == REDIS_REPLY_STRING ? reply->str : "";

    one->job->lost |= !reply;
    add_part(one->job, (struct part){ .name = one->name, .text = g_strdup(text) });
    copying_done(one->job);
    g_free(one);
}

static void ask_definitions(struct copying *job, const char *cursor);

static void on_definitions(void *arg, const char *cursor, const redisReply *keys)
{
    struct copying *job = arg;

    job->lost |= !keys;
    for (size_t i = 0; keys && i < keys->elements; i++) {
        const char *key = reply_text(keys, i), *name = strstr(key, ":" DEFINITIONS);
        if (name)
            store_command(job->store, on_definition, ask(job, -1, name + 1), 2, (const char *[]){ "GET", key });
    }
    if (keys && strcmp(cursor, "0") != 0)
        ask_definitions(job, cursor);
    copying_done(job);
}

static void ask_definitions(struct copying *job, const char *cursor)
{
    g_autofree char *match = store_key(job->store, DEFINITIONS "*");

    job->open++;
    scan_page(job->store->nodes, match, cursor, on_definitions, job);
}

void store_copy(struct store *s, const json_t *people, const json_t *names, copy_fn *fn, void *arg)
{
    struct copying *job = g_new0(struct copying, 1);
    json_t *one;
    size_t i;

    *job = (struct copying){ .store = s, .copy = g_new0(struct copy, 1), .open = 1, .fn = fn, .arg = arg };
    *job->copy = (struct copy){ s->partitions, g_ptr_array_new_with_free_func(free_part) };
    ask_people(job, people);
    json_array_foreach ((json_t *)names, i, one)
        ask_key(job, store_partition(s, json_string_value(json_array_get(one, 0))),
                json_string_value(json_array_get(one, 1)));
    ask_key(job, 0, "stops");
    for (int p = 0; p < s->partitions; p++) {
        ask_key(job, p, "qs");
        ask_key(job, p, "hv");
    }
    ask_definitions(job, "0");
    copying_done(job);
}

/* ---------------------------------------------------------------- writing */

static void on_pasted(void *arg, const redisReply *reply)
{
    struct gather *g = arg;

    g->lost |= !reply;
    gather_done(g);
}

static void paste_part(struct store *s, const struct part *part, struct gather *g)
{
    g_autofree char *key = part->name ? store_key(s, part->name) : NULL;
    struct args *a;

    if (key) {
        store_command(s, on_pasted, g, 3, (const char *[]){ "SET", key, part->text });
        return;
    }
    a = args_new();
    args_append(a, part->args);
    store_script(s, part->partition, "paste", a, on_pasted, g);
}

void store_paste(struct store *s, const struct copy *copy, json_fn *fn, void *arg)
{
    struct gather *g = gather_new(NULL, fn, arg);

    for (guint i = 0; i < copy->parts->len; i++) {
        g->open++;
        paste_part(s, copy->parts->pdata[i], g);
    }
    gather_done(g);
}
