#include "dispatcher/journeys/live.h"

#include <glib.h>
#include <string.h>

#include "dispatcher/base/figures.h"
#include "dispatcher/journeys/declared.h"
#include "dispatcher/journeys/everybody.h"
#include "dispatcher/journeys/sequences.h"

#define SAMPLE     1000
#define HEARD_MOST 10000 /* names that a process remembers */

/* ---------------------------------------------------------------- what has come */

/* "NAME", or "NAME SOURCE" of what can not be known again: a name has no blanks. */
static void note(struct service *s, char *words)
{
    GHashTable *heard = sequences_heard(s->sequences);

    if (g_hash_table_size(heard) < HEARD_MOST && g_hash_table_add(heard, words))
        store_heard(s->store, words);
    else if (g_hash_table_size(heard) >= HEARD_MOST)
        g_free(words);
}

void live_note(struct service *s, const char *event, const char *source, bool anonymous)
{
    note(s, g_strdup(event));
    if (anonymous)
        note(s, g_strconcat(event, " ", *source ? source : "?", NULL));
}

/* ---------------------------------------------------------------- facts */

struct facts {
    struct service *service;
    json_t *result;
    int open;
    bool lost;
    json_fn *fn;
    void *arg;
};

static void facts_done(struct facts *f)
{
    if (--f->open > 0)
        return;
    f->fn(f->arg, !f->lost, f->lost ? NULL : f->result);
    json_decref(f->result);
    g_free(f);
}

static void add_paths(json_t *paths, const char *at, const json_t *attributes)
{
    const char *key;
    json_t *value;

    json_object_foreach ((json_t *)attributes, key, value) {
        g_autofree char *path = g_strconcat(at, key, NULL), *inside = g_strconcat(path, ".", NULL);
        json_object_set_new(paths, path, json_true());
        if (json_is_object(value))
            add_paths(paths, inside, value);
    }
}

struct sampling {
    struct facts *facts;
    struct everybody *walk;
};

static void on_person(void *arg, const struct seen_person *seen)
{
    struct sampling *one = arg;
    json_auto_t *profile = seen ? json_loads(seen->profile, 0, NULL) : NULL;

    add_paths(json_object_get(one->facts->result, "attributes"), DECLARED_ATTRIBUTES,
              json_object_get(profile, "attributes"));
    figure_add(one->facts->result, "sampled", 1);
    everybody_done(one->walk, seen != NULL);
    g_free(one);
}

static void sample(void *arg, struct everybody *walk, const char *recipient)
{
    struct facts *f = arg;
    struct sampling *one = g_new0(struct sampling, 1);

    *one = (struct sampling){ f, walk };
    store_look(f->service->looks, recipient, on_person, one);
}

static void on_sampled(void *arg, bool ok)
{
    struct facts *f = arg;

    f->lost |= !ok;
    facts_done(f);
}

static void add_heard(json_t *heard, const char *words)
{
    const char *blank = strchr(words, ' ');
    g_autofree char *name = g_strndup(words, blank ? (size_t)(blank - words) : strlen(words));
    json_t *event = figures_of(heard, name), *unnamed = json_object_get(event, "unnamed");

    if (blank && !unnamed)
        json_object_set_new(event, "unnamed", unnamed = json_array());
    if (blank)
        json_array_append_new(unnamed, json_string(blank + 1));
}

static void on_heard(void *arg, bool ok, json_t *heard)
{
    struct facts *f = arg;
    json_t *one;
    size_t i;

    f->lost |= !ok;
    json_array_foreach (heard, i, one)
        add_heard(json_object_get(f->result, "heard"), json_string_value(one));
    facts_done(f);
}

void live_facts(struct service *s, json_fn *fn, void *arg)
{
    struct facts *f = g_new0(struct facts, 1);

    *f = (struct facts){ .service = s,
                         .result = json_pack("{s:{}, s:i, s:{}}", "heard", "sampled", 0, "attributes"),
                         .open = 2,
                         .fn = fn,
                         .arg = arg };
    store_all_heard(s->store, on_heard, f);
    everybody_walk(s, SAMPLE, (struct everybody_fns){ sample, on_sampled }, f);
}
