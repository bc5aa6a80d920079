#include "dispatcher/journeys/funnel.h"

#include <glib.h>
#include <stdbool.h>
#include <string.h>

#include "dispatcher/base/figures.h"
#include "dispatcher/base/lapse.h"
#include "schedules/share.h"

enum { SEQUENCE, VERSION, HELD, STEP, WHAT, WORD, WORDS };

static json_t *share(json_int_t reached, json_int_t of)
{
    struct share s = share_of(reached, of);

    return json_pack("{s:I, s:I, s:f, s:f, s:f}", "of", of, "reached", reached, "rate", s.rate, "low", s.low, "high",
                     s.high);
}

#define BUCKETS 128 /* of lapses */

struct lapses {
    json_int_t bucket[BUCKETS];
};

struct sums {
    json_int_t enrolled[2], goal[2]; /* by held out */
    struct lapses to_goal[2];
    GHashTable *in_step, *scores; /* step → struct lapses */
    json_t *report, *steps;
};

/* ---------------------------------------------------------------- how long */

static void lapse_add(struct lapses *l, const char *bucket, json_int_t n)
{
    int b = (int)g_ascii_strtoll(bucket, NULL, 10);
    l->bucket[CLAMP(b, 0, BUCKETS - 1)] += n;
}

static struct lapses *lapses_of(GHashTable *all, const char *step)
{
    struct lapses *l = g_hash_table_lookup(all, step);

    if (!l)
        g_hash_table_insert(all, g_strdup(step), l = g_new0(struct lapses, 1));
    return l;
}

static json_int_t lapse_count(const struct lapses *l)
{
    json_int_t n = 0;

    for (int b = 0; b < BUCKETS; b++)
        n += l->bucket[b];
    return n;
}

/* Seconds below which this share of them lies. */
static double lapse_quantile(const struct lapses *l, double share)
{
    double behind = share * (double)lapse_count(l);
    json_int_t n = 0;
    int b = 0;

    while (b < BUCKETS - 1 && (double)(n += l->bucket[b]) < behind)
        b++;
    return lapse_middle(b);
}

static json_t *lapse_json(const struct lapses *l)
{
    json_int_t n = lapse_count(l);

    return n ? json_pack("{s:I, s:f, s:f}", "of", n, "median", lapse_quantile(l, 0.5), "p90", lapse_quantile(l, 0.9))
             : json_null();
}

static json_t *score_json(const struct lapses *l)
{
    json_int_t n = lapse_count(l), sum = 0;
    json_t *scores = json_object();

    for (int b = 0; b <= 10; b++) {
        char word[16];
        g_snprintf(word, sizeof word, "%d", b);
        sum += b * l->bucket[b];
        if (l->bucket[b])
            json_object_set_new(scores, word, json_integer(l->bucket[b]));
    }
    return json_pack("{s:I, s:f, s:o}", "of", n, "mean", n ? (double)sum / (double)n : 0, "scores", scores);
}

static void add_lapses(struct sums *s, const char *key, GHashTable *all, json_t *(*json)(const struct lapses *))
{
    json_t *to = json_object();
    GHashTableIter i;
    const char *step;
    struct lapses *l;

    g_hash_table_iter_init(&i, all);
    while (g_hash_table_iter_next(&i, (void **)&step, (void **)&l))
        json_object_set_new(to, step, json(l));
    json_object_set_new(s->report, key, to);
}

/* ---------------------------------------------------------------- sums */

static void take(struct sums *s, char **words, json_int_t n)
{
    bool held = *words[HELD];
    const char *what = words[WHAT];

    if (strcmp(what, "enrolled") == 0) {
        s->enrolled[held] += n;
        figure_add(json_object_get(s->report, "versions"), words[VERSION], n);
    } else if (strcmp(what, "goal") == 0 || strcmp(what, "counted") == 0) {
        s->goal[held] += n;
    } else if (strcmp(what, "not_enrolled") == 0 || strcmp(what, "left") == 0) {
        figure_add(json_object_get(s->report, what), words[WORD], n);
    } else if (strcmp(what, "lapse") == 0) {
        lapse_add(*words[STEP] ? lapses_of(s->in_step, words[STEP]) : &s->to_goal[held], words[WORD], n);
    } else if (strcmp(what, "score") == 0) {
        lapse_add(lapses_of(s->scores, words[STEP]), words[WORD], n);
    } else if (*words[STEP]) {
        g_autofree char *name =
            *words[WORD] && strcmp(what, "wait") != 0 ? g_strdup_printf("%s %s", what, words[WORD]) : g_strdup(what);
        figure_add(figures_of(s->steps, words[STEP]), name, n);
    }
}

/* What hearing of it does, beside those who walk the same way and hear nothing. */
static void add_lift(struct sums *s)
{
    struct share hears = share_of(s->goal[0], s->enrolled[0]), held = share_of(s->goal[1], s->enrolled[1]);
    struct lift lift = share_lift(&hears, &held);
    bool known = hears.of && held.of;

    json_object_set_new(s->report, "lift", known ? json_real(lift.points) : json_null());
    json_object_set_new(s->report, "lift_low", known ? json_real(lift.low) : json_null());
    json_object_set_new(s->report, "lift_high", known ? json_real(lift.high) : json_null());
}

json_t *funnel_make(const char *sequence, const json_t *counted, const char *version)
{
    json_auto_t *steps = json_object();
    struct sums s = { .report = json_pack("{s:s, s:{}, s:{}, s:{}}", "sequence", sequence, "not_enrolled", "left",
                                          "versions"),
                      .steps = steps,
                      .in_step = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free),
                      .scores = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free) };
    const char *field;
    json_t *n;

    json_object_foreach ((json_t *)counted, field, n) {
        g_auto(GStrv) words = g_strsplit(field, "|", WORDS);
        if (g_strv_length(words) == WORDS && (!version || strcmp(words[VERSION], version) == 0))
            take(&s, words, json_integer_value(n));
    }
    json_object_set_new(s.report, "enrolled", json_integer(s.enrolled[0] + s.enrolled[1]));
    json_object_set_new(s.report, "goal", share(s.goal[0], s.enrolled[0]));
    json_object_set_new(s.report, "holdout", s.enrolled[1] ? share(s.goal[1], s.enrolled[1]) : json_null());
    add_lift(&s);
    json_object_set_new(s.report, "time_to_goal", lapse_json(&s.to_goal[0]));
    json_object_set_new(s.report, "holdout_time_to_goal", lapse_json(&s.to_goal[1]));
    add_lapses(&s, "time_in_step", s.in_step, lapse_json);
    add_lapses(&s, "answers", s.scores, score_json);
    g_hash_table_unref(s.in_step);
    g_hash_table_unref(s.scores);
    json_object_set(s.report, "steps", steps);
    return s.report;
}
