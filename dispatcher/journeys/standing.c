#include "dispatcher/journeys/standing.h"

#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/base/clock.h"
#include "dispatcher/base/figures.h"
#include "dispatcher/base/problem.h"
#include "dispatcher/journeys/actor.h"
#include "dispatcher/store/standings.h"
#include "schedules/duration.h"

#define PAUSES_MOST 20 /* that are remembered for runs that have not been seen to since */

/*
 *   pause:   standing changed everywhere ──▶ messages held or cancelled
 *   resume:  standing changed everywhere ──▶ messages released ──▶ everybody's turn
 *   stop:    people found ──▶ each one's runs end
 */
struct standing_change {
    struct service *service;
    char *sequence;
    enum act_kind act; /* of those that are done to everybody */
    bool pauses, entry, dry;
    bool wakes;           /* runs that were paused go on */
    json_t *people, *map; /* of migrate: who is left */
    size_t next;
    char version[VERSION_SIZE];
    const char *messages, *waits; /* words of the tables below */
    json_t *figures;
    int open;
    bool lost;
    json_fn *fn;
    void *arg;
};

static void done(struct standing_change *c, bool ok)
{
    c->fn(c->arg, ok, c->figures);
    json_decref(c->figures);
    json_decref(c->people);
    json_decref(c->map);
    g_free(c->sequence);
    g_free(c);
}

static struct standing_change *change_new(struct service *s, const char *sequence, json_t *figures, json_fn *fn,
                                          void *arg)
{
    struct standing_change *c = g_new0(struct standing_change, 1);

    *c = (struct standing_change){
        .service = s, .sequence = g_strdup(sequence), .figures = figures, .fn = fn, .arg = arg
    };
    return c;
}

/* ---------------------------------------------------------------- what was asked */

static const char *word_in(const json_t *how, const char *key, const char *const *words, json_t *errors)
{
    const json_t *value = json_object_get(how, key);
    g_autofree char *pointer = g_strconcat("/", key, NULL);

    if (!value || json_is_null(value))
        return words[0];
    for (int i = 0; words[i]; i++)
        if (json_is_string(value) && strcmp(words[i], json_string_value(value)) == 0)
            return words[i];
    g_autofree char *list = g_strjoinv(", ", (char **)words);
    problem_add(errors, pointer, "must be one of %s", list);
    return words[0];
}

/* ---------------------------------------------------------------- pause and resume */

static void on_turned(void *arg, bool ok, json_t *result)
{
    struct standing_change *c = arg;

    if (ok)
        json_object_set_new(c->figures, "runs",
                            json_integer((json_int_t)json_array_size(json_object_get(result, "people"))));
    done(c, ok);
}

static void on_messages(void *arg, bool ok, json_t *result)
{
    struct standing_change *c = arg;
    const char *key = c->wakes ? "released" : strcmp(c->messages, "cancel") == 0 ? "cancelled" : "held";

    if (ok) {
        json_object_set(c->figures, key, json_object_get(result, "messages"));
        json_object_set(c->figures, "in_flight", json_object_get(result, "in_flight"));
    }
    if (ok && c->wakes)
        store_runners(c->service->store, c->sequence, "", "turn", on_turned, c);
    else
        on_turned(c, ok, result);
}

static void on_changed(void *arg, bool ok, json_t *result)
{
    struct standing_change *c = arg;
    const char *op = c->wakes ? "release" : c->entry || strcmp(c->messages, "keep") == 0 ? "" : c->messages;

    if (ok && json_array_size(json_object_get(result, "lost")) == 0)
        store_runners(c->service->store, c->sequence, "", op, on_messages, c);
    else
        done(c, false);
}

static json_t *pause_of(const json_t *was, const char *waits)
{
    return json_pack("[O, I, s]", json_object_get(was, "since"), (json_int_t)clock_now(), waits);
}

/* A pause that ends is remembered, so that each run can move by it. */
static json_t *becomes(void *arg, const json_t *was)
{
    struct standing_change *c = arg;
    json_t *is = json_copy((json_t *)was), *pauses = json_object_get(was, "pauses");
    bool was_paused = g_strcmp0(json_string_value(json_object_get(was, "paused")), "all") == 0;

    pauses = pauses ? json_copy(pauses) : json_array();
    json_object_del(is, "paused");
    json_object_del(is, "since");
    if (c->pauses) {
        json_object_set_new(is, "paused", json_string(c->entry ? "entry" : "all"));
        json_object_set_new(is, "since",
                            was_paused && !c->entry ? json_incref(json_object_get(was, "since"))
                                                    : json_integer(clock_now()));
    }
    /* who was paused as a whole goes on, also where the entry stays closed */
    c->wakes = !c->pauses || (was_paused && c->entry);
    if (was_paused && c->wakes)
        json_array_append_new(pauses, pause_of(was, c->waits));
    while (json_array_size(pauses) > PAUSES_MOST)
        json_array_remove(pauses, 0);
    if (json_array_size(pauses))
        json_object_set(is, "pauses", pauses);
    json_decref(pauses);
    return is;
}

bool standing_pause(struct service *s, const char *sequence, const json_t *how, json_t *errors, json_fn *fn, void *arg)
{
    static const char *const known[] = { "entry", "messages", NULL }, *const words[] = { "hold", "keep", "cancel",
                                                                                         NULL };
    const char *messages = word_in(how, "messages", words, errors);
    struct standing_change *c;

    problem_unknown(errors, how, known, "is unknown here");
    if (json_object_get(how, "entry") && !json_is_boolean(json_object_get(how, "entry")))
        problem_add(errors, "/entry", "must be true or false");
    if (json_array_size(errors))
        return false;
    c = change_new(s, sequence, json_pack("{s:s, s:b}", "sequence", sequence, "paused", 1), fn, arg);
    c->pauses = true;
    c->entry = json_is_true(json_object_get(how, "entry"));
    c->messages = messages;
    c->waits = "keep";
    store_standing_change(s->store, sequence, becomes, on_changed, c);
    return true;
}

bool standing_resume(struct service *s, const char *sequence, const json_t *how, json_t *errors, json_fn *fn, void *arg)
{
    static const char *const known[] = { "waits", NULL }, *const words[] = { "keep", "shift", "restart", NULL };
    const char *waits = word_in(how, "waits", words, errors);
    struct standing_change *c;

    problem_unknown(errors, how, known, "is unknown here");
    if (json_array_size(errors))
        return false;
    c = change_new(s, sequence, json_pack("{s:s, s:b}", "sequence", sequence, "paused", 0), fn, arg);
    c->waits = waits;
    store_standing_change(s->store, sequence, becomes, on_changed, c);
    return true;
}

/* ---------------------------------------------------------------- stop */

static void stop_one_done(struct standing_change *c)
{
    if (--c->open == 0)
        done(c, !c->lost);
}

static void on_left(void *arg, enum act_result result, const json_t *did)
{
    struct standing_change *c = arg;
    json_t *item;
    size_t i;

    c->lost |= result != ACT_DONE;
    json_array_foreach ((json_t *)did, i, item) {
        if (g_strcmp0(json_string_value(json_object_get(item, "why")), "stopped") != 0)
            continue;
        figure_add(c->figures, "runs", 1);
        figure_add(c->figures, "cancelled", (json_int_t)json_array_size(json_object_get(item, "cancelled")));
        figure_add(c->figures, "in_flight", (json_int_t)json_array_size(json_object_get(item, "in_flight")));
    }
    stop_one_done(c);
}

static void on_people(void *arg, bool ok, json_t *result)
{
    struct standing_change *c = arg;
    json_t *person;
    size_t i;

    c->lost = !ok;
    c->open = 1;
    json_array_foreach (json_object_get(result, "people"), i, person) {
        c->open++;
        actor_act(c->service,
                  &(struct act){ .kind = ACT_LEAVE,
                                 .recipient = json_string_value(person),
                                 .sequence = c->sequence,
                                 .reason = "stopped" },
                  NULL, on_left, c);
    }
    stop_one_done(c);
}

bool standing_stop(struct service *s, const char *sequence, const json_t *how, json_t *errors, json_fn *fn, void *arg)
{
    static const char *const known[] = { NULL };
    struct standing_change *c;

    problem_unknown(errors, how, known, "is unknown here");
    if (json_array_size(errors))
        return false;
    c = change_new(s, sequence,
                   json_pack("{s:s, s:i, s:i, s:i}", "sequence", sequence, "runs", 0, "cancelled", 0, "in_flight", 0),
                   fn, arg);
    store_runners(s->store, sequence, "", "", on_people, c);
    return true;
}

/* ---------------------------------------------------------------- everybody, one after the other: migrate, replan */

#define AT_A_TIME 64

static void act_next(struct standing_change *c);

static json_t *row_of(json_t *steps, const char *step, const char *to)
{
    json_t *row;
    size_t i;

    json_array_foreach (steps, i, row)
        if (strcmp(kept_text(row, "step"), step) == 0 && strcmp(kept_text(row, "to"), to) == 0)
            return row;
    json_array_append_new(steps, row = json_pack("{s:s, s:s, s:i}", "step", step, "to", to, "runs", 0));
    return row;
}

static void count_migrated(struct standing_change *c, const json_t *item)
{
    bool migrated = strcmp(kept_text(item, "what"), "migrated") == 0;
    const json_t *due = json_object_get(item, "due");

    if (!migrated && strcmp(kept_text(item, "what"), "stuck") != 0)
        return;
    figure_add(c->figures, "runs", 1);
    figure_add(c->figures, migrated ? "migrated" : "stuck", 1);
    if (migrated && json_is_integer(due) && json_integer_value(due) <= clock_now() + HOUR_MS)
        figure_add(c->figures, "due_within_hour", 1);
    figure_add(
        row_of(json_object_get(c->figures, "steps"), kept_text(item, "step"), migrated ? kept_text(item, "to") : ""),
        "runs", 1);
}

static void on_acted(void *arg, enum act_result result, const json_t *did)
{
    struct standing_change *c = arg;
    json_t *item;
    size_t i;

    c->lost |= result != ACT_DONE;
    json_array_foreach ((json_t *)did, i, item)
        count_migrated(c, item);
    c->open--;
    act_next(c);
}

static void act_next(struct standing_change *c)
{
    while (c->open < AT_A_TIME && c->next < json_array_size(c->people)) {
        c->open++;
        actor_act(c->service,
                  &(struct act){ .kind = c->act,
                                 .recipient = json_string_value(json_array_get(c->people, c->next++)),
                                 .sequence = c->sequence,
                                 .version = *c->version ? c->version : NULL,
                                 .map = c->map,
                                 .dry = c->dry,
                                 .existing = true },
                  NULL, on_acted, c);
    }
    if (c->open == 0)
        done(c, !c->lost);
}

static void on_to_act(void *arg, bool ok, json_t *result)
{
    struct standing_change *c = arg;

    c->lost = !ok;
    c->people = ok ? json_incref(json_object_get(result, "people")) : json_array();
    act_next(c);
}

/* ---------------------------------------------------------------- planned anew */

void standing_replan(struct service *s, const char *sequence, json_fn *fn, void *arg)
{
    struct standing_change *c = change_new(s, sequence, json_object(), fn, arg);

    c->act = ACT_REPLAN;
    store_runners(s->store, sequence, "", "", on_to_act, c);
}

/* ---------------------------------------------------------------- what migrate asks */

static void check_map(const struct sequence *q, const json_t *map, json_t *errors)
{
    const char *old;
    json_t *new;

    if (map && !json_is_object(map))
        problem_add(errors, "/map", "must be an object like {\"old_step\": \"new_step\"}");
    json_object_foreach ((json_t *)map, old, new)
        if (!json_is_string(new) || !sequence_step(q, json_string_value(new)))
            problem_add(errors, "/map", "%s leads to a step that the current version does not have", old);
}

bool standing_migrate(struct service *s, const char *sequence, const json_t *how, json_t *errors, json_fn *fn,
                      void *arg)
{
    static const char *const known[] = { "from", "map", "dry_run", NULL };
    const struct sequence *q = sequences_find(s->sequences, sequence, NULL);
    const char *from = json_string_value(json_object_get(how, "from"));
    struct standing_change *c;

    problem_unknown(errors, how, known, "is unknown here");
    if (!q)
        problem_add(errors, "", "there is no such sequence now to which runs could go");
    else
        check_map(q, json_object_get(how, "map"), errors);
    if (json_array_size(errors))
        return false;
    c = change_new(s, sequence,
                   json_pack("{s:s, s:s, s:i, s:i, s:i, s:i, s:[]}", "sequence", sequence, "version", q->version,
                             "runs", 0, "migrated", 0, "stuck", 0, "due_within_hour", 0, "steps"),
                   fn, arg);
    c->act = ACT_MIGRATE;
    c->dry = json_is_true(json_object_get(how, "dry_run"));
    c->map = json_incref(json_object_get(how, "map"));
    g_strlcpy(c->version, from ? from : "", sizeof c->version);
    store_runners(s->store, sequence, "", "", on_to_act, c);
    return true;
}
