#include "templates/check_own.h"

#include <stdarg.h>
#include <string.h>

int check_key_line(const char *file, const char *key)
{
    g_autofree char *text = NULL;
    return g_file_get_contents(file, &text, NULL, NULL) ? catalog_line(text, key) : 1;
}

/* A message of a catalog, and where a part uses it, NULL for not looked at. */
struct message_job {
    struct checking *c;
    const struct mustache_scope *scope;
    const char *file, *key, *locale;
};

static void say(const struct message_job *j, bool error, const char *what, ...) G_GNUC_PRINTF(3, 4);

static void say(const struct message_job *j, bool error, const char *what, ...)
{
    va_list list;

    va_start(list, what);
    g_autofree char *text = g_strdup_vprintf(what, list);
    va_end(list);
    check_found(j->c, error, j->file, check_key_line(j->file, j->key), g_strdup_printf("\"%s\": %s", j->key, text));
}

/* ---------------------------------------------------------------- plurals */

/* By the declared type, else by the sample; what is declared nowhere counts things. */
static bool may_be_broken(const struct checking *c, const char *name)
{
    const json_t *spec = c->t ? json_object_get(template_data(c->t), name) : NULL;
    const char *type = json_string_value(json_object_get(spec, "type"));

    return type ? strcmp(type, "number") == 0 : json_is_real(json_object_get(c->sample, name));
}

static void check_category(const struct message_job *j, const struct icu_argument *a, const char *category)
{
    bool ordinal = strcmp(a->type, "selectordinal") == 0;
    int numbers = icu_plural_numbers(j->locale, ordinal, category, a->selectors);

    if (g_strv_contains(a->spelled, category) && numbers > 1)
        say(j, false, "the %s of {%s} writes its number in \"%s\", which in %s means other numbers too; write #",
            a->type, a->name, category, j->locale);
    if (g_strv_contains(a->selectors, category))
        return;
    bool broken = !ordinal && may_be_broken(j->c, a->name);
    static const char *const nothing[] = { NULL };
    bool whole = icu_plural_numbers(j->locale, ordinal, category, nothing) > 0;
    if (numbers > 0 || (broken && !whole))
        say(j, true, "the %s of {%s} lacks \"%s\", which %s needs", a->type, a->name, category, j->locale);
}

static void check_plural(void *arg, const struct icu_argument *a)
{
    const struct message_job *j = arg;
    bool ordinal = strcmp(a->type, "selectordinal") == 0;

    if (!ordinal && strcmp(a->type, "plural") != 0)
        return;
    g_auto(GStrv) categories = icu_plural_categories(j->locale, ordinal);
    for (char **category = categories; *category; category++)
        check_category(j, a, *category);
    for (const char *const *s = a->selectors; *s; s++)
        if (**s != '=' && !g_strv_contains((const char *const *)categories, *s))
            say(j, false, "the %s of {%s} has \"%s\", which %s never uses", a->type, a->name, *s, j->locale);
}

/* ---------------------------------------------------------------- against the default language */

/* A select only chooses words, and another language may need no choice; all others are shown. */
static void collect_shown(void *names, const struct icu_argument *a)
{
    if (strcmp(a->type, "select") != 0)
        g_hash_table_add(names, g_strdup(a->name));
}

static void collect_all(void *names, const struct icu_argument *a)
{
    g_hash_table_add(names, g_strdup(a->name));
}

static void check_translation(const struct message_job *j, const struct icu_message *m, const struct icu_message *first,
                              const char *language)
{
    g_autoptr(GHashTable) shown = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
                          used = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

    icu_message_arguments(first, collect_shown, shown);
    icu_message_arguments(m, collect_all, used);
    g_autoptr(GList) names = g_list_sort(g_hash_table_get_keys(shown), (GCompareFunc)strcmp);
    for (GList *n = names; n; n = n->next)
        if (!g_hash_table_contains(used, n->data))
            say(j, false, "does not say {%s}, which the text in %s says", (char *)n->data, language);
}

static void check_message(const struct message_job *j, const struct icu_message *m, const struct icu_message *first)
{
    g_autofree char *quoted = icu_message_quoted(m);

    icu_message_arguments(m, check_plural, (void *)j);
    if (quoted)
        say(j, false, "an apostrophe before { quotes {%s}, which is not filled in; write two of them for one", quoted);
    if (first && first != m)
        check_translation(j, m, first, library_view(j->c->library).default_locale);
}

static void check_catalog(struct checking *c, const char *dir, const char *locale, GHashTable *messages,
                          GHashTable *first, GHashTable *used)
{
    g_autofree char *file = g_strdup_printf("%s/locales/%s.json", dir, locale);
    g_autoptr(GList) keys = g_list_sort(g_hash_table_get_keys(messages), (GCompareFunc)strcmp);

    for (GList *k = keys; k; k = k->next) {
        struct message_job job = { c, NULL, file, k->data, locale };
        if (used && !g_hash_table_contains(used, k->data))
            check_found(c, false, file, check_key_line(file, k->data),
                        g_strdup_printf("\"%s\" is used by no part", (char *)k->data));
        check_message(&job, g_hash_table_lookup(messages, k->data), first ? g_hash_table_lookup(first, k->data) : NULL);
    }
}

void check_catalogs(struct checking *c, const char *dir, GHashTable *catalogs, GHashTable *used)
{
    g_autoptr(GList) locales = g_list_sort(g_hash_table_get_keys(catalogs), (GCompareFunc)strcmp);
    GHashTable *first = g_hash_table_lookup(catalogs, library_view(c->library).default_locale);

    for (GList *l = locales; l; l = l->next)
        check_catalog(c, dir, l->data, g_hash_table_lookup(catalogs, l->data), first, used);
}

/* ---------------------------------------------------------------- who reads and who uses them */

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

static void check_argument(void *arg, const struct icu_argument *a)
{
    const struct message_job *j = arg;

    if (check_name(j->c, j->scope, a->name) == UNKNOWN)
        say(j, true, "the data has no \"%s\"", a->name);
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
