#include "templates/library_own.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "templates/icu_message.h"
#include "templates/mustache.h"

/* ---------------------------------------------------------------- files */

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
    if (g_str_has_prefix(text, "\xef\xbb\xbf")) { /* some editors begin with one; no reader should see it */
        memmove(text, text + 3, *len - 2);
        *len -= 3;
    }
    return text;
}

int catalog_line(const char *text, const char *key)
{
    const char *dot = strrchr(key, '.');
    g_autofree char *quoted = g_strdup_printf("\"%s\"", dot ? dot + 1 : key);
    const char *at = text;
    int line = 1;

    while ((at = strstr(at, quoted)) && at[strlen(quoted) + strspn(at + strlen(quoted), " \t")] != ':')
        at++; /* a value that looks like it */
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
            *why = g_strdup_printf("%s:%d: \"%s\" %s", path, catalog_line(text, key), full, what ? what : "is no text");
            g_free(what);
            return false;
        }
        g_hash_table_replace(messages, g_steal_pointer(&full), m);
    }
    return true;
}

static void message_table_free(void *table)
{
    g_hash_table_unref(table);
}

GHashTable *catalogs_new(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, message_table_free);
}

/* The messages of one catalog file go to those that its locale has already. */
static bool take_catalog(GHashTable *catalogs, const char *locale, const char *path, const char *text, size_t len,
                         char **why)
{
    json_error_t error;
    json_auto_t *object = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
    GHashTable *messages = g_hash_table_lookup(catalogs, locale);

    if (!json_is_object(object)) {
        *why = g_strdup_printf("%s:%d: %s", path, object ? 1 : error.line,
                               object ? "is no JSON object of messages" : error.text);
        return false;
    }
    if (!messages) {
        messages = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)icu_message_free);
        g_hash_table_insert(catalogs, g_strdup(locale), messages);
    }
    return add_messages(messages, object, "", path, text, why);
}

static bool catalog_locale(char locale[static LOCALE_SIZE], const char *path, char **why)
{
    g_autofree char *file = g_path_get_basename(path), *stem = g_strndup(file, strlen(file) - strlen(".json"));

    if (!locale_canonical(locale, stem))
        *why =
            g_strdup_printf("%s:1: \"%s\" is no locale; name the file like \"de.json\" or \"pt-BR.json\"", path, stem);
    else if (strcmp(locale, stem) != 0) /* one spelling, so that no two files are for the same locale */
        *why =
            g_strdup_printf("%s:1: the locale is written \"%s\"; rename the file to \"%s.json\"", path, locale, locale);
    return !*why;
}

static bool load_catalog(struct library *l, struct template *t, GHashTable *catalogs, const char *path, char **why)
{
    char locale[LOCALE_SIZE];
    gsize len;

    if (!catalog_locale(locale, path, why))
        return false;
    g_autofree char *text = read_file(l, t, path, &len, why);
    return text && take_catalog(catalogs, locale, path, text, len, why);
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
    g_autofree char *path = g_build_filename(job->dir, file, NULL);
    return load_catalog(job->l, job->t, job->catalogs, path, why);
}

static bool load_catalogs(struct library *l, struct template *t, GHashTable *catalogs, const char *dir, char **why)
{
    g_autofree char *locales = g_build_filename(dir, "locales", NULL);
    return each_file(locales, ".json", on_catalog, &(struct catalog_job){ l, t, catalogs, locales }, why);
}

/* "email.html.ar.mustache" → channel, part and locale; false with a sentence when it is none of ours. */
static bool part_name_good(struct template *t, const char *file, char **key, const char *path, char **why)
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
            if (n == 4 && locale_canonical(locale, words[2]) && strcmp(locale, words[2]) == 0) {
                t->has_localized = true;
                *key = g_strdup_printf("%s.%s.%s", words[0], words[1], locale);
                return true;
            }
        }
    *why = g_strdup_printf("%s:1: is no part; name it CHANNEL.PART.mustache or CHANNEL.PART.LOCALE.mustache, the "
                           "locale like \"pt-BR\" (email.subject, "
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

    if (!part_name_good(job->t, file, &key, path, why))
        return false;
    g_autofree char *text = read_file(job->t->library, job->t, path, &len, why);
    bool one_line = strstr(key, ".html") == NULL && strstr(key, ".text") == NULL && strstr(key, ".body") == NULL;
    if (text && one_line)
        len = strlen(g_strchomp(text)); /* a subject, title or address is one line */
    struct mustache *m = text ? mustache_compile(path, text, len, "", why) : NULL;
    if (!m) {
        g_free(key);
        return false;
    }
    if (g_str_has_prefix(key, "email.") && !one_line)
        mustache_prepare(m, &job->t->library->hooks->mail);
    g_hash_table_insert(job->t->parts, key, m);
    return true;
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
    static const char *const given[] = { "recipient", "message", "links", "lang", "dir", NULL };
    const char *name, *key;
    json_t *spec, *value;

    json_object_foreach (data, name, spec) {
        if (g_strv_contains(given, name)) {
            g_autofree char *where = g_strdup_printf("data.%s", name);
            *why = g_strdup_printf("%s:%d: %s: is given to every template; take another name", path,
                                   line_at(lines, where), where);
            return false;
        }
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

/* Each key of template.yaml: NULL when content, else a complaint. */
static const char *take_category(struct template *t, json_t *value)
{
    t->category = g_strdup(json_string_value(value));
    return json_is_string(value) ? NULL : "must be the name of a category";
}

static const char *take_description(struct template *t, json_t *value)
{
    t->description = g_strdup(json_string_value(value));
    return json_is_string(value) ? NULL : "must be a text";
}

static const char *take_data(struct template *t, json_t *value)
{
    t->data = json_is_object(value) ? json_incref(value) : NULL;
    return t->data ? NULL : "must be an object of variables";
}

/* in_app: {expires: 14d, pin: true, importance: high} */
static const char *take_card(struct template *t, json_t *value)
{
    static const char *const known[] = { "expires", "pin", "importance", NULL };
    const json_t *expires = json_object_get(value, "expires"), *pin = json_object_get(value, "pin");
    const char *importance = json_string_value(json_object_get(value, "importance")), *key;
    json_t *ignored;

    if (!json_is_object(value))
        return "must be like {expires: 14d, pin: true, importance: high}";
    json_object_foreach (value, key, ignored)
        if (!g_strv_contains(known, key))
            return "knows expires, pin and importance";
    if (expires &&
        (!json_is_string(expires) || t->library->hooks->span(&t->card.expires_ms, json_string_value(expires)) != NULL))
        return "expires must be a span like 14d";
    if (pin && !json_is_boolean(pin))
        return "pin must be true or false";
    if (json_object_get(value, "importance") && g_strcmp0(importance, "high") != 0 &&
        g_strcmp0(importance, "normal") != 0)
        return "importance must be high or normal";
    t->card.pinned = json_is_true(pin);
    t->card.high = g_strcmp0(importance, "high") == 0;
    return NULL;
}

static const char *take_channels(struct template *t, json_t *value)
{
    json_t *channel;
    size_t i;

    if (!json_is_array(value) || !json_array_size(value))
        return "must be a list such as [email, sms]";
    t->channels = g_new0(char *, json_array_size(value) + 1);
    json_array_foreach (value, i, channel) {
        const char *name = json_is_string(channel) ? json_string_value(channel) : "";
        if (!channel_parts_of(name))
            return "knows email, sms and in_app";
        if (g_strv_contains((const char *const *)t->channels, name))
            return "names a channel twice";
        t->channels[i] = g_strdup(name);
    }
    return NULL;
}

static bool take_definition(struct template *t, json_t *d, const char *path, GHashTable *lines, char **why)
{
    static const struct {
        const char *key, *(*take)(struct template *, json_t *);
    } keys[] = { { "category", take_category },
                 { "channels", take_channels },
                 { "data", take_data },
                 { "in_app", take_card },
                 { "description", take_description } };
    const char *key;
    json_t *value;

    json_object_foreach (d, key, value) {
        const char *complaint = "is unknown; a template has category, channels, data, in_app and description";
        for (size_t i = 0; i < G_N_ELEMENTS(keys); i++)
            if (strcmp(keys[i].key, key) == 0)
                complaint = keys[i].take(t, value);
        if (complaint) {
            *why = g_strdup_printf("%s:%d: %s %s", path, line_at(lines, key), key, complaint);
            return false;
        }
    }
    return !t->data || check_variables(t->data, path, lines, why);
}

/* The channels are those that template.yaml lists, else those that have parts. */
static bool settle_channels(struct template *t, const char *dir, char **why)
{
    g_autoptr(GPtrArray) have = g_ptr_array_new();

    for (const struct channel_parts *c = channel_parts; c->channel; c++) {
        bool any = false, all = true;
        const char *missing = NULL;
        for (int i = 0; c->part[i].name; i++) {
            bool has = template_has_part(t, c->channel, c->part[i].name);
            any |= has;
            if (c->part[i].required && !has)
                all = false, missing = c->part[i].name;
        }
        if (strcmp(c->channel, "email") == 0 && all && !template_has_part(t, "email", "html") &&
            !template_has_part(t, "email", "text"))
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

bool template_load(struct template *t, const char *dir, char **why)
{
    g_autofree char *path = g_build_filename(dir, "template.yaml", NULL);
    g_autoptr(GHashTable) lines = NULL;
    gsize len;
    json_auto_t *definition = NULL;

    if (g_file_test(path, G_FILE_TEST_EXISTS)) {
        g_autofree char *text = read_file(t->library, t, path, &len, why);
        if (!text || !(definition = t->library->hooks->yaml(path, &lines, why)) ||
            !take_definition(t, definition, path, lines, why))
            return false;
    }
    return load_catalogs(t->library, t, t->catalogs, dir, why) &&
           each_file(dir, ".mustache", on_part, &(struct part_job){ t, dir }, why) && settle_channels(t, dir, why);
}

/* ---------------------------------------------------------------- what all templates share */

/* Compiled for its faults alone: the indentation with which it is included is not known yet.  file:
 * "base.html.mustache" of a folder. */
static bool take_partial(struct library *l, const char *folder, const char *file, const char *path, const char *text,
                         size_t len, char **why)
{
    struct mustache *m = mustache_compile(path, text, len, "", why);

    if (m)
        g_hash_table_replace(l->sources,
                             g_strdup_printf("%s/%.*s", folder, (int)(strlen(file) - strlen(".mustache")), file),
                             g_strndup(text, len));
    mustache_free(m);
    return m != NULL;
}

static bool on_layout(void *arg, const char *file, char **why)
{
    struct library *l = arg;
    g_autofree char *path = g_build_filename(l->dir, LAYOUTS, file, NULL);
    gsize len;
    g_autofree char *text = read_file(l, NULL, path, &len, why);

    return text && take_partial(l, LAYOUTS, file, path, text, len, why);
}

bool library_load_layouts(struct library *l, char **why)
{
    g_autofree char *dir = g_build_filename(l->dir, LAYOUTS, NULL);
    return each_file(dir, ".mustache", on_layout, l, why) && load_catalogs(l, NULL, l->shared, dir, why);
}

/* ---------------------------------------------------------------- pages */

static bool take_page(struct library *l, const char *file, const char *path, const char *text, size_t len, char **why)
{
    if (*file == '_')
        return take_partial(l, PAGES, file, path, text, len, why);
    struct mustache *m = mustache_compile(path, text, len, "", why);
    if (m)
        g_hash_table_replace(l->pages->parts, g_strndup(file, strlen(file) - strlen(".mustache")), m);
    return m != NULL;
}

/* One broken file must not take the others away: the first fault is kept, and reading goes on. */
static bool on_page(void *arg, const char *file, char **fault)
{
    struct library *l = arg;
    g_autofree char *path = g_build_filename(l->dir, PAGES, file, NULL);
    char *why = NULL;
    gsize len;
    g_autofree char *text = read_file(l, l->pages, path, &len, &why);

    if (!text || !take_page(l, file, path, text, len, &why)) {
        if (*fault)
            g_free(why);
        else
            *fault = why;
    }
    return true;
}

static void take_built_in(struct library *l, char **why)
{
    char locale[LOCALE_SIZE];

    for (const struct library_file *f = l->hooks->pages; f && f->name && !*why; f++)
        if (!g_str_has_suffix(f->name, ".json"))
            take_page(l, f->name, f->name, f->text, f->len, why);
        else if (catalog_locale(locale, f->name, why))
            take_catalog(l->pages->catalogs, locale, f->name, f->text, f->len, why);
}

void library_load_pages(struct library *l, char **fault)
{
    g_autofree char *dir = l->dir ? g_build_filename(l->dir, PAGES, NULL) : NULL;
    g_autofree char *why = NULL;

    take_built_in(l, fault);
    if (!dir)
        return;
    each_file(dir, ".mustache", on_page, l, fault);
    if (!load_catalogs(l, l->pages, l->pages->catalogs, dir, &why) && !*fault)
        *fault = g_steal_pointer(&why);
}
