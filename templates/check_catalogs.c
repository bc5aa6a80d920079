#include "templates/check_own.h"

#include <string.h>

int check_key_line(const char *file, const char *key)
{
    g_autofree char *text = NULL;
    return g_file_get_contents(file, &text, NULL, NULL) ? catalog_line(text, key) : 1;
}

struct message_job {
    struct checking *c;
    const struct mustache_scope *scope;
    const char *file, *key, *locale;
};

static void check_plural(void *arg, const char *name, const char *type, const char *const *selectors)
{
    const struct message_job *j = arg;
    bool ordinal = strcmp(type, "selectordinal") == 0;

    if (!ordinal && strcmp(type, "plural") != 0)
        return;
    g_auto(GStrv) categories = icu_plural_categories(j->locale, ordinal);
    for (char **category = categories; *category; category++)
        if (!g_strv_contains(selectors, *category) && icu_plural_needs(j->locale, ordinal, *category, selectors))
            check_found(j->c, true, j->file, check_key_line(j->file, j->key),
                        g_strdup_printf("\"%s\": the %s of {%s} lacks \"%s\", which %s needs", j->key, type, name,
                                        *category, j->locale));
    for (const char *const *s = selectors; *s; s++)
        if (**s != '=' && !g_strv_contains((const char *const *)categories, *s))
            check_found(j->c, false, j->file, check_key_line(j->file, j->key),
                        g_strdup_printf("\"%s\": the %s of {%s} has \"%s\", which %s never uses", j->key, type, name,
                                        *s, j->locale));
}

static void check_catalog(struct checking *c, const char *dir, const char *locale, GHashTable *messages,
                          GHashTable *used)
{
    g_autofree char *file = g_strdup_printf("%s/locales/%s.json", dir, locale);
    g_autoptr(GList) keys = g_list_sort(g_hash_table_get_keys(messages), (GCompareFunc)strcmp);

    for (GList *k = keys; k; k = k->next) {
        struct message_job job = { c, NULL, file, k->data, locale };
        if (used && !g_hash_table_contains(used, k->data))
            check_found(c, false, file, check_key_line(file, k->data),
                        g_strdup_printf("\"%s\" is used by no part", (char *)k->data));
        const struct icu_message *m = g_hash_table_lookup(messages, k->data);
        icu_message_arguments(m, check_plural, &job);
        if (icu_message_quotes_argument(m))
            check_found(c, false, file, check_key_line(file, k->data),
                        g_strdup_printf("\"%s\": the apostrophe before { quotes it; write two of them for one",
                                        (char *)k->data));
    }
}

void check_catalogs(struct checking *c, const char *dir, GHashTable *catalogs, GHashTable *used)
{
    g_autoptr(GList) locales = g_list_sort(g_hash_table_get_keys(catalogs), (GCompareFunc)strcmp);

    for (GList *l = locales; l; l = l->next)
        check_catalog(c, dir, l->data, g_hash_table_lookup(catalogs, l->data), used);
}

static bool catalog_has(GHashTable *catalogs, const char *locale, const char *key)
{
    GHashTable *messages = g_hash_table_lookup(catalogs, locale);
    return messages && g_hash_table_contains(messages, key);
}

static bool chain_has(const struct checking *c, const struct locale_chain *chain, const char *key)
{
    for (int i = 0; i < chain->count; i++)
        if (catalog_has(template_catalogs(c->t), chain->tags[i], key) ||
            catalog_has(library_shared_catalogs(c->library), chain->tags[i], key))
            return true;
    return false;
}

/* Without the default locale: a fallback to another language is what is looked for. */
void check_key(struct checking *c, const char *locale, const char *key)
{
    g_autofree char *file = g_strdup_printf("%s/locales/%s.json", c->dir, locale);
    bool has_catalog = g_hash_table_contains(template_catalogs(c->t), locale);
    struct locale_chain own, whole;

    locale_chain_make(&own, locale, locale);
    locale_chain_make(&whole, locale, library_view(c->library).default_locale);
    if (!chain_has(c, &own, key)) /* a locale that only replaces parts speaks the default language in the others */
        check_found(
            c, has_catalog || !chain_has(c, &whole, key), has_catalog ? file : c->dir, 1,
            g_strdup_printf("%s lacks the message \"%s\", which a part of %s uses", locale, key, template_name(c->t)));
}

static void check_argument(void *arg, const char *name, const char *type, const char *const *selectors)
{
    const struct message_job *j = arg;

    if (check_name(j->c, j->scope, name) == UNKNOWN)
        check_found(j->c, true, j->file, check_key_line(j->file, j->key),
                    g_strdup_printf("\"%s\": the data has no \"%s\"", j->key, name));
}

static void check_use_in(struct checking *c, GHashTable *catalogs, const char *dir, const char *key,
                         const struct mustache_scope *scope)
{
    GHashTableIter i;
    const char *locale;
    GHashTable *messages;

    g_hash_table_iter_init(&i, catalogs);
    while (g_hash_table_iter_next(&i, (void **)&locale, (void **)&messages)) {
        g_autofree char *file = g_strdup_printf("%s/locales/%s.json", dir, locale);
        struct message_job job = { c, scope, file, key, locale };
        const struct icu_message *m = g_hash_table_lookup(messages, key);
        if (m)
            icu_message_arguments(m, check_argument, &job);
    }
}

/* What the message names must be there where the part uses it. */
void check_use(struct checking *c, const char *key, const struct mustache_scope *scope)
{
    g_autofree char *layouts = g_build_filename(library_view(c->library).dir, "_layouts", NULL);

    check_use_in(c, template_catalogs(c->t), c->dir, key, scope);
    check_use_in(c, library_shared_catalogs(c->library), layouts, key, scope);
}
