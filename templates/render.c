#include "templates/library_own.h"

#include <string.h>

#include "templates/bidi.h"
#include "templates/html_place.h"
#include "templates/html_text.h"
#include "templates/icu_message.h"
#include "templates/mustache.h"

#define SAID_MAX    16
#define LAST_SECOND INT64_C(253402300799) /* of the year 9999 */

/* ---------------------------------------------------------------- data of a message */

static bool is_date(const struct library_hooks *hooks, const json_t *value)
{
    const char *text = json_string_value(value);
    bool day_only = text && strlen(text) == 10;
    g_autofree char *whole = g_strconcat(text ? text : "", day_only ? "T00:00:00Z" : "", NULL);
    int64_t ms;

    return text ? hooks->instant(&ms, whole) == NULL
                : json_is_integer(value) && json_integer_value(value) >= 0 && json_integer_value(value) <= LAST_SECOND;
}

static bool type_matches(const struct library_hooks *hooks, const char *type, const json_t *value)
{
    if (json_is_null(value) || strcmp(type, "any") == 0)
        return true;
    if (strcmp(type, "date") == 0)
        return is_date(hooks, value);
    switch (json_typeof(value)) {
    case JSON_STRING: return strcmp(type, "string") == 0;
    case JSON_INTEGER: return strcmp(type, "integer") == 0 || strcmp(type, "number") == 0;
    case JSON_REAL: return strcmp(type, "number") == 0;
    case JSON_TRUE:
    case JSON_FALSE: return strcmp(type, "boolean") == 0;
    case JSON_ARRAY: return strcmp(type, "array") == 0;
    case JSON_OBJECT: return strcmp(type, "object") == 0;
    default: return false;
    }
}

void template_check_data(const struct template *t, const json_t *data, template_complaint_fn *complain, void *arg)
{
    static const char *const kinds[] = { "an object", "an array", "a string", "an integer",
                                         "a number",  "true",     "false",    "null" };
    const char *name;
    json_t *spec;

    json_object_foreach (t->data, name, spec) {
        g_autofree char *pointer = g_strconcat("/data/", name, NULL);
        const char *type = json_string_value(json_object_get(spec, "type"));
        const json_t *value = json_object_get(data, name);
        if (!value || json_is_null(value)) {
            if (json_is_true(json_object_get(spec, "required"))) {
                g_autofree char *detail = g_strdup_printf("is required by the template \"%s\"", t->name);
                complain(arg, pointer, detail);
            }
        } else if (type && !type_matches(t->library->hooks, type, value)) {
            g_autofree char *detail = strcmp(type, "date") == 0
                                          ? g_strdup("must be a date: RFC 3339 (\"2026-12-01T09:00:00Z\"), a day "
                                                     "(\"2026-12-01\") or seconds since 1970")
                                          : g_strdup_printf("must be %s %s, not %s", strchr("aeio", *type) ? "an" : "a",
                                                            type, kinds[json_typeof(value)]);
            complain(arg, pointer, detail);
        }
    }
}

/* ---------------------------------------------------------------- rendering */

enum { MAIL_SUBJECT, MAIL_HTML, MAIL_TEXT }; /* parts, as channel_parts has them */

struct rendering {
    struct template *t;
    const struct render_request *request;
    const struct voice *voice;
    int language;     /* of the texts: an index into the chain */
    const char *part; /* "html": which layouts and partials fit */
    int index;        /* of the part in its channel */
    bool isolate;     /* values of the part's own */
    bool html, address;
    const struct mustache_stack *stack;
    struct said {
        const char *key;
        char *text;
        size_t len;
    } said[SAID_MAX]; /* messages formatted already with the outermost context, which the parts of a mail share */
    int said_count;
    GArray *values; /* struct html_value, of the HTML part of a mail; NULL for what is no mail */
};

#define VOICES_MAX 1024 /* locales come from outside: what is kept for them is bounded */

void voice_free(void *p)
{
    struct voice *v = p;

    for (int i = 0; i < v->chain.count; i++) {
        json_decref(v->lang[i]);
        json_decref(v->dir[i]);
    }
    g_free(v);
}

static const struct voice *voice_for(struct library *l, const char *wanted)
{
    struct voice *v = g_hash_table_lookup(l->chains, wanted ? wanted : "");

    if (v)
        return v;
    if (g_hash_table_size(l->chains) >= VOICES_MAX)
        g_hash_table_remove_all(l->chains);
    v = g_new0(struct voice, 1);
    locale_chain_make(&v->chain, wanted, l->default_locale);
    for (int i = 0; i < v->chain.count; i++) {
        v->speaks[i] = v->chain.tags[locale_same_language(v->chain.tags[0], v->chain.tags[i]) ? 0 : i];
        v->lang[i] = json_string(v->chain.tags[i]);
        v->dir[i] = json_string(locale_is_rtl(v->chain.tags[i]) ? "rtl" : "ltr");
    }
    g_hash_table_insert(l->chains, g_strdup(wanted ? wanted : ""), v);
    return v;
}

/* The most exact variant of a shared partial: its key, or NULL. */
static const char *find_source(const struct library *l, const char *folder, const char *name, const char *part,
                               const struct locale_chain *chain, char key[static 256])
{
    for (int i = 0; i < chain->count; i++) {
        g_snprintf(key, 256, "%s/%s.%s.%s", folder, name, part, chain->tags[i]);
        if (g_hash_table_contains(l->sources, key))
            return key;
    }
    g_snprintf(key, 256, "%s/%s.%s", folder, name, part);
    if (g_hash_table_contains(l->sources, key))
        return key;
    g_snprintf(key, 256, "%s/%s", folder, name);
    return g_hash_table_contains(l->sources, key) ? key : NULL;
}

const struct mustache *library_partial(const struct library *l, const char *folder, const char *name, const char *part,
                                       const struct locale_chain *chain, const char *indent, char **why)
{
    char key[256];

    if (!find_source(l, folder, name, part, chain, key))
        return NULL;
    g_autofree char *full = g_strconcat(key, "\n", indent, NULL);
    struct mustache *m = g_hash_table_lookup(l->partials, full);
    if (m)
        return m;
    const char *source = g_hash_table_lookup(l->sources, key);
    g_autofree char *path = g_strdup_printf("%s%s%s.mustache", l->dir ? l->dir : "", l->dir ? "/" : "", key);
    m = mustache_compile(path, source, strlen(source), indent, why);
    if (m) {
        mustache_prepare(m, &l->hooks->mail);
        g_hash_table_insert(l->partials, g_steal_pointer(&full), m);
    }
    return m;
}

static const struct mustache *on_partial(void *arg, const char *name, const char *indent, char **why)
{
    struct rendering *r = arg;
    const struct library *l = r->t->library;
    const struct mustache *own =
        r->t->is_pages ? library_partial(l, PAGES, name, r->part, &r->voice->chain, indent, why) : NULL;

    return own || *why ? own : library_partial(l, LAYOUTS, name, r->part, &r->voice->chain, indent, why);
}

static struct icu_message *find_message(struct rendering *r, const char *key, int *link)
{
    GHashTable *const from[] = { r->t->catalogs, r->t->library->shared };

    for (size_t f = 0; f < G_N_ELEMENTS(from); f++)
        for (*link = 0; *link < r->voice->chain.count; (*link)++) {
            GHashTable *messages = g_hash_table_lookup(from[f], r->voice->chain.tags[*link]);
            struct icu_message *m = messages ? g_hash_table_lookup(messages, key) : NULL;
            if (m)
                return m;
        }
    return NULL;
}

static const json_t *on_argument(void *arg, const char *name)
{
    return mustache_lookup(((struct rendering *)arg)->stack, name);
}

static int on_offset(void *arg, int64_t ms)
{
    struct rendering *r = arg;
    return r->request->offset(r->request->arg, ms);
}

static const struct said *said_before(const struct rendering *r, const char *key)
{
    for (int i = 0; i < r->said_count; i++)
        if (strcmp(r->said[i].key, key) == 0)
            return &r->said[i];
    return NULL;
}

static void remember(struct rendering *r, const char *key, const char *text, size_t len)
{
    if (r->said_count < SAID_MAX)
        r->said[r->said_count++] = (struct said){ key, g_strndup(text, len), len };
}

static void forget(struct rendering *r)
{
    while (r->said_count)
        g_free(r->said[--r->said_count].text);
}

static char *format_message(struct rendering *r, const char *key, GString *out)
{
    int link;
    struct icu_message *m = find_message(r, key, &link);

    if (!m)
        return g_strdup_printf("no catalog of %s has the message \"%s\" for %s", r->t->name, key,
                               r->voice->chain.tags[0]);
    if (r->request->borrowed && r->voice->speaks[link] != r->voice->chain.tags[0])
        r->request->borrowed(r->request->arg, key, r->voice->chain.tags[link]);
    bool isolate = r->t->library->isolate && locale_is_rtl(r->voice->chain.tags[link]);
    struct icu_env env = { r, on_argument, r->request->instant, on_offset, isolate };
    char *why = icu_message_format(m, r->voice->speaks[link], &env, out);
    if (!why)
        return NULL;
    char *full = g_strdup_printf("message \"%s\": %s", key, why);
    g_free(why);
    return full;
}

/* The keys live as long as the compiled templates. */
static char *on_message(void *arg, const char *key, const struct mustache_stack *stack, GString *out)
{
    struct rendering *r = arg;
    bool top = mustache_at_top(stack);
    const struct said *said = top ? said_before(r, key) : NULL;
    size_t from = out->len;

    if (said) {
        g_string_append_len(out, said->text, (gssize)said->len);
        return NULL;
    }
    r->stack = stack;
    char *why = format_message(r, key, out);
    if (!why && top)
        remember(r, key, out->str + from, out->len - from);
    return why;
}

/* In running text a value is isolated, as a message has isolated its own; elsewhere isolates would be part of an
 * address or of an attribute. */
static char *on_placed(void *arg, GString *out, size_t from, bool message)
{
    const struct rendering *r = arg;
    enum html_place place = r->html ? html_place(out->str, from) : HTML_TEXT;

    if (r->address || place != HTML_TEXT)
        bidi_strip(out, from);
    else if (r->isolate && !message)
        bidi_isolate(out, from);
    if (place == HTML_LINK && html_link_runs(out->str + from))
        return g_strdup("is a link that runs a script; https, mailto, tel and the like are links");
    return NULL;
}

static void on_value(void *arg, size_t from, size_t to, bool raw)
{
    const struct rendering *r = arg;
    struct html_value value = { from, to, raw };

    if (r->index == MAIL_HTML)
        g_array_append_val(r->values, value);
}

static const struct mustache *localized_part(const struct rendering *r, const char *channel, const char *part, int from,
                                             int to)
{
    char key[128];

    for (int i = from; r->t->has_localized && i < to; i++) {
        g_snprintf(key, sizeof key, "%s.%s.%s", channel, part, r->voice->chain.tags[i]);
        const struct mustache *m = g_hash_table_lookup(r->t->parts, key);
        if (m)
            return m;
    }
    return NULL;
}

/* In the language of the texts, then the general one, which catalogs make that language, then that of another language.
 */
static const struct mustache *find_part(const struct rendering *r, const char *channel, const char *part)
{
    const struct mustache *m = localized_part(r, channel, part, 0, r->language + 1);
    char key[128];

    if (m)
        return m;
    g_strlcpy(key, channel, sizeof key);
    g_strlcat(key, ".", sizeof key);
    g_strlcat(key, part, sizeof key);
    m = g_hash_table_lookup(r->t->parts, key);
    return m ? m : localized_part(r, channel, part, r->language + 1, r->voice->chain.count);
}

static bool has_text_in(const struct template *t, const char *channel, const char *locale)
{
    const struct channel_parts *c = channel_parts_of(channel);
    char key[128];

    if (g_hash_table_contains(t->catalogs, locale))
        return true;
    for (int i = 0; t->has_localized && c && c->part[i].name; i++) {
        g_snprintf(key, sizeof key, "%s.%s.%s", channel, c->part[i].name, locale);
        if (g_hash_table_contains(t->parts, key))
            return true;
    }
    return false;
}

/* The language in which the reader will find the text: the first of the chain that the template has texts for. */
static int text_language(const struct rendering *r, const char *channel)
{
    const struct locale_chain *chain = &r->voice->chain;

    for (int i = 0; i < chain->count; i++)
        if (has_text_in(r->t, channel, chain->tags[i]))
            return i;
    return g_hash_table_size(r->t->catalogs) ? chain->count - 1 : 0;
}

static json_t *on_given(void *arg, const char *name)
{
    const struct rendering *r = arg;

    if (*name == 'l' && strcmp(name, "lang") == 0)
        return r->voice->lang[r->language];
    if (*name == 'd' && strcmp(name, "dir") == 0)
        return r->voice->dir[r->language];
    return r->request->given ? r->request->given(r->request->arg, name) : NULL;
}

/* A declared variable that the message leaves out: its default, or nothing. */
static json_t *on_missing(void *arg, const char *name)
{
    const struct rendering *r = arg;
    const json_t *spec = json_object_get(r->t->data, name);
    json_t *fallback = json_object_get(spec, "default");

    return !spec || json_is_true(json_object_get(spec, "required")) ? NULL : fallback ? fallback : json_null();
}

static void on_literal(void *arg, size_t at, const void *prepared)
{
    const struct rendering *r = arg;
    r->request->literal(r->request->arg, r->index, at, prepared);
}

static void on_lack(void *arg, const char *what)
{
    const struct rendering *r = arg;
    r->request->lack(r->request->arg, what);
}

static void on_place(void *arg, size_t at, const char *file, int line)
{
    const struct rendering *r = arg;
    r->request->place(r->request->arg, r->index, at, file, line);
}

/* A card's url is an address as a whole; what an SMS may hold, its own channel knows. */
static struct mustache_env env_of(struct rendering *r, const char *part, bool html)
{
    r->part = part;
    r->html = html;
    r->address = strcmp(part, "url") == 0;
    r->isolate = r->t->library->isolate && locale_is_rtl(r->voice->chain.tags[r->language]);
    return (struct mustache_env){ .strict = true,
                                  .html = html,
                                  .message_prefix = "t.",
                                  .max_output = r->request->max_output,
                                  .arg = r,
                                  .partial = on_partial,
                                  .message = on_message,
                                  .placed = on_placed,
                                  .value = r->values ? on_value : NULL,
                                  .given = on_given,
                                  .missing = on_missing,
                                  .literal = r->request->literal ? on_literal : NULL,
                                  .lack = r->request->lack ? on_lack : NULL,
                                  .place = r->request->place ? on_place : NULL };
}

static bool render_part(struct rendering *r, const struct channel_parts *c, int index, struct rendered *out)
{
    struct mustache_env env = env_of(r, c->part[index].name, c->part[index].html);
    const struct mustache *m = find_part(r, c->channel, c->part[index].name);

    if (!m)
        return true;
    r->index = index;
    out->part[index] = g_string_sized_new(2048);
    out->why = mustache_render(m, &env, r->request->context, out->part[index]);
    return out->why == NULL;
}

/* A mail without a text part gets one from its HTML. */
static void text_from_html(struct rendering *r, struct rendered *out)
{
    if (!out->part[MAIL_HTML] || out->part[MAIL_TEXT])
        return;
    out->part[MAIL_TEXT] = g_string_sized_new(1024);
    html_text_by_shape(r->t->shapes, out->part[MAIL_HTML], (const struct html_value *)(void *)r->values->data,
                       r->values->len, out->part[MAIL_TEXT]);
}

static bool part_wanted(const struct render_request *request, const char *name)
{
    const char *only = request->only_part;
    return !only || strcmp(only, name) == 0 || (strcmp(only, "text") == 0 && strcmp(name, "html") == 0);
}

bool template_render(struct template *t, const struct render_request *request, struct rendered *out)
{
    struct rendering r = { .t = t, .request = request, .voice = voice_for(t->library, request->locale) };
    const struct channel_parts *c = channel_parts_of(request->channel);

    memset(out, 0, sizeof *out);
    if (t->fault) {
        out->why = g_strdup(t->fault);
        return false;
    }
    if (!c || !template_has_channel(t, request->channel)) {
        out->why = g_strdup_printf("the template \"%s\" has no part for %s", t->name, request->channel);
        return false;
    }
    r.language = text_language(&r, request->channel);
    g_strlcpy(out->locale, r.voice->chain.tags[r.language], sizeof out->locale);
    bool good = true, mail = strcmp(c->channel, "email") == 0;
    r.values = mail ? g_array_new(FALSE, FALSE, sizeof(struct html_value)) : NULL;
    for (int i = 0; c->part[i].name && good; i++)
        if (part_wanted(request, c->part[i].name))
            good = render_part(&r, c, i, out);
    if (mail && good)
        text_from_html(&r, out);
    if (mail)
        g_array_unref(r.values);
    forget(&r);
    return good;
}

char *template_page(struct template *pages, const char *page, const struct render_request *request, GString *out,
                    char *language)
{
    struct rendering r = { .t = pages, .request = request, .voice = voice_for(pages->library, request->locale) };

    r.language = text_language(&r, page);
    struct mustache_env env = env_of(&r, "html", true);
    const struct mustache *m = find_part(&r, page, "html");
    if (!m)
        return g_strdup_printf("there is no page \"%s\"", page);
    if (language)
        g_strlcpy(language, r.voice->chain.tags[r.language], LOCALE_SIZE);
    char *why = mustache_render(m, &env, request->context, out);
    forget(&r);
    return why;
}

void rendered_clear(struct rendered *out)
{
    for (int i = 0; i < 4; i++)
        if (out->part[i])
            g_string_free(out->part[i], TRUE);
    g_free(out->why);
    memset(out, 0, sizeof *out);
}
