#include "templates/check.h"

#include <string.h>

#include "templates/html_check.h"
#include "templates/icu_message.h"
#include "templates/mustache.h"

#define MAIL_MAX_BYTES    (102 * 1024) /* beyond this, large providers clip a mail */
#define MAX_INCLUDES      8
#define MAX_HTML_FINDINGS 50 /* of one part */

struct checking {
    const struct check_options *o;
    const struct library *library;
    GHashTable *told;   /* findings that were told already */
    GHashTable *places; /* of errors among them */
    struct template *t;
    char *dir;
    json_t *sample;
    GHashTable *used; /* keys that some part formats */
    char **locales;
};

/* Each template that a layout breaks is flawed, whether that is told again or not. */
static void mark(struct checking *c, const char *fault)
{
    if (c->t && !template_flaw(c->t))
        template_set_flaw(c->t, fault);
}

static void tell(struct checking *c, bool error, const char *place, const char *what)
{
    char *note = g_strconcat(place, ": ", what, NULL);

    if (error) {
        mark(c, note);
        g_hash_table_add(c->places, g_strdup(place));
    }
    if (g_hash_table_add(c->told, note))
        c->o->finding(c->o->arg, error, place, what);
}

/* Takes `what`. */
static void found(struct checking *c, bool error, const char *file, int line, char *what)
{
    g_autofree char *place = g_strdup_printf("%s:%d", file, line);
    tell(c, error, place, what);
    g_free(what);
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
        if (scope && !scope->name)
            return known_somewhere(c->sample, first);
        if (!scope)
            return UNKNOWN;
    }
}

/* ---------------------------------------------------------------- catalogs */

static int key_line(const char *file, const char *key)
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
        const struct icu_message *m = g_hash_table_lookup(messages, k->data);
        icu_message_arguments(m, check_plural, &job);
        if (icu_message_quotes_argument(m))
            found(c, false, file, key_line(file, k->data),
                  g_strdup_printf("\"%s\": the apostrophe before { quotes it; write two of them for one",
                                  (char *)k->data));
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

static bool chain_has(const struct checking *c, const struct locale_chain *chain, const char *key)
{
    for (int i = 0; i < chain->count; i++)
        if (catalog_has(template_catalogs(c->t), chain->tags[i], key) ||
            catalog_has(library_shared_catalogs(c->library), chain->tags[i], key))
            return true;
    return false;
}

/* Without the default locale: a fallback to another language is what is looked for. */
static void check_key(struct checking *c, const char *locale, const char *key)
{
    g_autofree char *file = g_strdup_printf("%s/locales/%s.json", c->dir, locale);
    bool has_catalog = g_hash_table_contains(template_catalogs(c->t), locale);
    struct locale_chain own, whole;

    locale_chain_make(&own, locale, locale);
    locale_chain_make(&whole, locale, library_view(c->library).default_locale);
    if (!chain_has(c, &own, key)) /* a locale that only replaces parts speaks the default language in the others */
        found(
            c, has_catalog || !chain_has(c, &whole, key), has_catalog ? file : c->dir, 1,
            g_strdup_printf("%s lacks the message \"%s\", which a part of %s uses", locale, key, template_name(c->t)));
}

/* ---------------------------------------------------------------- parts */

static void check_argument(void *arg, const char *name, const char *type, const char *const *selectors)
{
    const struct message_job *j = arg;

    if (name_known(j->c, j->scope, name) == UNKNOWN)
        found(j->c, true, j->file, key_line(j->file, j->key),
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
static void check_use(struct checking *c, const char *key, const struct mustache_scope *scope)
{
    g_autofree char *layouts = g_build_filename(library_view(c->library).dir, "_layouts", NULL);

    check_use_in(c, template_catalogs(c->t), c->dir, key, scope);
    check_use_in(c, library_shared_catalogs(c->library), layouts, key, scope);
}

struct part_job {
    struct checking *c;
    const char *file, *channel, *part, *locale; /* locale NULL: the general part */
    int includes;
};

/* A message that a part of the template's own mentions must be there for every reader who gets this part. */
static void check_keys(struct part_job *job, const char *key)
{
    struct locale_chain own;

    for (char **l = job->c->locales; *l; l++) {
        locale_chain_make(&own, *l, *l);
        if (template_part_is_for(job->c->t, job->channel, job->part, job->locale, &own))
            check_key(job->c, *l, key);
    }
}

static void walk_partial(struct part_job *, const char *name, int line);

/* In the template's own parts names are judged; what partials and parents say is judged by rendering, because blocks of
 * theirs may be replaced. */
static void on_mention(void *arg, char kind, const char *name, int line, const struct mustache_scope *scope)
{
    struct part_job *job = arg;
    bool own = job->includes == 0;

    if (kind == 'p') {
        walk_partial(job, name, line);
    } else if (g_str_has_prefix(name, "t.")) {
        g_hash_table_add(job->c->used, g_strdup(name + 2));
        if (own) {
            check_use(job->c, name + 2, scope);
            check_keys(job, name + 2);
        }
    } else if (own && kind != 's' && name_known(job->c, scope, name) == UNKNOWN) {
        found(job->c, true, job->file, line,
              g_strdup_printf("the variable \"%s\" is not declared in template.yaml", name));
    }
    if (kind == '&' && strcmp(job->part, "html") == 0)
        found(job->c, false, job->file, line, g_strdup_printf("{{{%s}}} goes into the HTML without escaping", name));
}

static const struct mustache *any_partial(const struct part_job *job, const char *name, char **why)
{
    const char *folder = template_is_pages(job->c->t) ? "_pages" : "_layouts";
    const struct mustache *m = NULL;
    struct locale_chain chain;

    for (char **l = job->c->locales; *l && !m && !*why; l++) {
        locale_chain_make(&chain, *l, library_view(job->c->library).default_locale);
        m = library_partial(job->c->library, folder, name, job->part, &chain, "", why);
    }
    return m;
}

static void walk_partial(struct part_job *job, const char *name, int line)
{
    char *why = NULL;
    const struct mustache *m = any_partial(job, name, &why);

    if (!m) {
        found(job->c, true, job->file, line,
              why ? why : g_strdup_printf("there is no partial _layouts/%s.%s.mustache", name, job->part));
    } else if (job->includes < MAX_INCLUDES) {
        struct part_job inner = *job;
        inner.file = mustache_name(m);
        inner.includes++;
        mustache_mentions(m, on_mention, &inner, NULL);
    }
}

static void on_part(void *arg, const char *file, const char *channel, const char *part, const char *locale,
                    const struct mustache *m)
{
    struct part_job job = { arg, file, channel, part, locale, 0 };
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
    const char *channel, *locale, *about; /* about: "" or "without what is not required: " */
    bool error;                           /* what is lacking is one */
    int told;                             /* about the HTML */
    GArray *origins[4];                   /* by part */
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

static void tell_fault(struct checking *, bool error, const char *fault, const char *about);

/* Something is missing; what has been told of the same line says it already. */
static void on_lack(void *arg, const char *fault)
{
    struct sampling *s = arg;
    const char *what = strstr(fault, ": ");
    g_autofree char *place = g_strndup(fault, what ? (gsize)(what - fault) : 0);

    if (!g_hash_table_contains(s->c->places, place))
        tell_fault(s->c, s->error, fault, s->about);
    else if (s->error)
        mark(s->c, fault);
}

static void on_borrowed(void *arg, const char *key, const char *locale)
{
    struct sampling *s = arg;
    check_key(s->c, s->locale, key);
}

static struct render_request request_of(struct sampling *s, const json_t *context)
{
    return (struct render_request){ .channel = s->channel,
                                    .locale = s->locale,
                                    .context = context,
                                    .offset = on_offset,
                                    .instant = s->c->o->instant,
                                    .lack = on_lack,
                                    .arg = s };
}

/* A line of the HTML, where it stands in the templates. */
static void on_html(void *arg, bool error, int line, const char *what)
{
    struct sampling *s = arg;
    const char *html = s->out.part[1]->str, *at = html;

    struct origin here = { 0, s->c->dir, 1 };

    if (++s->told > MAX_HTML_FINDINGS)
        return;
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

    bool empty = subject->str[strspn(subject->str, " \t")] == '\0';
    if (empty || !one_line(subject->str))
        found(s->c, true, subject_file, 1,
              g_strdup_printf("the subject in %s is %s", s->locale, empty ? "empty" : "not one line"));
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
static void tell_fault(struct checking *c, bool error, const char *fault, const char *about)
{
    const char *what = strstr(fault, ": ");
    bool placed = what && strchr(fault, ':') < what;
    g_autofree char *place = placed ? g_strndup(fault, (gsize)(what - fault)) : g_strdup_printf("%s:1", c->dir);
    g_autofree char *text = g_strconcat(about, placed ? what + 2 : fault, NULL);

    tell(c, error, place, text);
}

/* What may be left out is left out: optional data, which must never break a text, and what a person may not have. */
static void check_without(struct checking *c, const char *channel, const char *locale, json_t *context, bool error,
                          const char *about)
{
    struct sampling s = { .c = c, .channel = channel, .locale = locale, .error = error, .about = about };
    struct render_request request = request_of(&s, context);

    if (!template_render(c->t, &request, &s.out))
        tell_fault(c, error, s.out.why, about);
    rendered_clear(&s.out);
}

static void check_least(struct checking *c, const char *channel, const char *locale)
{
    json_auto_t *least = template_given(c->t), *bare = json_copy(c->sample);
    const char *name;
    json_t *spec;

    json_object_foreach ((json_t *)template_data(c->t), name, spec)
        if (json_is_true(json_object_get(spec, "required")))
            json_object_set(least, name, json_object_get(c->sample, name));
    check_without(c, channel, locale, least, true, "without what is not required: ");
    json_object_set_new(bare, "recipient", json_pack("{s:s}", "id", "cus_1"));
    check_without(c, channel, locale, bare, false, "for a person of whom only the id is known: ");
}

static void check_card(struct sampling *s)
{
    const GString *title = s->out.part[0], *body = s->out.part[1], *url = s->out.part[2];
    g_autofree char *file = part_file(s, "title");
    char *why = s->c->o->card(s->c->o->arg, title->str, body ? body->str : NULL, url ? url->str : NULL);

    if (why)
        found(s->c, true, file, 1, g_strdup_printf("the card in %s: %s", s->locale, why));
    g_free(why);
}

static void check_sample(struct checking *c, const char *channel, const char *locale)
{
    struct sampling s = { .c = c, .channel = channel, .locale = locale, .error = true, .about = "" };
    struct render_request request = request_of(&s, c->sample);

    request.place = on_place;
    request.borrowed = on_borrowed;
    if (!template_render(c->t, &request, &s.out)) {
        tell_fault(c, true, s.out.why, "");
    } else {
        check_least(c, channel, locale);
        if (strcmp(channel, "email") == 0)
            check_mail(&s);
        else
            (strcmp(channel, "sms") == 0 ? check_sms : check_card)(&s);
    }
    rendered_clear(&s.out);
    for (size_t i = 0; i < G_N_ELEMENTS(s.origins); i++)
        if (s.origins[i])
            g_array_free(s.origins[i], TRUE);
}

static void on_bad_sample(void *arg, const char *pointer, const char *detail)
{
    struct checking *c = arg;
    g_autofree char *file = g_build_filename(c->dir, "template.yaml", NULL);
    found(c, true, file, 1, g_strdup_printf("the sample of %s %s", strrchr(pointer, '/') + 1, detail));
}

/* ---------------------------------------------------------------- pages */

static int page_offset(void *arg, int64_t ms)
{
    const struct check_options *o = arg;
    return o->offset(o->arg, ms);
}

/* What the pages are given, as far as a sample can tell. */
static void check_page(void *arg, const char *file, const char *page, const char *part, const char *locale,
                       const struct mustache *m)
{
    struct checking *c = arg;
    json_auto_t *context =
        json_pack("{s:s, s:[{s:s, s:b}], s:[{s:s, s:b}], s:[{s:i, s:b}], s:s, s:b, s:[{s:s, s:s}], s:[]}", "category",
                  "marketing", "categories", "category", "marketing", "on", 1, "channels", "channel", "email", "on", 1,
                  "limits", "limit", 1, "chosen", 1, "pause", "2026-12-01", "any_planned", 1, "planned", "category",
                  "marketing", "at", "2026-12-01T09:00:00Z", "templates");
    struct render_request request = {
        .context = context, .offset = page_offset, .instant = c->o->instant, .arg = (void *)c->o
    };

    for (char **l = c->locales; *l; l++) {
        g_autoptr(GString) out = g_string_new(NULL);
        request.locale = *l;
        g_autofree char *why = template_page(c->t, page, &request, out, NULL);
        if (why)
            tell_fault(c, true, why, "");
    }
}

/* ---------------------------------------------------------------- all of it */

static void check_texts(struct checking *c)
{
    template_each_part(c->t, on_part, c);
    check_catalogs(c, c->dir, template_catalogs(c->t), c->used);
    template_check_data(c->t, c->sample, on_bad_sample, c);
}

static void check_channels(struct checking *c)
{
    for (const struct channel_parts *p = channel_parts; p->channel; p++)
        for (char **locale = c->locales; *locale && template_has_channel(c->t, p->channel); locale++)
            check_sample(c, p->channel, *locale);
}

static void with_template(struct checking *c, struct template *t)
{
    c->t = t;
    c->dir = g_build_filename(library_view(c->library).dir, template_name(t), NULL);
    c->sample = template_sample(t);
    c->used = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    c->locales = template_locales(t);
    if (template_fault(t)) {
        tell_fault(c, true, template_fault(t), "");
    } else {
        check_texts(c);
        if (template_is_pages(t))
            template_each_part(t, check_page, c);
        else
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
        with_template(c, t);
}

void library_check(const struct library *l, const struct check_options *o)
{
    g_autoptr(GHashTable) told = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
                          places = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autofree char *layouts = g_build_filename(library_view(l).dir, "_layouts", NULL);
    struct checking c = { .o = o, .library = l, .told = told, .places = places };

    library_each(l, on_template, &c);
    if (o->only)
        return;
    check_catalogs(&c, layouts, library_shared_catalogs(l), NULL);
    with_template(&c, library_pages(l));
}
