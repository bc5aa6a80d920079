#include "templates/check.h"

#include <string.h>

#include "templates/icu_message.h"
#include "templates/mustache.h"

#define SMS_MAX_SEGMENTS 10
#define MAIL_MAX_BYTES   (102 * 1024) /* beyond this, large providers clip a mail */

struct checking {
    const struct check_options *o;
    struct template *t;
    GHashTable *used; /* keys that some part formats */
    const char *file;
    bool unsubscribe;
};

static void found(struct checking *c, bool error, const char *file, int line, char *what)
{
    g_autofree char *place = g_strdup_printf("%s:%d", file, line);
    c->o->finding(c->o->arg, error, place, what);
    g_free(what);
}

/* ---------------------------------------------------------------- samples */

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

    return json_pack("{s:{s:s, s:s, s:s, s:s, s:{s:s}}, s:{s:s, s:s, s:s}, s:{s:s, s:s}}", "recipient", "id", "cus_1",
                     "email", "ada@example.com", "phone", "+491701234567", "locale", "en", "attributes", "name", "Ada",
                     "message", "id", "sample", "category", category ? category : "", "template", template_name(t),
                     "links", "unsubscribe", "https://example.com/u/sample", "preferences",
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

/* ---------------------------------------------------------------- catalogs */

static bool catalog_has(GHashTable *catalogs, const char *locale, const char *key)
{
    GHashTable *messages = g_hash_table_lookup(catalogs, locale);
    return messages && g_hash_table_contains(messages, key);
}

static void on_icu_argument(void *arg, const char *name, const char *type, const char *const *selectors)
{
    struct checking *c = arg;
    const char *locale = c->file; /* lent by check_catalog */
    bool plural = strcmp(type, "plural") == 0, ordinal = strcmp(type, "selectordinal") == 0;

    if (!plural && !ordinal)
        return;
    g_auto(GStrv) categories = icu_plural_categories(locale, ordinal);
    for (char **category = categories; *category; category++)
        if (!g_strv_contains(selectors, *category))
            g_hash_table_add(c->used,
                             g_strdup_printf("!%s,%s", name, *category)); /* collected; check_catalog reports */
    for (const char *const *s = selectors; *s; s++)
        if (**s != '=' && !g_strv_contains((const char *const *)categories, *s))
            g_hash_table_add(c->used, g_strdup_printf("?%s,%s", name, *s));
}

static void report_plurals(struct checking *c, const char *file, int line, const char *key, const char *locale)
{
    GHashTableIter i;
    char *note;

    g_hash_table_iter_init(&i, c->used);
    while (g_hash_table_iter_next(&i, (void **)&note, NULL)) {
        if (*note != '!' && *note != '?')
            continue;
        char *comma = strchr(note, ',');
        *comma = '\0';
        found(c, *note == '!', file, line,
              *note == '!' ? g_strdup_printf("\"%s\": the plural of {%s} lacks \"%s\", which %s needs", key, note + 1,
                                             comma + 1, locale)
                           : g_strdup_printf("\"%s\": the plural of {%s} has \"%s\", which %s never uses", key,
                                             note + 1, comma + 1, locale));
        g_hash_table_iter_remove(&i);
    }
}

static int key_line(const char *file, const char *key)
{
    g_autofree char *text = NULL, *quoted = g_strdup_printf("\"%s\"", strrchr(key, '.') ? strrchr(key, '.') + 1 : key);
    const char *at;
    int line = 1;

    if (!g_file_get_contents(file, &text, NULL, NULL) || !(at = strstr(text, quoted)))
        return 1;
    for (const char *p = text; p < at; p++)
        line += *p == '\n';
    return line;
}

static void check_catalog(struct checking *c, const char *dir, const char *locale, GHashTable *messages,
                          GHashTable *used)
{
    g_autofree char *file = g_strdup_printf("%s/locales/%s.json", dir, locale);
    g_autoptr(GList) keys = g_list_sort(g_hash_table_get_keys(messages), (GCompareFunc)strcmp);
    GHashTable *mentions = c->used;
    g_autoptr(GHashTable) notes = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

    for (GList *k = keys; k; k = k->next) {
        int line = key_line(file, k->data);
        if (used && !g_hash_table_contains(used, k->data))
            found(c, false, file, line, g_strdup_printf("\"%s\" is used by no part", (char *)k->data));
        c->used = notes;
        c->file = locale;
        icu_message_arguments(g_hash_table_lookup(messages, k->data), on_icu_argument, c);
        report_plurals(c, file, line, k->data, locale);
        c->used = mentions;
    }
}

static void check_missing_keys(struct checking *c, const char *dir, const char *locale)
{
    GHashTable *own = template_catalogs(c->t), *shared = library_shared_catalogs(template_library(c->t));
    g_autofree char *file = g_strdup_printf("%s/locales/%s.json", dir, locale);
    g_autoptr(GList) keys = g_list_sort(g_hash_table_get_keys(c->used), (GCompareFunc)strcmp);
    struct locale_chain chain;

    locale_chain_make(&chain, locale,
                      locale); /* without the default: a fallback to another language is what we look for */
    for (GList *k = keys; k; k = k->next) {
        bool has = false;
        for (int i = 0; i < chain.count && !has; i++)
            has = catalog_has(own, chain.tags[i], k->data) || catalog_has(shared, chain.tags[i], k->data);
        if (!has)
            found(c, true, file, 1,
                  g_strdup_printf("lacks the message \"%s\", which a part of %s uses", (char *)k->data,
                                  template_name(c->t)));
    }
}

/* ---------------------------------------------------------------- parts */

static bool variable_known(struct checking *c, const char *name)
{
    static const char *const given[] = { "recipient", "message", "links", "lang", "dir", ".", NULL };
    g_auto(GStrv) path = g_strsplit(name, ".", 2);

    return !template_data(c->t) || g_strv_contains(given, *path ? *path : ".") ||
           json_object_get(template_data(c->t), path[0]) || strcmp(name, ".") == 0;
}

struct mention_job {
    struct checking *c;
    const char *file, *part;
    int in_section;
    int depth;
};

static void check_partial(struct mention_job *, const char *name, int line);

static void on_mention(void *arg, char kind, const char *name, int line)
{
    struct mention_job *job = arg;
    struct checking *c = job->c;

    if (kind == 'p') {
        check_partial(job, name, line);
        return;
    }
    job->in_section |= kind == 's';
    c->unsubscribe |= strcmp(name, "links.unsubscribe") == 0 || strcmp(name, "links.preferences") == 0;
    if (g_str_has_prefix(name, "t.")) {
        g_hash_table_add(c->used, g_strdup(name + 2));
        return;
    }
    if (kind == '&' && strcmp(job->part, "html") == 0)
        found(c, false, job->file, line, g_strdup_printf("{{{%s}}} goes into the HTML without escaping", name));
    /* inside a section a name may belong to the item, so only plain files are judged */
    if (!job->in_section && kind != 's' && !variable_known(c, name))
        found(c, true, job->file, line, g_strdup_printf("the variable \"%s\" is not declared in template.yaml", name));
}

static void check_partial(struct mention_job *job, const char *name, int line)
{
    struct locale_chain chain;
    char *why = NULL;

    locale_chain_make(&chain, NULL, "en");
    const struct mustache *m = library_partial(template_library(job->c->t), name, job->part, &chain, "", &why);
    if (!m)
        found(job->c, true, job->file, line,
              why ? why : g_strdup_printf("there is no partial _layouts/%s.%s.mustache", name, job->part));
    else if (job->depth < 8) {
        struct mention_job inner = *job;
        inner.depth++;
        mustache_mentions(m, on_mention, &inner);
    }
}

static void on_part(void *arg, const char *file, const char *channel, const char *part, const char *locale,
                    const struct mustache *m)
{
    struct mention_job job = { arg, file, part, 0, 0 };
    mustache_mentions(m, on_mention, &job);
}

/* ---------------------------------------------------------------- rendering with samples */

static void check_sizes(struct checking *c, const char *dir, const char *channel, const char *locale,
                        const struct rendered *r)
{
    if (strcmp(channel, "sms") == 0 && c->o->sms_segments && r->part[0]) {
        int segments = c->o->sms_segments(r->part[0]->str);
        if (segments > SMS_MAX_SEGMENTS)
            found(c, true, dir, 1,
                  g_strdup_printf("the SMS in %s needs %d segments; at most %d are sent", locale, segments,
                                  SMS_MAX_SEGMENTS));
    }
    if (strcmp(channel, "email") == 0 && r->part[1] && r->part[1]->len > MAIL_MAX_BYTES)
        found(c, false, dir, 1,
              g_strdup_printf("the mail in %s has %zu kB; mail services clip what is over 102 kB", locale,
                              r->part[1]->len / 1024));
}

static void render_sample(struct checking *c, const char *dir, const char *channel, const char *locale)
{
    json_auto_t *context = template_sample(c->t);
    struct render_request request = { .channel = channel,
                                      .locale = locale,
                                      .context = context,
                                      .offset = c->o->offset,
                                      .instant = c->o->instant,
                                      .arg = c->o->arg };
    struct rendered out;

    if (template_render(c->t, &request, &out)) {
        check_sizes(c, dir, channel, locale, &out);
    } else {
        g_autofree char *place = g_strdup_printf("%s:1", dir);
        g_autofree char *what = g_strdup_printf("%s in %s: %s", channel, locale, out.why);
        c->o->finding(c->o->arg, true, place, what);
    }
    rendered_clear(&out);
}

static void check_template(struct checking *c, const char *dir, const char *default_locale)
{
    g_autoptr(GList) locales = g_list_sort(g_hash_table_get_keys(template_catalogs(c->t)), (GCompareFunc)strcmp);

    template_each_part(c->t, on_part, c);
    for (GList *l = locales; l; l = l->next) {
        check_catalog(c, dir, l->data, g_hash_table_lookup(template_catalogs(c->t), l->data), c->used);
        check_missing_keys(c, dir, l->data);
    }
    for (const char *const *channel = template_channels(c->t); *channel; channel++) {
        for (GList *l = locales; l; l = l->next)
            render_sample(c, dir, *channel, l->data);
        if (!locales)
            render_sample(c, dir, *channel, default_locale);
    }
    const char *category = template_category(c->t);
    if (category && template_has_channel(c->t, "email") && !c->unsubscribe && c->o->marketing(c->o->arg, category))
        found(c, true, dir, 1,
              g_strdup("marketing mail needs {{links.unsubscribe}} or {{links.preferences}} in its text"));
}

static void on_template(void *arg, struct template *t)
{
    const struct check_options *o = arg;
    struct checking c = { .o = o, .t = t };
    struct library_view view = library_view(template_library(t));
    g_autofree char *dir = g_build_filename(view.dir, template_name(t), NULL);

    if (o->only && strcmp(o->only, template_name(t)) != 0)
        return;
    if (template_fault(t)) {
        const char *what = strstr(template_fault(t), ": ");
        g_autofree char *place = what ? g_strndup(template_fault(t), (gsize)(what - template_fault(t))) : g_strdup(dir);
        o->finding(o->arg, true, place, what ? what + 2 : template_fault(t));
        return;
    }
    c.used = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    check_template(&c, dir, view.default_locale);
    g_hash_table_unref(c.used);
}

void library_check(const struct library *l, const struct check_options *o)
{
    library_each(l, on_template, (void *)o);
}
