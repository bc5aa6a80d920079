#include "schedules/run.h"

#include <stdlib.h>
#include <string.h>

#include "schedules/instant.h"

#define SEEN_MOST 500 /* keys that are remembered of a sequence; the oldest leave */

const char *kept_text(const json_t *event, const char *key)
{
    const char *text = json_string_value(json_object_get(event, key));
    return text ? text : "";
}

int64_t kept_time(const json_t *event, const char *key)
{
    return json_integer_value(json_object_get(event, key));
}

/* ---------------------------------------------------------------- one run */

struct run *run_new(void)
{
    struct run *r = g_new0(struct run, 1);

    r->due = r->deadline = r->released = -1;
    r->steps = json_object();
    r->rounds = json_object();
    r->watched = json_object();
    r->open = json_object();
    return r;
}

void run_free(struct run *r)
{
    if (!r)
        return;
    g_free(r->sequence);
    g_free(r->key);
    g_free(r->trigger_id);
    g_free(r->step);
    g_free(r->message);
    g_free(r->sender);
    g_free(r->author);
    g_free(r->wave);
    g_free(r->place);
    json_decref(r->trigger);
    json_decref(r->steps);
    json_decref(r->rounds);
    json_decref(r->watched);
    json_decref(r->open);
    json_decref(r->gathered);
    g_free(r);
}

static void put_text(json_t *to, const char *key, const char *text)
{
    if (text && *text)
        json_object_set_new(to, key, json_string(text));
}

static void put_time(json_t *to, const char *key, int64_t ms)
{
    if (ms >= 0)
        json_object_set_new(to, key, json_integer(ms));
}

static void put_part(json_t *to, const char *key, json_t *part)
{
    if (part && json_object_size(part))
        json_object_set(to, key, part);
}

static json_t *pack(const struct run *r)
{
    json_t *to = json_object();

    put_text(to, "i", r->id);
    put_text(to, "v", r->version);
    put_text(to, "q", r->sequence);
    put_text(to, "k", r->key);
    put_text(to, "ti", r->trigger_id);
    if (r->step) /* "" at the door of a wave */
        json_object_set_new(to, "s", json_string(r->step));
    put_text(to, "m", r->message);
    put_text(to, "ms", r->message ? r->sender : NULL);
    put_text(to, "mf", r->message ? r->author : NULL);
    put_time(to, "st", r->started);
    put_time(to, "en", r->enrolled);
    put_time(to, "e", r->entered);
    put_time(to, "d", r->due);
    put_time(to, "dl", r->deadline);
    put_text(to, "wv", r->wave);
    put_time(to, "rl", r->released);
    put_text(to, "pl", r->place);
    put_part(to, "td", r->trigger);
    put_part(to, "x", r->steps);
    put_part(to, "r", r->rounds);
    put_part(to, "w", r->watched);
    put_part(to, "o", r->open);
    put_part(to, "c", r->gathered);
    if (r->opened)
        json_object_set_new(to, "co", json_true());
    if (r->sent)
        json_object_set_new(to, "se", json_true());
    json_object_set_new(to, "n", json_integer(r->visit));
    if (r->resumed)
        json_object_set_new(to, "rs", json_integer(r->resumed));
    if (r->hops)
        json_object_set_new(to, "hp", json_integer(r->hops));
    if (r->yielded)
        json_object_set_new(to, "y", json_true());
    if (r->goal)
        json_object_set_new(to, "g", json_true());
    if (r->goal_open)
        json_object_set_new(to, "go", json_true());
    if (r->held_out)
        json_object_set_new(to, "h", json_true());
    return to;
}

static char *get_text(const json_t *from, const char *key)
{
    return g_strdup(json_string_value(json_object_get(from, key)));
}

static int64_t get_time(const json_t *from, const char *key)
{
    const json_t *value = json_object_get(from, key);
    return json_is_integer(value) ? json_integer_value(value) : -1;
}

static void get_part(const json_t *from, const char *key, json_t **part)
{
    json_t *value = json_object_get(from, key);

    if (!value)
        return;
    json_decref(*part);
    *part = json_incref(value);
}

static struct run *unpack(const json_t *from)
{
    struct run *r = run_new();

    g_strlcpy(r->id, kept_text(from, "i"), sizeof r->id);
    g_strlcpy(r->version, kept_text(from, "v"), sizeof r->version);
    r->sequence = g_strdup(kept_text(from, "q"));
    r->key = g_strdup(kept_text(from, "k"));
    r->trigger_id = g_strdup(kept_text(from, "ti"));
    r->step = get_text(from, "s");
    r->message = get_text(from, "m");
    r->sender = get_text(from, "ms");
    r->author = get_text(from, "mf");
    r->started = get_time(from, "st");
    r->enrolled = get_time(from, "en");
    r->entered = get_time(from, "e");
    r->due = get_time(from, "d");
    r->deadline = get_time(from, "dl");
    r->wave = get_text(from, "wv");
    r->released = get_time(from, "rl");
    r->place = get_text(from, "pl");
    get_part(from, "td", &r->trigger);
    get_part(from, "x", &r->steps);
    get_part(from, "r", &r->rounds);
    get_part(from, "w", &r->watched);
    get_part(from, "o", &r->open);
    get_part(from, "c", &r->gathered);
    r->opened = json_is_true(json_object_get(from, "co"));
    r->sent = json_is_true(json_object_get(from, "se"));
    r->resumed = kept_time(from, "rs");
    r->hops = (int)kept_time(from, "hp");
    r->yielded = json_is_true(json_object_get(from, "y"));
    r->visit = (int)kept_time(from, "n");
    r->goal = json_is_true(json_object_get(from, "g"));
    r->goal_open = json_is_true(json_object_get(from, "go"));
    r->held_out = json_is_true(json_object_get(from, "h"));
    return r;
}

static json_t *instant_json(int64_t ms)
{
    char text[32];
    return ms < 0 ? json_null() : json_string(instant_format(text, ms));
}

json_t *run_json(const struct run *r)
{
    json_t *of = json_pack("{s:s, s:s, s:s, s:s, s:o, s:s?, s:o, s:o, s:s?, s:b, s:b}", "id", r->id, "sequence",
                           r->sequence, "version", r->version, "key", r->key, "started", instant_json(r->started),
                           "step", r->step && *r->step ? r->step : NULL, "since", instant_json(r->entered), "until",
                           instant_json(r->due), "message", r->message, "goal", r->goal, "holdout", r->held_out);

    if (r->wave) {
        json_object_set_new(of, "wave", json_string(r->wave));
        json_object_set_new(of, "released", instant_json(r->released));
    }
    return of;
}

/* ---------------------------------------------------------------- at the door */

struct standing *standing_new(const char *sequence, const char *key, json_t *event)
{
    struct standing *s = g_new0(struct standing, 1);

    *s = (struct standing){ g_strdup(sequence), g_strdup(key), json_incref(event) };
    return s;
}

void standing_free(struct standing *s)
{
    g_free(s->sequence);
    g_free(s->key);
    json_decref(s->event);
    g_free(s);
}

/* ---------------------------------------------------------------- a person */

static struct person_runs *person_new(void)
{
    struct person_runs *p = g_new0(struct person_runs, 1);

    p->runs = g_ptr_array_new_with_free_func((GDestroyNotify)run_free);
    p->ended = g_ptr_array_new_with_free_func((GDestroyNotify)run_free);
    p->queue = g_ptr_array_new_with_free_func((GDestroyNotify)standing_free);
    p->seen = json_object();
    p->entries = json_object();
    p->watches = json_object();
    p->merged = json_object();
    return p;
}

struct person_runs *person_read(const char *text)
{
    json_auto_t *from = *text ? json_loads(text, 0, NULL) : json_object();
    struct person_runs *p;
    json_t *one;
    size_t i;

    if (!json_is_object(from))
        return NULL;
    p = person_new();
    json_array_foreach (json_object_get(from, "r"), i, one)
        g_ptr_array_add(p->runs, unpack(one));
    json_array_foreach (json_object_get(from, "a"), i, one)
        g_ptr_array_add(p->ended, unpack(one));
    json_array_foreach (json_object_get(from, "w"), i, one)
        g_ptr_array_add(p->queue, standing_new(kept_text(one, "q"), kept_text(one, "k"), json_object_get(one, "e")));
    get_part(from, "d", &p->seen);
    get_part(from, "n", &p->entries);
    get_part(from, "g", &p->watches);
    get_part(from, "mg", &p->merged);
    p->moved = get_text(from, "mv");
    return p;
}

/* The keys of a sequence that are remembered longest ago leave. */
static void forget_oldest(json_t *keys)
{
    while (json_object_size(keys) > SEEN_MOST) {
        const char *key, *oldest = NULL;
        json_t *at;
        json_object_foreach (keys, key, at)
            if (!oldest || json_integer_value(at) < json_integer_value(json_object_get(keys, oldest)))
                oldest = key;
        json_object_del(keys, oldest);
    }
}

static void put_runs(json_t *to, const char *key, const GPtrArray *runs)
{
    json_t *list = runs->len ? json_array() : NULL;

    for (guint i = 0; i < runs->len; i++)
        json_array_append_new(list, pack(runs->pdata[i]));
    if (list)
        json_object_set_new(to, key, list);
}

char *person_write(const struct person_runs *p)
{
    json_auto_t *to = json_object();
    json_t *queue = json_array(), *keys;
    const char *sequence;

    put_runs(to, "r", p->runs);
    put_runs(to, "a", p->ended);
    for (guint i = 0; i < p->queue->len; i++) {
        const struct standing *s = p->queue->pdata[i];
        json_array_append_new(queue, json_pack("{s:s, s:s, s:O}", "q", s->sequence, "k", s->key, "e", s->event));
    }
    json_object_foreach (p->seen, sequence, keys)
        forget_oldest(keys);
    if (json_array_size(queue))
        json_object_set(to, "w", queue);
    put_part(to, "d", p->seen);
    put_part(to, "n", p->entries);
    put_part(to, "g", p->watches);
    put_part(to, "mg", p->merged);
    put_text(to, "mv", p->moved);
    json_decref(queue);
    return json_object_size(to) ? json_dumps(to, JSON_COMPACT) : strdup("");
}

void person_empty(struct person_runs *p)
{
    g_ptr_array_set_size(p->runs, 0);
    g_ptr_array_set_size(p->queue, 0);
    g_ptr_array_set_size(p->ended, 0);
    json_object_clear(p->seen);
    json_object_clear(p->entries);
    json_object_clear(p->watches);
    json_object_clear(p->merged);
}

void person_free(struct person_runs *p)
{
    if (!p)
        return;
    g_ptr_array_unref(p->runs);
    g_ptr_array_unref(p->queue);
    g_ptr_array_unref(p->ended);
    json_decref(p->seen);
    json_decref(p->entries);
    json_decref(p->watches);
    json_decref(p->merged);
    g_free(p->moved);
    g_free(p);
}
