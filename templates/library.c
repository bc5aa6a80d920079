#include "templates/library_own.h"

#include <string.h>

#include "templates/mustache.h"

const struct channel_parts channel_parts[] = {
    { "email", { { "subject", false, true }, { "html", true, false }, { "text", false, false } } },
    { "sms", { { "text", false, true } } },
    { "in_app", { { "title", false, true }, { "body", false, false }, { "url", false, false } } },
    { NULL, { { NULL, false, false } } },
};

const struct channel_parts *channel_parts_of(const char *channel)
{
    for (const struct channel_parts *c = channel_parts; c->channel; c++)
        if (strcmp(c->channel, channel) == 0)
            return c;
    return NULL;
}

/* ---------------------------------------------------------------- life */

static struct template *template_new(struct library *l, const char *name)
{
    struct template *t = g_new0(struct template, 1);

    t->library = l;
    t->name = g_strdup(name);
    t->parts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)mustache_free);
    t->catalogs = catalogs_new();
    t->shapes = html_shapes_new();
    t->hash = g_checksum_new(G_CHECKSUM_SHA256);
    return t;
}

static void template_free(void *p)
{
    struct template *t = p;
    if (!t)
        return;
    if (t->adopted)
        library_free(t->library);
    g_hash_table_unref(t->parts);
    g_hash_table_unref(t->catalogs);
    html_shapes_free(t->shapes);
    g_checksum_free(t->hash);
    g_strfreev(t->channels);
    json_decref(t->data);
    g_free(t->name);
    g_free(t->description);
    g_free(t->category);
    g_free(t->fault);
    g_free(t->flaw);
    g_free(t);
}

static void add_template(struct library *l, const char *name)
{
    struct template *t = template_new(l, name);
    g_autofree char *dir = g_build_filename(l->dir, name, NULL);

    if (!template_load(t, dir, &t->fault) && !t->fault)
        t->fault = g_strdup_printf("%s:1: cannot be used", dir);
    g_strlcpy(t->version, g_checksum_get_string(t->hash), 9);
    g_hash_table_insert(l->templates, t->name, t);
}

static bool name_good(const char *name)
{
    return *name != '_' && *name != '.' &&
           name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")] == '\0';
}

static struct library *library_new(const char *dir, const char *default_locale, const struct library_hooks *hooks)
{
    struct library *l = g_new0(struct library, 1);

    l->refs = 1;
    l->dir = g_strdup(dir);
    l->default_locale = g_strdup(default_locale);
    l->isolate = true;
    l->hooks = hooks;
    l->templates = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, template_free);
    l->sources = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    l->partials = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)mustache_free);
    l->shared = catalogs_new();
    l->chains = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, voice_free);
    l->pages = template_new(l, PAGES);
    l->pages->is_pages = l->pages->has_localized = true;
    return l;
}

void library_isolate(struct library *l, bool isolate)
{
    l->isolate = isolate;
}

/* A broken layout breaks whoever may use it: all. */
static void spread_fault(struct library *l, const char *fault)
{
    GHashTableIter i;
    struct template *t;

    g_hash_table_iter_init(&i, l->templates);
    while (g_hash_table_iter_next(&i, NULL, (void **)&t))
        if (!t->fault)
            t->fault = g_strdup(fault);
}

struct library *library_begin(const char *dir, const char *default_locale, const struct library_hooks *hooks,
                              char **why)
{
    GError *error = NULL;
    GDir *d = g_dir_open(dir, 0, &error);

    if (!d) {
        *why = g_strdup_printf("%s: %s; set \"templates\" to the folder of your templates", dir, error->message);
        g_error_free(error);
        return NULL;
    }
    struct library *l = library_new(dir, default_locale, hooks);
    for (const char *name; (name = g_dir_read_name(d));) {
        g_autofree char *path = g_build_filename(dir, name, NULL);
        if (name_good(name) && g_file_test(path, G_FILE_TEST_IS_DIR))
            g_queue_push_tail(&l->to_load, g_strdup(name));
    }
    g_dir_close(d);
    library_load_layouts(l, &l->layout_fault);
    library_load_pages(l, &l->pages->fault);
    return l;
}

bool library_go_on(struct library *l)
{
    g_autofree char *name = g_queue_pop_head(&l->to_load);

    if (name)
        add_template(l, name);
    if (l->to_load.length)
        return true;
    if (l->layout_fault)
        spread_fault(l, l->layout_fault);
    return false;
}

struct library *library_open(const char *dir, const char *default_locale, const struct library_hooks *hooks, char **why)
{
    struct library *l = library_begin(dir, default_locale, hooks, why);

    while (l && library_go_on(l))
        ;
    return l;
}

struct library *library_built_in(const char *default_locale, const struct library_hooks *hooks)
{
    struct library *l = library_new(NULL, default_locale, hooks);

    library_load_pages(l, &l->pages->fault);
    return l;
}

void library_free(struct library *l)
{
    if (!l || --l->refs > 0)
        return;
    g_hash_table_unref(l->templates);
    template_free(l->pages);
    g_hash_table_unref(l->sources);
    g_hash_table_unref(l->partials);
    g_hash_table_unref(l->shared);
    g_hash_table_unref(l->chains);
    g_queue_clear_full(&l->to_load, g_free);
    g_free(l->layout_fault);
    g_free(l->dir);
    g_free(l->default_locale);
    g_free(l);
}

static bool is_worse(const struct template *now, const struct template *was)
{
    return now->fault ? !was->fault : now->flaw && !was->fault && !was->flaw;
}

/* A template of before keeps the layouts of before: its library lives on behind it. */
static struct template *adopt(struct template *was, struct library *old)
{
    if (!was->adopted)
        old->refs++;
    was->adopted = true;
    return was;
}

void library_adopt(struct library *fresh, struct library *old)
{
    GHashTableIter i;
    struct template *was, *now;

    g_hash_table_iter_init(&i, old->templates);
    while (g_hash_table_iter_next(&i, NULL, (void **)&was)) {
        now = g_hash_table_lookup(fresh->templates, was->name);
        if (!now || !is_worse(now, was))
            continue;
        g_hash_table_iter_steal(&i);
        g_hash_table_replace(fresh->templates, was->name, adopt(was, old));
    }
    if (is_worse(fresh->pages, old->pages)) {
        template_free(fresh->pages);
        fresh->pages = adopt(g_steal_pointer(&old->pages), old);
    }
    library_free(old);
}

/* ---------------------------------------------------------------- looking */

struct template *library_find(const struct library *l, const char *name)
{
    return g_hash_table_lookup(l->templates, name);
}

void library_each(const struct library *l, void (*fn)(void *, struct template *), void *arg)
{
    g_autoptr(GList) names = g_list_sort(g_hash_table_get_keys(l->templates), (GCompareFunc)strcmp);

    for (GList *n = names; n; n = n->next)
        fn(arg, g_hash_table_lookup(l->templates, n->data));
}

const char *template_fault(const struct template *t)
{
    return t->fault;
}

const char *template_flaw(const struct template *t)
{
    return t->flaw;
}

void template_set_flaw(struct template *t, const char *what)
{
    g_free(t->flaw);
    t->flaw = g_strdup(what);
}

const char *template_name(const struct template *t)
{
    return t->name;
}

const char *template_description(const struct template *t)
{
    return t->description;
}

const struct card_terms *template_card(const struct template *t)
{
    return &t->card;
}

const char *template_category(const struct template *t)
{
    return t->category;
}

const char *const *template_channels(const struct template *t)
{
    return (const char *const *)t->channels;
}

bool template_has_part(const struct template *t, const char *channel, const char *part)
{
    char key[64];

    g_strlcpy(key, channel, sizeof key);
    g_strlcat(key, ".", sizeof key);
    g_strlcat(key, part, sizeof key);
    return g_hash_table_contains(t->parts, key);
}

bool template_has_channel(const struct template *t, const char *channel)
{
    const struct channel_parts *c = channel_parts_of(channel);

    for (int i = 0; c && c->part[i].name; i++)
        if (template_has_part(t, channel, c->part[i].name))
            return true;
    return false;
}

bool template_is_pages(const struct template *t)
{
    return t->is_pages;
}

const char *template_version(const struct template *t)
{
    return t->version;
}

const json_t *template_data(const struct template *t)
{
    return t->data;
}

struct template *library_pages(const struct library *l)
{
    return l->pages;
}

struct library *template_library(const struct template *t)
{
    return t->library;
}

struct library_view library_view(const struct library *l)
{
    return (struct library_view){ l->dir, l->default_locale };
}

GHashTable *template_catalogs(const struct template *t)
{
    return t->catalogs;
}

GHashTable *library_shared_catalogs(const struct library *l)
{
    return l->shared;
}

void template_each_part(const struct template *t, template_part_fn *fn, void *arg)
{
    g_autoptr(GList) keys = g_list_sort(g_hash_table_get_keys(t->parts), (GCompareFunc)strcmp);

    for (GList *k = keys; k; k = k->next) {
        g_auto(GStrv) words = g_strsplit(k->data, ".", 3);
        const struct mustache *m = g_hash_table_lookup(t->parts, k->data);
        fn(arg, mustache_name(m), words[0], words[1], words[2], m);
    }
}

bool template_part_is_for(const struct template *t, const char *channel, const char *part, const char *locale,
                          const struct locale_chain *chain)
{
    for (int i = 0; i < chain->count; i++) {
        g_autofree char *key = g_strdup_printf("%s.%s.%s", channel, part, chain->tags[i]);
        if (g_hash_table_contains(t->parts, key))
            return locale && strcmp(locale, chain->tags[i]) == 0;
    }
    return !locale;
}
