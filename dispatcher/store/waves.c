#include "dispatcher/store/waves.h"

#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/store/asking.h"

/* ---------------------------------------------------------------- looking */

struct looking_at_door {
    struct gather *gather;
    struct wave_look *looks;
    int count, partition;
    int64_t number;
};

static void at_door_clear(void *one)
{
    g_free(((struct at_door *)one)->member);
}

static void add_figures(struct wave_look *look, const redisReply *of)
{
    struct wave_figures *f = &look->figures;

    look->door += reply_int(of, 0);
    f->released += reply_int(of, 1);
    for (int i = 0; i < HARMS; i++)
        f->harmed[i] += reply_int(of, 2 + (size_t)i);
    f->settled += reply_int(of, 2 + HARMS);
    f->goals += reply_int(of, 3 + HARMS);
    f->answered += reply_int(of, 4 + HARMS);
    f->answers += g_ascii_strtod(reply_text(of, 5 + HARMS), NULL);
    look->released += reply_int(of, 6 + HARMS);
}

static void add_heads(struct wave_look *look, int partition, const redisReply *of)
{
    for (size_t i = 0; of && i + 1 < of->elements; i += 2) {
        struct at_door one = { partition, (int64_t)g_ascii_strtod(reply_text(of, i + 1), NULL),
                               g_strdup(reply_text(of, i)) };
        g_array_append_val(look->heads, one);
    }
}

static void on_look(void *arg, const redisReply *reply)
{
    struct looking_at_door *job = arg;
    struct gather *g = job->gather;

    g->lost |= !reply;
    for (int i = 0; reply && i < job->count; i++) {
        add_figures(&job->looks[i], reply_at(reply, 1 + (size_t)i));
        add_heads(&job->looks[i], job->partition, reply_at(reply, 1 + (size_t)(job->count + i)));
    }
    if (reply && reply_int(reply, 0) < job->number)
        json_object_set_new(g->result, "behind", json_true());
    g_free(job);
    gather_done(g);
}

static void look_at(struct store *s, struct looking_at_door *job, const char *sequence, int heads,
                    int64_t settled_before)
{
    struct args *a = args_new();

    args_text(a, "look");
    args_text(a, sequence);
    args_int(a, heads);
    args_int(a, settled_before);
    for (int i = 0; i < job->count; i++) {
        args_text(a, job->looks[i].name);
        args_int(a, job->looks[i].from);
        args_text(a, job->looks[i].asks_answers ? "1" : "");
    }
    store_script(s, job->partition, "door", a, on_look, job);
}

void store_waves(struct store *s, const char *sequence, int64_t number, struct wave_look *looks, int count, int heads,
                 int64_t settled_before, json_fn *fn, void *arg)
{
    struct gather *g = gather_new(json_pack("{s:b}", "behind", 0), fn, arg);

    for (int i = 0; i < count; i++) {
        looks[i].heads = g_array_new(FALSE, TRUE, sizeof(struct at_door));
        g_array_set_clear_func(looks[i].heads, at_door_clear);
    }
    for (int p = 0; p < s->partitions; p++) {
        struct looking_at_door *job = g_new0(struct looking_at_door, 1);
        *job = (struct looking_at_door){ g, looks, count, p, number };
        g->open++;
        look_at(s, job, sequence, heads, settled_before);
    }
    gather_done(g);
}

void wave_look_clear(struct wave_look *look)
{
    if (look->heads)
        g_array_unref(look->heads);
    look->heads = NULL;
}

/* ---------------------------------------------------------------- letting in */

struct counting_in {
    count_fn *fn;
    quota_fn *quota;
    void *arg;
};

static void on_released(void *arg, const redisReply *reply)
{
    struct counting_in *job = arg;

    job->fn(job->arg, reply != NULL, reply ? reply->integer : 0);
    g_free(job);
}

void store_wave_release(struct store *s, int partition, const char *sequence, const char *wave, int64_t number,
                        const char *const *members, int count, count_fn *fn, void *arg)
{
    struct args *a = args_new();
    struct counting_in *job = g_new0(struct counting_in, 1);

    *job = (struct counting_in){ fn, NULL, arg };
    args_text(a, "release");
    args_text(a, sequence);
    args_text(a, wave);
    args_int(a, number);
    for (int i = 0; i < count; i++)
        args_text(a, members[i]);
    store_script(s, partition, "door", a, on_released, job);
}

static void on_quota(void *arg, const redisReply *reply)
{
    struct counting_in *job = arg;

    job->quota(job->arg, reply != NULL, reply_int(reply, 0), reply_int(reply, 1));
    g_free(job);
}

void store_wave_quota(struct store *s, const char *sequence, const char *wave, double gap, int wish, double hiccup,
                      quota_fn *fn, void *arg)
{
    struct args *a = args_new();
    struct counting_in *job = g_new0(struct counting_in, 1);
    char text[G_ASCII_DTOSTR_BUF_SIZE];

    *job = (struct counting_in){ NULL, fn, arg };
    args_text(a, "quota");
    args_text(a, sequence);
    args_text(a, wave);
    args_text(a, g_ascii_dtostr(text, sizeof text, gap));
    args_int(a, wish);
    args_text(a, g_ascii_dtostr(text, sizeof text, hiccup));
    store_script(s, store_partition(s, sequence), "door", a, on_quota, job);
}
