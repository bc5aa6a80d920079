#include "templates/check.h"

#include <string.h>

static json_t *sample_of(const char *type)
{
    if (!type || strcmp(type, "string") == 0 || strcmp(type, "any") == 0)
        return json_string("Sample");
    if (strcmp(type, "integer") == 0 || strcmp(type, "number") == 0)
        return json_integer(3);
    if (strcmp(type, "boolean") == 0)
        return json_true();
    if (strcmp(type, "date") == 0)
        return json_string("2026-12-01T09:00:00Z");
    return strcmp(type, "array") == 0 ? json_array() : json_object();
}

json_t *template_given(const struct template *t)
{
    const char *category = template_category(t);

    return json_pack(
        "{s:{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:[s], s:{s:s, s:s}}, s:{s:s, s:s, s:s}, s:{s:s, s:s}}",
        "recipient", "id", "cus_1", "email", "ada@example.com", "phone", "+491701234567", "locale", "en", "timezone",
        "Europe/Vienna", "account", "acme", "role", "decider", "persona", "admin", "channels", "email", "attributes",
        "name", "Ada", "region", "DE-BY", "message", "id", "sample", "category", category ? category : "", "template",
        template_name(t), "links", "unsubscribe", "https://example.com/u/sample", "preferences",
        "https://example.com/p/sample");
}

json_t *template_sample(const struct template *t)
{
    json_t *context = template_given(t), *spec;
    const char *name;

    json_object_foreach ((json_t *)template_data(t), name, spec) {
        json_t *sample = json_object_get(spec, "sample");
        json_object_set_new(context, name,
                            sample ? json_incref(sample) : sample_of(json_string_value(json_object_get(spec, "type"))));
    }
    return context;
}

static void add_locale(void *arg, const char *file, const char *channel, const char *part, const char *locale,
                       const struct mustache *m)
{
    if (locale && !g_ptr_array_find_with_equal_func(arg, locale, g_str_equal, NULL))
        g_ptr_array_add(arg, g_strdup(locale));
}

static gint by_text(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

char **template_locales(const struct template *t)
{
    GPtrArray *list = g_ptr_array_new();
    GHashTableIter i;
    const char *locale;
    char fallback[LOCALE_SIZE];

    g_hash_table_iter_init(&i, template_catalogs(t));
    while (g_hash_table_iter_next(&i, (void **)&locale, NULL))
        g_ptr_array_add(list, g_strdup(locale));
    template_each_part(t, add_locale, list);
    if (locale_canonical(fallback, library_view(template_library(t)).default_locale))
        add_locale(list, NULL, NULL, NULL, fallback, NULL); /* what everybody else gets */
    g_ptr_array_sort(list, by_text);
    g_ptr_array_add(list, NULL);
    return (char **)g_ptr_array_free(list, FALSE);
}
