#include "templates/check.h"

#include <string.h>

#include "templates/html_check.h"
#include "templates/icu_message.h"
#include "templates/mustache.h"

#define MAIL_MAX_BYTES (102 * 1024) /* beyond this, large providers clip a mail */
#define MAX_INCLUDES   8

struct checking {
    const struct check_options *o;
    const struct library *library;
    GHashTable *told; /* findings that were told already */
    struct template *t;
    char *dir;
    json_t *sample;
    GHashTable *used; /* keys that some part formats */
    char **locales;
};

static void tell(struct checking *c, bool error, const char *place, const char *what)
{
    char *note = g_strconcat(place, ": ", what, NULL);

    if (g_hash_table_add(c->told, note))
        c->o->finding(c->o->arg, c->t, error, place, what);
}

/* Takes `what`. */
static void found(struct checking *c, bool error, const char *file, int line, char *what)
{
    g_autofree char *place = g_strdup_printf("%s:%d", file, line);
    tell(c, error, place, what);
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

/* ---------------------------------------------------------------- names */

enum known { UNKNOWN, KNOWN, CANNOT_TELL };

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
    if (!scope)
        return c->sample;
    json_t *value = NULL;
    for (const struct mustache_scope *outer = scope->outer;; outer = outer->outer) {
        value = follow(sample_in(c, outer), scope->name);
        if (value || !outer)
            break;
    }
    return json_is_array(value) ? json_array_get(value, 0) : value;
}

/* A name's first word decides; a section without a sample may have any. */
static enum known name_known(const struct checking *c, const struct mustache_scope *scope, const char *name)
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
        if (!scope)
            return UNKNOWN;
    }
}

/* ---------------------------------------------------------------- catalogs */

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
        if (!g_strv_contains(selectors, *category))
            found(j->c, true, j->file, key_line(j->file, j->key),
                  g_strdup_printf("\"%s\": the %s of {%s} lacks \"%s\", which %s needs", j->key, type, name, *category,
                                  j->locale));
    for (const char *const *s = selectors; *s; s++)
        if (**s != '=' && !g_strv_contains((const char *const *)categories, *s))
            found(j->c, false, j->file, key_line(j->file, j->key),
                  g_strdup_printf("\"%s\": the %s of {%s} has \"%s\", which %s never uses", j->key, type, name, *s,
                                  j->locale));
}

static void check_catalog(struct checking *c, const char *dir, const char *locale, GHashTable *messages,
                          GHashTable *used)
{
    g_autofree char *file = g_strdup_printf("%s/locales/%s.json", dir, locale);
    g_autoptr(GList) keys = g_list_sort(g_hash_table_get_keys(messages), (GCompareFunc)strcmp);

    for (GList *k = keys; k; k = k->next) {
        struct message_job job = { c, NULL, file, k->data, locale };
        if (used && !g_hash_table_contains(used, k->data))
            found(c, false, file, key_line(file, k->data),
                  g_strdup_printf("\"%s\" is used by no part", (char *)k->data));
        icu_message_arguments(g_hash_table_lookup(messages, k->data), check_plural, &job);
    }
}

static void check_catalogs(struct checking *c, const char *dir, GHashTable *catalogs, GHashTable *used)
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

/* Without the default locale: a fallback to another language is what is looked for. */
static void check_missing_keys(struct checking *c, const char *locale)
{
    GHashTable *own = template_catalogs(c->t), *shared = library_shared_catalogs(c->library);
    g_autofree char *file = g_strdup_printf("%s/locales/%s.json", c->dir, locale);
    g_autoptr(GList) keys = g_list_sort(g_hash_table_get_keys(c->used), (GCompareFunc)strcmp);
    struct locale_chain chain;

    locale_chain_make(&chain, locale, locale);
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

static void check_argument(void *arg, const char *name, const char *type, const char *const *selectors)
{
    const struct message_job *j = arg;

    if (name_known(j->c, j->scope, name) == UNKNOWN)
        found(j->c, true, j->file, key_line(j->file, j->key),
              g_strdup_printf("\"%s\": the data has no \"%s\"", j->key, name));
}

/* What the message names must be there where the part uses it. */
static void check_use(struct checking *c, const char *key, const struct mustache_scope *scope)
{
    GHashTableIter i;
    const char *locale;
    GHashTable *messages;

    g_hash_table_add(c->used, g_strdup(key));
    g_hash_table_iter_init(&i, template_catalogs(c->t));
    while (g_hash_table_iter_next(&i, (void **)&locale, (void **)&messages)) {
        g_autofree char *file = g_strdup_printf("%s/locales/%s.json", c->dir, locale);
        struct message_job job = { c, scope, file, key, locale };
        const struct icu_message *m = g_hash_table_lookup(messages, key);
        if (m)
            icu_message_arguments(m, check_argument, &job);
    }
}

struct part_job {
    struct checking *c;
    const char *file, *part;
    int includes;
};

static void check_partial(struct part_job *, const char *name, int line, const struct mustache_scope *);

static void on_mention(void *arg, char kind, const char *name, int line, const struct mustache_scope *scope)
{
    struct part_job *job = arg;

    if (kind == 'p')
        check_partial(job, name, line, scope);
    else if (g_str_has_prefix(name, "t."))
        check_use(job->c, name + 2, scope);
    else if (kind != 's' && name_known(job->c, scope, name) == UNKNOWN)
        found(job->c, true, job->file, line,
              g_strdup_printf("the variable \"%s\" is not declared in template.yaml", name));
    if (kind == '&' && strcmp(job->part, "html") == 0)
        found(job->c, false, job->file, line, g_strdup_printf("{{{%s}}} goes into the HTML without escaping", name));
}

static void check_partial(struct part_job *job, const char *name, int line, const struct mustache_scope *scope)
{
    struct locale_chain chain;
    char *why = NULL;

    locale_chain_make(&chain, NULL, library_view(job->c->library).default_locale);
    const struct mustache *m = library_partial(job->c->library, name, job->part, &chain, "", &why);
    if (!m) {
        found(job->c, true, job->file, line,
              why ? why : g_strdup_printf("there is no partial _layouts/%s.%s.mustache", name, job->part));
    } else if (job->includes < MAX_INCLUDES) {
        g_autofree char *file =
            g_strdup_printf("%s/_layouts/%s.%s.mustache", library_view(job->c->library).dir, name, job->part);
        struct part_job inner = { job->c, file, job->part, job->includes + 1 };
        mustache_mentions(m, on_mention, &inner, scope);
    }
}

static void on_part(void *arg, const char *file, const char *channel, const char *part, const char *locale,
                    const struct mustache *m)
{
    struct part_job job = { arg, file, part, 0 };
    mustache_mentions(m, on_mention, &job, NULL);
}

/* ---------------------------------------------------------------- rendering with samples */

struct origin {
    size_t at;
    const char *file;
    int line;
};

struct sampling {
    struct checking *c;
    const char *channel, *locale;
    GArray *origins[4]; /* by part */
    struct rendered out;
};

static void on_place(void *arg, int part, size_t at, const char *file, int line)
{
    struct sampling *s = arg;
    struct origin origin = { at, file, line };

    if (!s->origins[part])
        s->origins[part] = g_array_new(FALSE, FALSE, sizeof origin);
    g_array_append_val(s->origins[part], origin);
}

static int on_offset(void *arg, int64_t ms)
{
    const struct check_options *o = ((struct sampling *)arg)->c->o;
    return o->offset(o->arg, ms);
}

/* A line of the HTML, where it stands in the templates. */
static void on_html(void *arg, bool error, int line, const char *what)
{
    struct sampling *s = arg;
    const char *html = s->out.part[1]->str, *at = html;
    struct origin here = { 0, s->c->dir, 1 };

    for (int n = 1; n < line && at; n++)
        at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL;
    size_t offset = at ? (size_t)(at - html) : s->out.part[1]->len;
    for (guint i = 0; s->origins[1] && i < s->origins[1]->len; i++)
        if (g_array_index(s->origins[1], struct origin, i).at <= offset)
            here = g_array_index(s->origins[1], struct origin, i);
    for (size_t i = here.at; i < offset; i++)
        here.line += html[i] == '\n';
    found(s->c, error, here.file, here.line, g_strdup(what));
}

static char *part_file(const struct sampling *s, const char *part)
{
    return g_strdup_printf("%s/%s.%s.mustache", s->c->dir, s->channel, part);
}

static bool one_line(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ')
            return false;
    return true;
}

static void check_mail(struct sampling *s)
{
    const GString *subject = s->out.part[0], *html = s->out.part[1], *text = s->out.part[2];
    g_autofree char *subject_file = part_file(s, "subject"), *html_file = part_file(s, html ? "html" : "text");
    const char *body = html ? html->str : text ? text->str : "", *category = template_category(s->c->t);

    if (!*subject->str || !one_line(subject->str))
        found(s->c, true, subject_file, 1,
              g_strdup_printf("the subject in %s is %s", s->locale, *subject->str ? "not one line" : "empty"));
    if (html && html->len > MAIL_MAX_BYTES)
        found(s->c, false, html_file, 1,
              g_strdup_printf("the mail in %s has %zu kB; mail services clip what is over 102 kB", s->locale,
                              html->len / 1024));
    if (category && s->c->o->marketing(s->c->o->arg, category) && !strstr(body, "https://example.com/u/sample") &&
        !strstr(body, "https://example.com/p/sample"))
        found(s->c, true, html_file, 1,
              g_strdup("marketing mail needs {{links.unsubscribe}} or {{links.preferences}} in its text"));
    if (html)
        html_check(html->str, html->len, on_html, s);
}

static void check_sms(struct sampling *s)
{
    const char *category = template_category(s->c->t);
    char *why = s->c->o->sms(s->c->o->arg, category ? category : "", s->out.part[0]->str);
    g_autofree char *file = part_file(s, "text");

    if (why)
        found(s->c, true, file, 1, g_strdup_printf("the SMS in %s %s", s->locale, why));
    g_free(why);
}

/* "FILE:LINE: what" comes apart. */
static void tell_fault(struct checking *c, const char *fault, const char *about)
{
    const char *what = strstr(fault, ": ");
    bool placed = what && strchr(fault, ':') < what;
    g_autofree char *place = placed ? g_strndup(fault, (gsize)(what - fault)) : g_strdup_printf("%s:1", c->dir);
    g_autofree char *text = g_strconcat(about, placed ? what + 2 : fault, NULL);

    tell(c, true, place, text);
}

static void check_sample(struct checking *c, const char *channel, const char *locale)
{
    struct sampling s = { .c = c, .channel = channel, .locale = locale };
    struct render_request request = { .channel = channel,
                                      .locale = locale,
                                      .context = c->sample,
                                      .offset = on_offset,
                                      .instant = c->o->instant,
                                      .place = on_place,
                                      .arg = &s };

    if (!template_render(c->t, &request, &s.out)) {
        g_autofree char *about = g_strdup_printf("in %s: ", locale);
        tell_fault(c, s.out.why, about);
    } else if (strcmp(channel, "email") == 0) {
        check_mail(&s);
    } else if (strcmp(channel, "sms") == 0) {
        check_sms(&s);
    }
    rendered_clear(&s.out);
    for (size_t i = 0; i < G_N_ELEMENTS(s.origins); i++)
        if (s.origins[i])
            g_array_free(s.origins[i], TRUE);
}

/* ---------------------------------------------------------------- all of it */

static void check_texts(struct checking *c)
{
    template_each_part(c->t, on_part, c);
    check_catalogs(c, c->dir, template_catalogs(c->t), c->used);
    for (char **locale = c->locales; *locale; locale++)
        check_missing_keys(c, *locale);
}

static void check_channels(struct checking *c)
{
    for (const struct channel_parts *p = channel_parts; p->channel; p++)
        for (char **locale = c->locales; *locale && template_has_channel(c->t, p->channel); locale++)
            check_sample(c, p->channel, *locale);
}

static void with_template(struct checking *c, struct template *t, bool channels)
{
    c->t = t;
    c->dir = g_build_filename(library_view(c->library).dir, template_name(t), NULL);
    c->sample = template_sample(t);
    c->used = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    c->locales = template_locales(t);
    if (template_fault(t)) {
        tell_fault(c, template_fault(t), "");
    } else {
        check_texts(c);
        if (channels)
            check_channels(c);
    }
    g_strfreev(c->locales);
    g_hash_table_unref(c->used);
    json_decref(c->sample);
    g_free(c->dir);
    c->t = NULL;
}

static void on_template(void *arg, struct template *t)
{
    struct checking *c = arg;

    if (!c->o->only || strcmp(c->o->only, template_name(t)) == 0)
        with_template(c, t, true);
}

void library_check(const struct library *l, const struct check_options *o)
{
    g_autoptr(GHashTable) told = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autofree char *layouts = g_build_filename(library_view(l).dir, "_layouts", NULL);
    struct checking c = { .o = o, .library = l, .told = told };

    library_each(l, on_template, &c);
    if (o->only)
        return;
    check_catalogs(&c, layouts, library_shared_catalogs(l), NULL);
    with_template(&c, library_pages(l), false);
}
