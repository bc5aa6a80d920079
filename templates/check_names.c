#include "templates/check_own.h"

#include <string.h>

static json_t *follow(json_t *from, const char *name)
{
    g_auto(GStrv) path = g_strsplit(name, ".", -1);

    for (char **word = path; *word && from; word++)
        from = json_object_get(from, *word);
    return from;
}

/* What a section's names mean: its sample, or the first of its samples. */
static json_t *sample_in(const struct checking *c, const struct mustache_scope *scope)
{
    json_t *value = NULL;

    while (scope && !scope->name)
        scope = scope->outer;
    if (!scope)
        return c->sample;
    for (const struct mustache_scope *outer = scope->outer;; outer = outer->outer) {
        value = follow(sample_in(c, outer), scope->name);
        if (value || !outer)
            break;
    }
    return json_is_array(value) ? json_array_get(value, 0) : value;
}

/* Somewhere in the samples; what has no sample may hold anything. */
static enum known known_somewhere(const json_t *value, const char *name)
{
    const char *key;
    json_t *item;
    size_t i;
    enum known known = UNKNOWN;

    if (json_object_get(value, name))
        return CANNOT_TELL;
    if (json_is_null(value) ||
        ((json_is_object(value) || json_is_array(value)) && !json_object_size(value) && !json_array_size(value)))
        return CANNOT_TELL;
    json_object_foreach ((json_t *)value, key, item)
        known = known ? known : known_somewhere(item, name);
    json_array_foreach ((json_t *)value, i, item)
        known = known ? known : known_somewhere(item, name);
    return known;
}

/* A name's first word decides; a section without a sample may have any, and a parent may put a block anywhere. */
enum known check_name(const struct checking *c, const struct mustache_scope *scope, const char *name)
{
    g_autofree char *first = g_strndup(name, strcspn(name, "."));

    if (!*first || !template_data(c->t) || strcmp(first, "lang") == 0 || strcmp(first, "dir") == 0)
        return KNOWN;
    for (;; scope = scope->outer) {
        json_t *value = sample_in(c, scope);
        if (json_object_get(value, first))
            return KNOWN;
        if (scope && (!value || json_is_null(value)))
            return CANNOT_TELL;
        if (scope && !scope->name)
            return known_somewhere(c->sample, first);
        if (!scope)
            return UNKNOWN;
    }
}
