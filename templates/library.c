#include "templates/library_own.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

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
