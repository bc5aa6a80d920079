#include "templates/library.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "templates/html_text.h"
#include "templates/icu_message.h"
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

struct library {
    int refs; /* the owner's, and one for each of its templates that a later library has adopted */
    char *dir, *default_locale;
    library_yaml_fn *yaml;
    GHashTable *templates; /* name → struct template */
    GHashTable *sources;   /* "base.html" or "base.html.ar" → text of a shared partial */
    GHashTable *partials;  /* source key + indent → struct mustache, compiled when first used */
    GHashTable *shared;    /* locale → key → icu_message, of the layouts */
};

struct template
{
    struct library *library; /* whose partials and shared catalogs it uses */
    bool adopted;            /* lives in a later library, and keeps its own alive */
    char *name, *category, *fault, version[17];
    char **channels;
    json_t *data;
    GHashTable *parts;    /* "email.html" or "email.html.ar" → struct mustache */
    GHashTable *catalogs; /* locale → key → icu_message */
    GChecksum *hash;
};

/* ---------------------------------------------------------------- loading */

/* A plain file that lies below the folder of templates: a pipe would wait for ever, a link may lead to somebody's
 * secrets. */
static bool file_good(const char *path, const char *dir, char **why)
{
    char *file = realpath(path, NULL), *root = realpath(dir, NULL);
    struct stat st;
    bool inside = file && root && g_str_has_prefix(file, root) && file[strlen(root)] == '/';
    bool good = inside && stat(file, &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= MUSTACHE_MAX_SOURCE;

    if (!good)
        *why = g_strdup_printf("%s:1: %s", path,
                               !inside ? "leads out of the folder of templates"
                                       : "is no plain file, or larger than 256 kB");
    free(file);
    free(root);
    return good;
}

static char *read_file(struct library *l, struct template *t, const char *path, gsize *len, char **why)
{
    GError *error = NULL;
    char *text;

    if (!file_good(path, l->dir, why))
        return NULL;

    if (!g_file_get_contents(path, &text, len, &error)) {
        *why = g_strdup_printf("%s: %s", path, error->message);
        g_error_free(error);
        return NULL;
    }
    if (t)
        g_checksum_update(t->hash, (guchar *)text, (gssize)*len);
    return text;
}

static int line_of_key(const char *text, const char *key)
{
    g_autofree char *quoted = g_strdup_printf("\"%s\"", key);
    const char *at = strstr(text, quoted);
    int line = 1;

    for (const char *p = text; at && p < at; p++)
        line += *p == '\n';
    return line;
}

/* Messages of one catalog; nested objects give dotted keys. */
static bool add_messages(GHashTable *messages, json_t *object, const char *prefix, const char *path, const char *text,
                         char **why)
{
    const char *key;
    json_t *value;

    json_object_foreach (object, key, value) {
        g_autofree char *full = *prefix ? g_strconcat(prefix, ".", key, NULL) : g_strdup(key);
        char *what = NULL;
        if (json_is_object(value)) {
            if (!add_messages(messages, value, full, path, text, why))
                return false;
            continue;
        }
        struct icu_message *m = json_is_string(value) ? icu_message_parse(json_string_value(value), &what) : NULL;
        if (!m) {
            *why = g_strdup_printf("%s:%d: \"%s\" %s", path, line_of_key(text, key), full, what ? what : "is no text");
            g_free(what);
            return false;
        }
        g_hash_table_insert(messages, g_steal_pointer(&full), m);
    }
    return true;
}

static void message_table_free(void *table)
{
    g_hash_table_unref(table);
}

static GHashTable *catalogs_new(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, message_table_free);
}

static bool load_catalog(struct library *l, struct template *t, GHashTable *catalogs, const char *dir, const char *file,
                         char **why)
{
    char locale[LOCALE_SIZE];
    g_autofree char *path = g_build_filename(dir, file, NULL), *stem = g_strndup(file, strlen(file) - 5);
    gsize len;
    json_error_t error;

    if (!locale_canonical(locale, stem)) {
        *why =
            g_strdup_printf("%s:1: \"%s\" is no locale; name the file like \"de.json\" or \"pt-BR.json\"", path, stem);
        return false;
    }
    if (g_hash_table_contains(catalogs, locale)) {
        *why = g_strdup_printf("%s:1: another file of this folder is for %s already", path, locale);
        return false;
    }
    g_autofree char *text = read_file(l, t, path, &len, why);
    if (!text)
        return false;
    json_auto_t *object = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(object)) {
        *why = g_strdup_printf("%s:%d: %s", path, object ? 1 : error.line,
                               object ? "is no JSON object of messages" : error.text);
        return false;
    }
    GHashTable *messages = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)icu_message_free);
    g_hash_table_insert(catalogs, g_strdup(locale), messages);
    return add_messages(messages, object, "", path, text, why);
}

static gint by_text(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Calls fn for each file of a directory, in order of name.  A missing directory has none. */
static bool each_file(const char *dir, const char *suffix, bool (*fn)(void *, const char *, char **), void *arg,
                      char **why)
{
    GDir *d = g_dir_open(dir, 0, NULL);
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    bool good = true;

    for (const char *name; d && (name = g_dir_read_name(d));)
        if (*name != '.' && g_str_has_suffix(name, suffix))
            g_ptr_array_add(names, g_strdup(name));
    if (d)
        g_dir_close(d);
    g_ptr_array_sort(names, by_text);
    for (guint i = 0; i < names->len && good; i++)
        good = fn(arg, names->pdata[i], why);
    return good;
}

struct catalog_job {
    struct library *l;
    struct template *t;
    GHashTable *catalogs;
    const char *dir;
};

static bool on_catalog(void *arg, const char *file, char **why)
{
    struct catalog_job *job = arg;
    return load_catalog(job->l, job->t, job->catalogs, job->dir, file, why);
}

static bool load_catalogs(struct library *l, struct template *t, GHashTable *catalogs, const char *dir, char **why)
{
    g_autofree char *locales = g_build_filename(dir, "locales", NULL);
    return each_file(locales, ".json", on_catalog, &(struct catalog_job){ l, t, catalogs, locales }, why);
}

/* "email.html.ar.mustache" → channel, part and locale; false with a sentence when it is none of ours. */
static bool part_name_good(const char *file, char **key, const char *path, char **why)
{
    g_auto(GStrv) words = g_strsplit(file, ".", 5);
    const struct channel_parts *c = channel_parts_of(words[0]);
    int n = (int)g_strv_length(words);
    char locale[LOCALE_SIZE];

    for (int i = 0; c && n >= 3 && c->part[i].name; i++)
        if (strcmp(c->part[i].name, words[1]) == 0) {
            if (n == 3) {
                *key = g_strdup_printf("%s.%s", words[0], words[1]);
                return true;
            }
            if (n == 4 && locale_canonical(locale, words[2])) {
                *key = g_strdup_printf("%s.%s.%s", words[0], words[1], locale);
                return true;
            }
        }
    *why = g_strdup_printf(
        "%s:1: is no part; name it CHANNEL.PART.mustache or CHANNEL.PART.LOCALE.mustache (email.subject, "
        "email.html, email.text, sms.text, in_app.title, in_app.body, in_app.url)",
        path);
    return false;
}

struct part_job {
    struct template *t;
    const char *dir;
};

static bool on_part(void *arg, const char *file, char **why)
{
    struct part_job *job = arg;
    g_autofree char *path = g_build_filename(job->dir, file, NULL);
    char *key;
    gsize len;

    if (!part_name_good(file, &key, path, why))
        return false;
    g_autofree char *text = read_file(job->t->library, job->t, path, &len, why);
    bool one_line = strstr(key, ".html") == NULL && strstr(key, ".text") == NULL && strstr(key, ".body") == NULL;
    if (text && one_line)
        len = strlen(g_strchomp(text)); /* a subject, title or address is one line */
    struct mustache *m = text ? mustache_compile(path, text, len, "", why) : NULL;
    if (m)
        g_hash_table_insert(job->t->parts, key, m);
    else
        g_free(key);
    return m != NULL;
}

static int line_at(GHashTable *lines, const char *path)
{
    int line = lines ? GPOINTER_TO_INT(g_hash_table_lookup(lines, path)) : 0;
    return line ? line : 1;
}

static const char *const variable_types[] = { "string", "integer", "number", "boolean", "date",
                                              "array",  "object",  "any",    NULL };

static bool check_variables(json_t *data, const char *path, GHashTable *lines, char **why)
{
    const char *name, *key;
    json_t *spec, *value;

    json_object_foreach (data, name, spec) {
        json_object_foreach (spec, key, value) {
            g_autofree char *where = g_strdup_printf("data.%s.%s", name, key);
            bool type_bad = strcmp(key, "type") == 0 &&
                            !(json_is_string(value) && g_strv_contains(variable_types, json_string_value(value)));
            if (!type_bad && (strcmp(key, "type") == 0 || strcmp(key, "required") == 0 || strcmp(key, "sample") == 0 ||
                              strcmp(key, "default") == 0 || strcmp(key, "description") == 0))
                continue;
            *why = g_strdup_printf("%s:%d: %s: %s", path, line_at(lines, where), where,
                                   type_bad
                                       ? "must be string, integer, number, boolean, date, array, object or any"
                                       : "is unknown; a variable has type, required, default, sample and description");
            return false;
        }
        if (!json_is_object(spec)) {
            *why = g_strdup_printf("%s:%d: data.%s: must be an object like {type: string, required: true}", path,
                                   line_at(lines, name), name);
            return false;
        }
    }
    return true;
}

static bool take_definition(struct template *t, json_t *d, const char *path, GHashTable *lines, char **why)
{
    const char *key;
    json_t *value, *channel;
    size_t i;

    json_object_foreach (d, key, value) {
        const char *complaint = NULL;
        if (strcmp(key, "category") == 0)
            complaint = json_is_string(value) ? (t->category = g_strdup(json_string_value(value)), NULL)
                                              : "must be the name of a category";
        else if (strcmp(key, "data") == 0)
            complaint = json_is_object(value) ? (t->data = json_incref(value), NULL) : "must be an object of variables";
        else if (strcmp(key, "channels") == 0) {
            complaint =
                json_is_array(value) && json_array_size(value) > 0 ? NULL : "must be a list such as [email, sms]";
            t->channels = g_new0(char *, json_array_size(value) + 1);
            json_array_foreach (value, i, channel) {
                t->channels[i] = g_strdup(json_is_string(channel) ? json_string_value(channel) : "");
                if (!channel_parts_of(t->channels[i]))
                    complaint = "knows email, sms and in_app";
                for (size_t j = 0; j < i; j++)
                    if (strcmp(t->channels[i], t->channels[j]) == 0)
                        complaint = "names a channel twice";
            }
        } else if (strcmp(key, "description") != 0)
            complaint = "is unknown; a template has category, channels, data and description";
        if (complaint) {
            *why = g_strdup_printf("%s:%d: %s %s", path, line_at(lines, key), key, complaint);
            return false;
        }
    }
    return !t->data || check_variables(t->data, path, lines, why);
}

static bool part_exists(const struct template *t, const char *channel, const char *part)
{
    g_autofree char *key = g_strdup_printf("%s.%s", channel, part);
    return g_hash_table_contains(t->parts, key);
}

/* The channels are those that template.yaml lists, else those that have parts. */
static bool settle_channels(struct template *t, const char *dir, char **why)
{
    g_autoptr(GPtrArray) have = g_ptr_array_new();

    for (const struct channel_parts *c = channel_parts; c->channel; c++) {
        bool any = false, all = true;
        const char *missing = NULL;
        for (int i = 0; c->part[i].name; i++) {
            bool has = part_exists(t, c->channel, c->part[i].name);
            any |= has;
            if (c->part[i].required && !has)
                all = false, missing = c->part[i].name;
        }
        if (strcmp(c->channel, "email") == 0 && all && !part_exists(t, "email", "html") &&
            !part_exists(t, "email", "text"))
            all = false, missing = "html";
        bool listed = t->channels && g_strv_contains((const char *const *)t->channels, c->channel);
        if ((listed || any) && !all) {
            *why = g_strdup_printf("%s:1: the channel %s needs the file %s.%s.mustache", dir, c->channel, c->channel,
                                   missing);
            return false;
        }
        if (any)
            g_ptr_array_add(have, g_strdup(c->channel));
    }
    if (have->len == 0) {
        *why = g_strdup_printf("%s:1: has no part; add a file such as email.subject.mustache", dir);
        return false;
    }
    g_ptr_array_add(have, NULL);
    char **found = (char **)g_ptr_array_steal(have, NULL);
    if (t->channels)
        g_strfreev(found);
    else
        t->channels = found;
    return true;
}

static bool load_template(struct template *t, const char *dir, char **why)
{
    g_autofree char *path = g_build_filename(dir, "template.yaml", NULL);
    g_autoptr(GHashTable) lines = NULL;
    gsize len;
    json_auto_t *definition = NULL;

    if (g_file_test(path, G_FILE_TEST_EXISTS)) {
        g_autofree char *text = read_file(t->library, t, path, &len, why);
        if (!text || !(definition = t->library->yaml(path, &lines, why)) ||
            !take_definition(t, definition, path, lines, why))
            return false;
    }
    return load_catalogs(t->library, t, t->catalogs, dir, why) &&
           each_file(dir, ".mustache", on_part, &(struct part_job){ t, dir }, why) && settle_channels(t, dir, why);
}

static void template_free(void *p)
{
    struct template *t = p;
    if (t->adopted)
        library_free(t->library);
    g_hash_table_unref(t->parts);
    g_hash_table_unref(t->catalogs);
    g_checksum_free(t->hash);
    g_strfreev(t->channels);
    json_decref(t->data);
    g_free(t->name);
    g_free(t->category);
    g_free(t->fault);
    g_free(t);
}

static void add_template(struct library *l, const char *name)
{
    struct template *t = g_new0(struct template, 1);
    g_autofree char *dir = g_build_filename(l->dir, name, NULL);

    t->library = l;
    t->name = g_strdup(name);
    t->parts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)mustache_free);
    t->catalogs = catalogs_new();
    t->hash = g_checksum_new(G_CHECKSUM_SHA256);
    if (!load_template(t, dir, &t->fault) && !t->fault)
        t->fault = g_strdup_printf("%s:1: cannot be used", dir);
    g_strlcpy(t->version, g_checksum_get_string(t->hash), 9);
    g_hash_table_insert(l->templates, t->name, t);
}

static bool on_layout(void *arg, const char *file, char **why)
{
    struct library *l = arg;
    g_autofree char *path = g_build_filename(l->dir, "_layouts", file, NULL);
    gsize len;
    char *text = read_file(l, NULL, path, &len, why);

    if (!text)
        return false;
    struct mustache *m = mustache_compile(path, text, len, "", why);
    g_hash_table_insert(l->sources, g_strndup(file, strlen(file) - strlen(".mustache")), text);
    mustache_free(m);
    return m != NULL;
}

static bool name_good(const char *name)
{
    return *name != '_' && *name != '.' &&
           name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")] == '\0';
}

struct library *library_open(const char *dir, const char *default_locale, library_yaml_fn *yaml, char **why)
{
    GError *error = NULL;
    GDir *d = g_dir_open(dir, 0, &error);

    if (!d) {
        *why = g_strdup_printf("%s: %s; set \"templates\" to the folder of your templates", dir, error->message);
        g_error_free(error);
        return NULL;
    }
    struct library *l = g_new0(struct library, 1);
    l->refs = 1;
    l->dir = g_strdup(dir);
    l->default_locale = g_strdup(default_locale);
    l->yaml = yaml;
    l->templates = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, template_free);
    l->sources = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    l->partials = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)mustache_free);
    l->shared = catalogs_new();
    g_autofree char *layouts = g_build_filename(dir, "_layouts", NULL);
    char *fault = NULL;
    bool good =
        each_file(layouts, ".mustache", on_layout, l, &fault) && load_catalogs(l, NULL, l->shared, layouts, &fault);
    for (const char *name; (name = g_dir_read_name(d));) {
        g_autofree char *path = g_build_filename(dir, name, NULL);
        if (name_good(name) && g_file_test(path, G_FILE_TEST_IS_DIR))
            add_template(l, name);
    }
    g_dir_close(d);
    if (good)
        return l;
    /* a broken layout breaks whoever may use it: all */
    GHashTableIter i;
    struct template *t;
    g_hash_table_iter_init(&i, l->templates);
    while (g_hash_table_iter_next(&i, NULL, (void **)&t))
        if (!t->fault)
            t->fault = g_strdup(fault);
    g_free(fault);
    return l;
}

void library_free(struct library *l)
{
    if (!l || --l->refs > 0)
        return;
    g_hash_table_unref(l->templates);
    g_hash_table_unref(l->sources);
    g_hash_table_unref(l->partials);
    g_hash_table_unref(l->shared);
    g_free(l->dir);
    g_free(l->default_locale);
    g_free(l);
}

/* A template of before keeps the layouts of before: its library lives on behind it. */
void library_adopt(struct library *fresh, struct library *old)
{
    GHashTableIter i;
    struct template *was, *now;

    g_hash_table_iter_init(&i, old->templates);
    while (g_hash_table_iter_next(&i, NULL, (void **)&was)) {
        now = g_hash_table_lookup(fresh->templates, was->name);
        if (!now || !now->fault || was->fault)
            continue;
        g_hash_table_iter_steal(&i);
        if (!was->adopted)
            old->refs++;
        was->adopted = true;
        g_hash_table_replace(fresh->templates, was->name, was);
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

const char *template_name(const struct template *t)
{
    return t->name;
}

const char *template_category(const struct template *t)
{
    return t->category;
}

const char *const *template_channels(const struct template *t)
{
    return (const char *const *)t->channels;
}

bool template_has_channel(const struct template *t, const char *channel)
{
    const struct channel_parts *c = channel_parts_of(channel);

    for (int i = 0; c && c->part[i].name; i++)
        if (part_exists(t, channel, c->part[i].name))
            return true;
    return false;
}

const char *template_version(const struct template *t)
{
    return t->version;
}

const json_t *template_data(const struct template *t)
{
    return t->data;
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
        g_autofree char *file = g_strdup_printf("%s/%s/%s.mustache", t->library->dir, t->name, (char *)k->data);
        fn(arg, file, words[0], words[1], words[2], g_hash_table_lookup(t->parts, k->data));
    }
}

/* ---------------------------------------------------------------- data of a message */

static bool type_matches(const char *type, const json_t *value)
{
    if (json_is_null(value) || strcmp(type, "any") == 0)
        return true;
    switch (json_typeof(value)) {
    case JSON_STRING: return strcmp(type, "string") == 0 || strcmp(type, "date") == 0;
    case JSON_INTEGER: return strcmp(type, "integer") == 0 || strcmp(type, "number") == 0 || strcmp(type, "date") == 0;
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
        } else if (type && !type_matches(type, value)) {
            g_autofree char *detail = g_strdup_printf("must be %s %s, not %s", strchr("aeio", *type) ? "an" : "a", type,
                                                      kinds[json_typeof(value)]);
            complain(arg, pointer, detail);
        }
    }
}

/* ---------------------------------------------------------------- rendering */

struct rendering {
    struct template *t;
    const struct render_request *request;
    struct locale_chain chain;
    const char *part; /* "html": which layouts and partials fit */
    const struct mustache_stack *stack;
    struct rendered *out;
    int best; /* index in the chain of the most exact text used so far */
};

static void locale_used(struct rendering *r, int index)
{
    if (index < r->best)
        r->best = index;
}

const struct mustache *library_partial(const struct library *l, const char *name, const char *part,
                                       const struct locale_chain *chain, const char *indent, char **why)
{
    const char *source = NULL;
    char key[256];

    for (int i = 0; i <= chain->count && !source; i++) {
        g_snprintf(key, sizeof key, i < chain->count ? "%s.%s.%s" : "%s.%s", name, part,
                   i < chain->count ? chain->tags[i] : "");
        source = g_hash_table_lookup(l->sources, key);
    }
    if (!source) {
        g_strlcpy(key, name, sizeof key);
        source = g_hash_table_lookup(l->sources, key);
    }
    if (!source)
        return NULL;
    g_autofree char *full = g_strconcat(key, "\n", indent, NULL);
    struct mustache *m = g_hash_table_lookup(l->partials, full);
    if (!m) {
        g_autofree char *path = g_strdup_printf("%s/_layouts/%s.mustache", l->dir, key);
        m = mustache_compile(path, source, strlen(source), indent, why);
        if (m)
            g_hash_table_insert(l->partials, g_steal_pointer(&full), m);
    }
    return m;
}

static const struct mustache *on_partial(void *arg, const char *name, const char *indent, char **why)
{
    struct rendering *r = arg;
    return library_partial(r->t->library, name, r->part, &r->chain, indent, why);
}

static struct icu_message *find_message(struct rendering *r, const char *key)
{
    GHashTable *const from[] = { r->t->catalogs, r->t->library->shared };

    for (size_t f = 0; f < G_N_ELEMENTS(from); f++)
        for (int i = 0; i < r->chain.count; i++) {
            GHashTable *messages = g_hash_table_lookup(from[f], r->chain.tags[i]);
            struct icu_message *m = messages ? g_hash_table_lookup(messages, key) : NULL;
            if (m) {
                if (f == 0)
                    locale_used(r, i);
                return m;
            }
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

static char *on_message(void *arg, const char *key, const struct mustache_stack *stack, GString *out)
{
    struct rendering *r = arg;
    struct icu_message *m = find_message(r, key);

    if (!m)
        return g_strdup_printf("no catalog of %s has the message \"%s\" for %s", r->t->name, key, r->chain.tags[0]);
    r->stack = stack;
    struct icu_env env = { r, on_argument, r->request->instant, on_offset };
    /* numbers and dates in the reader's own locale when it is of the text's language, chain[0] */
    char *why = icu_message_format(m, r->chain.tags[0], &env, out);
    if (!why)
        return NULL;
    char *full = g_strdup_printf("message \"%s\": %s", key, why);
    g_free(why);
    return full;
}

static const struct mustache *find_part(struct rendering *r, const char *channel, const char *part)
{
    char key[128];

    for (int i = 0; i < r->chain.count; i++) {
        g_snprintf(key, sizeof key, "%s.%s.%s", channel, part, r->chain.tags[i]);
        const struct mustache *m = g_hash_table_lookup(r->t->parts, key);
        if (m) {
            locale_used(r, i);
            return m;
        }
    }
    g_snprintf(key, sizeof key, "%s.%s", channel, part);
    return g_hash_table_lookup(r->t->parts, key);
}

/* Declared variables that the message leaves out: their default, or nothing. */
static void fill_defaults(const struct template *t, json_t *context)
{
    const char *name;
    json_t *spec;

    json_object_foreach (t->data, name, spec) {
        json_t *fallback = json_object_get(spec, "default");
        if (!json_object_get(context, name) && !json_is_true(json_object_get(spec, "required")))
            json_object_set_new(context, name, fallback ? json_incref(fallback) : json_null());
    }
}

static bool render_part(struct rendering *r, const struct channel_parts *c, int index)
{
    struct mustache_env env = { .strict = true,
                                .html = c->part[index].html,
                                .message_prefix = "t.",
                                .arg = r,
                                .partial = on_partial,
                                .message = on_message };
    const struct mustache *m = find_part(r, c->channel, c->part[index].name);

    if (!m)
        return true;
    r->part = c->part[index].name;
    r->out->part[index] = g_string_sized_new(2048);
    r->out->why = mustache_render(m, &env, r->request->context, r->out->part[index]);
    return r->out->why == NULL;
}

/* A mail without a text part gets one from its HTML. */
static void text_from_html(const struct channel_parts *c, struct rendered *out)
{
    enum { HTML = 1, TEXT = 2 };

    if (strcmp(c->channel, "email") != 0 || !out->part[HTML] || out->part[TEXT])
        return;
    out->part[TEXT] = g_string_new(NULL);
    html_text(out->part[HTML]->str, out->part[HTML]->len, out->part[TEXT]);
}

bool template_render(struct template *t, const struct render_request *request, struct rendered *out)
{
    struct rendering r = { .t = t, .request = request, .out = out };
    const struct channel_parts *c = channel_parts_of(request->channel);

    memset(out, 0, sizeof *out);
    if (t->fault) {
        out->why = g_strdup(t->fault);
        return false;
    }
    if (!template_has_channel(t, request->channel)) {
        out->why = g_strdup_printf("the template \"%s\" has no part for %s", t->name, request->channel);
        return false;
    }
    locale_chain_make(&r.chain, request->locale, t->library->default_locale);
    r.best = r.chain.count - 1;
    fill_defaults(t, request->context);
    if (!json_object_get(request->context, "lang"))
        json_object_set_new(request->context, "lang", json_string(r.chain.tags[0]));
    if (!json_object_get(request->context, "dir"))
        json_object_set_new(request->context, "dir", json_string(locale_is_rtl(r.chain.tags[0]) ? "rtl" : "ltr"));
    for (int i = 0; c->part[i].name; i++)
        if ((!request->only_part || strcmp(request->only_part, c->part[i].name) == 0 ||
             (strcmp(request->only_part, "text") == 0 && strcmp(c->part[i].name, "html") == 0)) &&
            !render_part(&r, c, i))
            return false;
    text_from_html(c, out);
    g_strlcpy(out->locale, r.chain.tags[r.best], sizeof out->locale);
    return true;
}

void rendered_clear(struct rendered *out)
{
    for (int i = 0; i < 4; i++)
        if (out->part[i])
            g_string_free(out->part[i], TRUE);
    g_free(out->why);
    memset(out, 0, sizeof *out);
}
