#include "dispatcher/journeys/waves_own.h"

#include <string.h>

#include "dispatcher/base/clock.h"
#include "dispatcher/base/log.h"
#include "dispatcher/base/problem.h"
#include "dispatcher/journeys/sequences.h"
#include "dispatcher/store/standings.h"

#define LOG_MOST 100

/*
 *   open:  standing changed everywhere ──▶ held messages released ──▶ parked runs have their turn ──▶ figures
 *   hold:  standing changed everywhere ──▶ messages held, or those in flight counted ──▶ figures
 */
struct wave_change {
    struct service *service;
    char *sequence, *wave;
    bool opens, all;
    int64_t judged; /* number of the standing by which the gate judged; -1: a command, however it stands */
    struct wave_look look;
    json_t *figures;
    json_fn *fn;
    void *arg;
};

static void done(struct wave_change *c, bool ok)
{
    c->fn(c->arg, ok, ok ? c->figures : NULL);
    wave_look_clear(&c->look);
    json_decref(c->figures);
    g_free(c->sequence);
    g_free(c->wave);
    g_free(c);
}

/* ---------------------------------------------------------------- figures */

static void on_look(void *arg, bool ok, json_t *behind)
{
    struct wave_change *c = arg;

    json_object_set_new(c->figures, "held", json_integer(c->look.door));
    json_object_set_new(c->figures, "released", json_integer(c->look.released));
    done(c, ok);
}

static void count_all(struct wave_change *c)
{
    c->look = (struct wave_look){ .name = c->wave, .from = 0 };
    store_waves(c->service->store, c->sequence, 0, &c->look, 1, 0, 0, on_look, c);
}

static void on_turned(void *arg, bool ok, json_t *people)
{
    struct wave_change *c = arg;

    if (ok)
        count_all(c);
    else
        done(c, false);
}

static void on_messages(void *arg, bool ok, json_t *result)
{
    struct wave_change *c = arg;

    if (ok)
        json_object_set(c->figures, "in_flight", json_object_get(result, "in_flight"));
    if (ok && c->opens) /* also when it was open already: whoever opened it may have died on the way */
        store_runners(c->service->store, c->sequence, c->wave, "turn", on_turned, c);
    else
        on_turned(c, ok, result);
}

/* ---------------------------------------------------------------- the standing */

static void on_changed(void *arg, bool ok, json_t *result)
{
    struct wave_change *c = arg;
    const char *op = c->opens ? "release" : c->all ? "hold" : "count";

    if (!ok) {
        done(c, false);
        return;
    }
    json_object_set(c->figures, "partitions", json_object_get(result, "partitions"));
    json_object_set(c->figures, "lost", json_object_get(result, "lost"));
    if (json_array_size(json_object_get(result, "lost")))
        done(c, true);
    else
        store_runners(c->service->store, c->sequence, c->wave, op, on_messages, c);
}

static const char *changed_by(const struct wave_change *c)
{
    return c->judged >= 0 ? "gate" : "command";
}

static void write_log(json_t *standing, const struct wave_change *c)
{
    json_t *log = json_object_get(standing, "log");

    log = log ? json_copy(log) : json_array();
    json_array_append_new(
        log, json_pack("[I, s, s, s]", (json_int_t)clock_now(), c->opens ? "opened" : "held", c->wave, changed_by(c)));
    while (json_array_size(log) > LOG_MOST)
        json_array_remove(log, 0);
    json_object_set_new(standing, "log", log);
}

/* The gate opens what nobody has opened, and changes only what it has judged by. */
static bool may_change(const struct wave_change *c, const json_t *was, const char *state)
{
    return c->judged < 0 || (kept_time(was, "n") == c->judged && !(c->opens && *state));
}

/* What became of people before it was opened (again) is no reason to hold it. */
static json_t *becomes(void *arg, const json_t *was)
{
    struct wave_change *c = arg;
    json_t *waves = json_object_get(was, "waves"), *of = json_object_get(waves, c->wave), *is;
    const char *state = kept_text(of, "state"), *next = c->opens ? "open" : "held";

    bool changes = strcmp(state, next) != 0 || (!c->opens && c->all != json_is_true(json_object_get(of, "all")));
    if (!changes || !may_change(c, was, state))
        return NULL;
    is = json_copy((json_t *)was);
    waves = waves ? json_copy(waves) : json_object();
    of = json_pack("{s:s, s:I, s:I, s:s, s:b}", "state", next, "at", (json_int_t)clock_now(), "from",
                   c->opens ? (json_int_t)clock_now() : (json_int_t)kept_time(of, "from"), "by", changed_by(c), "all",
                   (int)c->all);
    json_object_set_new(waves, c->wave, of);
    json_object_set_new(is, "waves", waves);
    write_log(is, c);
    return is;
}

void wave_change(struct service *s, const char *sequence, const char *wave, bool opens, bool all, int64_t judged,
                 json_fn *fn, void *arg)
{
    struct wave_change *c = g_new0(struct wave_change, 1);

    *c = (struct wave_change){ .service = s,
                               .sequence = g_strdup(sequence),
                               .wave = g_strdup(wave),
                               .opens = opens,
                               .all = all,
                               .judged = judged,
                               .figures = json_pack("{s:s, s:s, s:s, s:i, s:i, s:i}", "sequence", sequence, "wave",
                                                    wave, "state", opens ? "open" : "held", "held", 0, "released", 0,
                                                    "in_flight", 0),
                               .fn = fn,
                               .arg = arg };
    log_info(opens ? "wave.open" : "wave.hold", "{s:s, s:s, s:s}", "sequence", sequence, "wave", wave, "by",
             changed_by(c));
    store_standing_change(s->store, sequence, becomes, on_changed, c);
}

/* ---------------------------------------------------------------- by command */

static bool ask(struct service *s, const char *sequence, const json_t *how, bool opens, json_t *errors, json_fn *fn,
                void *arg)
{
    static const char *const known[] = { "wave", "all", NULL };
    const struct sequence *q = sequences_find(s->sequences, sequence, NULL);
    const char *wave = json_string_value(json_object_get(how, "wave"));
    const json_t *all = json_object_get(how, "all");

    problem_unknown(errors, how, known, "is unknown here");
    if (!q || q->waves->len == 0)
        problem_add(errors, "", "the sequence has no waves");
    else if (!wave || !sequence_wave(q, wave))
        problem_add(errors, "/wave", "there is no such wave in the sequence");
    if (all && !json_is_boolean(all))
        problem_add(errors, "/all", "must be true or false");
    else if (json_is_true(all) && opens)
        problem_add(errors, "/all", "is for hold");
    if (json_array_size(errors))
        return false;
    wave_change(s, sequence, wave, opens, json_is_true(all), -1, fn, arg);
    return true;
}

bool wave_open(struct service *s, const char *sequence, const json_t *how, json_t *errors, json_fn *fn, void *arg)
{
    return ask(s, sequence, how, true, errors, fn, arg);
}

bool wave_hold(struct service *s, const char *sequence, const json_t *how, json_t *errors, json_fn *fn, void *arg)
{
    return ask(s, sequence, how, false, errors, fn, arg);
}
