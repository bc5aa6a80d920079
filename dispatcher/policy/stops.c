#include "dispatcher/policy/stops.h"

#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "schedules/instant.h"
#include "schedules/run.h"

const char *const stop_bys[STOP_BYS + 1] = { "all",      "channel", "provider", "category", "template",
                                             "sequence", "source",  "tag",      NULL };

struct stops {
    int64_t number;
    GPtrArray *list;
};

/* ---------------------------------------------------------------- one */

struct stop *stop_read(const char *id, const json_t *in)
{
    for (int by = 0; by < STOP_BYS; by++) {
        struct stop *s;
        if (!json_object_get(in, stop_bys[by]))
            continue;
        s = g_new0(struct stop, 1);
        *s = (struct stop){ .id = g_strdup(id),
                            .value = g_strdup(kept_text(in, stop_bys[by])),
                            .by = (enum stop_by)by,
                            .who = g_strdup(kept_text(in, "who")),
                            .reason = g_strdup(kept_text(in, "reason")),
                            .since = json_integer_value(json_object_get(in, "since")),
                            .until = json_integer_value(json_object_get(in, "until")) };
        return s;
    }
    return NULL;
}

json_t *stop_json(const struct stop *s)
{
    char since[32], until[32];
    json_t *json = json_pack("{s:s, s:o, s:s, s:s, s:s, s:o}", "id", s->id, stop_bys[s->by],
                             s->by == STOP_ALL ? json_true() : json_string(s->value), "who", s->who, "reason",
                             s->reason, "since", instant_format(since, s->since), "until",
                             s->until ? json_string(instant_format(until, s->until)) : json_null());
    return json;
}

void stop_free(struct stop *s)
{
    if (!s)
        return;
    g_free(s->id);
    g_free(s->value);
    g_free(s->who);
    g_free(s->reason);
    g_free(s);
}

bool tag_fits(const char *tag, const json_t *tags)
{
    const char *colon = strpbrk(tag, ":=");
    g_autofree char *key = colon ? g_strndup(tag, (gsize)(colon - tag)) : g_strdup(tag);
    const json_t *value = json_object_get(tags, key);

    if (!colon || !value)
        return value != NULL;
    char *text =
        json_is_string(value) ? strdup(json_string_value(value)) : json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    bool fits = strcmp(text, colon + 1) == 0;
    free(text);
    return fits;
}

bool stop_covers(const struct stop *s, const struct stoppable *what)
{
    const char *const values[STOP_BYS] = {
        [STOP_CHANNEL] = what->channel,   [STOP_PROVIDER] = what->provider, [STOP_CATEGORY] = what->category,
        [STOP_TEMPLATE] = what->template, [STOP_SEQUENCE] = what->sequence, [STOP_SOURCE] = what->source
    };

    if (s->by == STOP_ALL)
        return true;
    if (s->by == STOP_TAG)
        return tag_fits(s->value, what->tags);
    return g_strcmp0(values[s->by], s->value) == 0;
}

/* ---------------------------------------------------------------- all of them */

static void free_stop(void *s)
{
    stop_free(s);
}

struct stops *stops_read(const json_t *from)
{
    struct stops *all = g_new0(struct stops, 1);
    const char *id;
    json_t *one;

    all->number = json_integer_value(json_object_get(from, "*"));
    all->list = g_ptr_array_new_with_free_func(free_stop);
    json_object_foreach ((json_t *)from, id, one) {
        struct stop *s = stop_read(id, one);
        if (s)
            g_ptr_array_add(all->list, s);
    }
    return all;
}

void stops_free(struct stops *all)
{
    if (!all)
        return;
    g_ptr_array_unref(all->list);
    g_free(all);
}

int64_t stops_number(const struct stops *all)
{
    return all ? all->number : 0;
}

static bool stands(const struct stop *s, int64_t now)
{
    return !s->until || s->until > now;
}

const struct stop *stops_find(const struct stops *all, const struct stoppable *what, int64_t now)
{
    for (guint i = 0; all && i < all->list->len; i++) {
        const struct stop *s = all->list->pdata[i];
        if (stands(s, now) && stop_covers(s, what))
            return s;
    }
    return NULL;
}

bool stops_have(const struct stops *all, enum stop_by by, const char *value, int64_t now)
{
    for (guint i = 0; all && i < all->list->len; i++) {
        const struct stop *s = all->list->pdata[i];
        if (s->by == by && stands(s, now) && strcmp(s->value, value) == 0)
            return true;
    }
    return false;
}

void stops_each(const struct stops *all, int64_t now, void (*fn)(void *arg, const struct stop *), void *arg)
{
    for (guint i = 0; all && i < all->list->len; i++)
        if (stands(all->list->pdata[i], now))
            fn(arg, all->list->pdata[i]);
}
