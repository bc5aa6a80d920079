#include "dispatcher/store/wire/script.h"

#include <assert.h>
#include <glib.h>
#include <stdio.h>
#include <string.h>

#include "dispatcher/base/clock.h"
#include "dispatcher/base/log.h"
#include "dispatcher/base/metrics.h"
#include "dispatcher/base/vocab.h"
#include "dispatcher/store/wire/state.h"

/* ---------------------------------------------------------------- arguments */

struct args {
    GString *bytes;
    GArray *ends; /* size_t: where each argument ends */
};

struct args *args_new(void)
{
    struct args *a = g_new0(struct args, 1);

    a->bytes = g_string_sized_new(1024);
    a->ends = g_array_new(FALSE, FALSE, sizeof(size_t));
    return a;
}

struct args *args_begin(const char *op, const char *recipient)
{
    struct args *a = args_new();
    args_text(a, op);
    args_text(a, recipient);
    return a;
}

void args_free(struct args *a)
{
    g_string_free(a->bytes, TRUE);
    g_array_free(a->ends, TRUE);
    g_free(a);
}

void args_bytes(struct args *a, const char *bytes, size_t len)
{
    g_string_append_len(a->bytes, bytes, (gssize)len);
    g_array_append_val(a->ends, a->bytes->len);
}

void args_text(struct args *a, const char *text)
{
    args_bytes(a, text, strlen(text));
}

void args_int(struct args *a, int64_t n)
{
    char text[24];
    args_bytes(a, text, (size_t)snprintf(text, sizeof text, "%" G_GINT64_FORMAT, n));
}

void args_char(struct args *a, char c)
{
    args_bytes(a, &c, 1);
}

void args_append(struct args *a, const struct args *more)
{
    size_t start = a->bytes->len;

    g_string_append_len(a->bytes, more->bytes->str, (gssize)more->bytes->len);
    for (guint i = 0; i < more->ends->len; i++) {
        size_t end = start + g_array_index(more->ends, size_t, i);
        g_array_append_val(a->ends, end);
    }
}

/* ---------------------------------------------------------------- running */

struct known {
    const char *name;
    char *text; /* the words of C that it needs, and its source */
    char sha[41];
    char label[64];
};

struct run {
    struct nodes *nodes;
    const struct known *script;
    char *key;
    struct args *args;
    redis_answer_fn *fn;
    void *arg;
    bool whole;
};

/* A field is its place, from 1. */
static void add_places(GString *words)
{
#define LUA_STATE(name)    g_string_append_printf(words, "local " #name " = %d\n", STATE_##name + 1);
#define LUA_DELIVERY(name) g_string_append_printf(words, "local " #name " = %d\n", DELIVERY_##name + 1);
    STATE_TABLE(LUA_STATE)
    DELIVERY_TABLE(LUA_DELIVERY)
    g_string_append_printf(words, "local STATE_SIZE, DELIVERY_SIZE = %d, %d\n", STATE_FIELDS, DELIVERY_FIELDS);
}

/* The tables of vocab.h and state.h as Lua locals. */
static char *words_for_lua(void)
{
    GString *words = g_string_new(NULL);

#define LUA_STATUS(id, letter, name, rank) g_string_append_printf(words, "local IS_" #id " = '%c'\n", letter);
    add_places(words);
    STATUS_TABLE(LUA_STATUS)
    g_string_append_printf(words, "local CHANNELS = '%s'\nlocal NAME_OF = {", channel_letters);
    for (int c = 0; c < CHANNEL_COUNT; c++)
        g_string_append_printf(words, "%c='%s',", channel_rows[c].letter, channel_rows[c].name);
    g_string_append(words, "}\nlocal PLACE_OF = {");
    for (int c = 0; c < CHANNEL_COUNT; c++)
        g_string_append_printf(words, "%c=%d,", channel_rows[c].letter, c + 1);
    g_string_append(words, "}\nlocal BY_GATE = {");
    for (int r = 0; r < REASON_COUNT; r++)
        if (reason_rows[r].by_gate)
            g_string_append_printf(words, "%s=true,", reason_rows[r].name);
    g_string_append(words, "}\n");
    return g_string_free(words, FALSE);
}

static struct known *known_new(const char *words, const struct script_source *s)
{
    struct known *k = g_new0(struct known, 1);

    k->name = s->name;
    k->text = g_strconcat("#!lua", s->flags, "\n", words, s->text, NULL);
    g_autofree char *sha = g_compute_checksum_for_string(G_CHECKSUM_SHA1, k->text, -1);
    g_strlcpy(k->sha, sha, sizeof k->sha);
    snprintf(k->label, sizeof k->label, "script=\"%s\"", s->name);
    return k;
}

/* Made once, for the life of the process. */
static GHashTable *all_scripts(void)
{
    static GHashTable *scripts;

    if (!scripts) {
        g_autofree char *words = words_for_lua();
        scripts = g_hash_table_new(g_str_hash, g_str_equal);
        for (const struct script_source *s = script_sources; s->name; s++)
            g_hash_table_insert(scripts, (char *)s->name, known_new(words, s));
    }
    return scripts;
}

static const struct known *find_script(const char *name)
{
    const struct known *k = g_hash_table_lookup(all_scripts(), name);
    assert(k);
    return k;
}

static void send_run(struct run *run);

static bool failed; /* while a callback runs */

bool script_failed(void)
{
    return failed;
}

static void on_script(void *arg, const redisReply *reply)
{
    struct run *run = arg;

    if (reply && reply->type == REDIS_REPLY_ERROR && g_str_has_prefix(reply->str, "NOSCRIPT") && !run->whole) {
        run->whole = true;
        send_run(run);
        return;
    }
    if (reply && reply->type == REDIS_REPLY_ERROR) {
        log_error("redis.error", "{s:s, s:s}", "script", run->script->name, "error", reply->str);
        reply = NULL;
        failed = true;
    }
    if (run->fn)
        run->fn(run->arg, reply);
    failed = false;
    args_free(run->args);
    g_free(run->key);
    g_free(run);
}

static void split_args(const struct args *a, const char **argv, size_t *lens)
{
    size_t start = 0;

    for (guint i = 0; i < a->ends->len; i++) {
        size_t end = g_array_index(a->ends, size_t, i);
        argv[i] = a->bytes->str + start;
        lens[i] = end - start;
        start = end;
    }
}

/* EVALSHA sha 1 key now real args…, or EVAL with the whole text */
static void send_run(struct run *run)
{
    guint n = run->args->ends->len;
    const char **argv = g_new(const char *, n + 6);
    size_t *lens = g_new(size_t, n + 6);
    char now[24], real[24];

    argv[0] = run->whole ? "EVAL" : "EVALSHA";
    argv[1] = run->whole ? run->script->text : run->script->sha;
    argv[2] = "1";
    argv[3] = run->key;
    snprintf(now, sizeof now, "%" G_GINT64_FORMAT, clock_now());
    snprintf(real, sizeof real, "%" G_GINT64_FORMAT, clock_real());
    argv[4] = now;
    argv[5] = real;
    for (int i = 0; i < 6; i++)
        lens[i] = strlen(argv[i]);
    split_args(run->args, argv + 6, lens + 6);
    metrics_add(METRIC_REDIS_CALLS, run->script->label, 1);
    nodes_call(run->nodes, run->key, on_script, run, (int)n + 6, argv, lens);
    g_free(argv);
    g_free(lens);
}

void script_run(struct nodes *nodes, const char *key, const char *name, struct args *args, redis_answer_fn *fn,
                void *arg)
{
    struct run *run = g_new0(struct run, 1);

    *run = (struct run){
        .nodes = nodes, .script = find_script(name), .key = g_strdup(key), .args = args, .fn = fn, .arg = arg
    };
    send_run(run);
}

void command_run(struct nodes *nodes, struct args *a, redis_answer_fn *fn, void *arg)
{
    guint n = a->ends->len;
    g_autofree const char **argv = g_new(const char *, n);
    g_autofree size_t *lens = g_new(size_t, n);

    assert(n > 1);
    split_args(a, argv, lens);
    g_autofree char *key = g_strndup(argv[1], lens[1]);
    nodes_call(nodes, key, fn, arg, (int)n, argv, lens);
    args_free(a);
}

void scripts_load(struct redis *redis)
{
    GHashTableIter all;
    gpointer script;

    g_hash_table_iter_init(&all, all_scripts());
    while (g_hash_table_iter_next(&all, NULL, &script)) {
        const char *text = ((struct known *)script)->text;
        redis_call(redis, NULL, NULL, 3, (const char *[]){ "SCRIPT", "LOAD", text }, (size_t[]){ 6, 4, strlen(text) });
    }
}
