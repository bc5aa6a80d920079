#include "dispatcher/config/settings.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/config/values.h"
#include "schedules/duration.h"

const struct setting *settings_find(const char *path)
{
    for (size_t i = 0; i < settings_count; i++)
        if (strcmp(settings_table[i].path, path) == 0)
            return &settings_table[i];
    assert(!"every path that is read is in the table");
}

const char *setting_type_name(enum setting_type type)
{
    static const char *const names[] = { "section", "names",      "list",     "text",      "secret", "path",
                                         "number",  "true|false", "duration", "rate",      "number", "choice",
                                         "list",    "list",       "url",      "time zone", "locale", "time of day",
                                         "window",  "days",       "mailbox",  "address",   "any" };
    return names[type];
}

/* ---------------------------------------------------------------- the walk */

struct walk {
    const char *file;
    GHashTable *lines;
    char *why;
};

static bool complain(struct walk *w, const char *path, const char *what)
{
    int line = GPOINTER_TO_INT(g_hash_table_lookup(w->lines, path));
    w->why = g_strdup_printf("%s:%d: %s %s", w->file, line ? line : 1, path, what);
    return false;
}

static int distance(const char *a, const char *b)
{
    int row[64], n = (int)MIN(strlen(b), 63u);

    for (int j = 0; j <= n; j++)
        row[j] = j;
    for (int i = 1; a[i - 1]; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= n; j++) {
            int keep = row[j], swap = diagonal + (a[i - 1] != b[j - 1]);
            row[j] = MIN(MIN(row[j], row[j - 1]) + 1, swap);
            diagonal = keep;
        }
    }
    return row[n];
}

/* The row `parent.key`, or NULL with the nearest name of its siblings. */
static const struct setting *child_row(const char *parent, const char *key, const char **nearest)
{
    size_t len = strlen(parent);
    int best = 1000;

    *nearest = NULL;
    for (size_t i = 0; i < settings_count; i++) {
        const char *p = settings_table[i].path;
        if (len && (strncmp(p, parent, len) != 0 || p[len] != '.'))
            continue;
        const char *name = len ? p + len + 1 : p;
        if (strpbrk(name, ".["))
            continue;
        if (strcmp(name, "*") == 0 || strcmp(name, key) == 0)
            return &settings_table[i];
        int d = distance(key, name);
        if (d < best)
            best = d, *nearest = name;
    }
    return NULL;
}

static bool walk_value(struct walk *, const struct setting *, const json_t *value, const char *path);

static bool walk_object(struct walk *w, const char *row, const json_t *object, const char *path)
{
    const char *key, *nearest;
    json_t *value;

    json_object_foreach ((json_t *)object, key, value) {
        g_autofree char *full = *path ? g_strdup_printf("%s.%s", path, key) : g_strdup(key);
        const struct setting *s = child_row(row, key, &nearest);
        if (!s) {
            g_autofree char *what = g_strdup_printf("is no setting%s%s%s", nearest ? "; did you mean \"" : "",
                                                    nearest ? nearest : "", nearest ? "\"?" : "");
            return complain(w, full, what);
        }
        if (!walk_value(w, s, value, full))
            return false;
    }
    return true;
}

/* Names that the operator chooses go into Redis keys and reasons. */
static bool map_names_good(struct walk *w, const json_t *map, const char *path)
{
    const char *key;
    json_t *value;

    json_object_foreach ((json_t *)map, key, value) {
        g_autofree char *full = g_strdup_printf("%s.%s", path, key);
        if (!g_regex_match_simple("^[A-Za-z0-9_-]{1,48}$", key, 0, 0))
            return complain(w, full, "is no name; letters, digits, _ and - make one");
    }
    return true;
}

/* An element of a list needs every key whose default is the empty text. */
static bool element_complete(struct walk *w, const struct setting *s, const json_t *element, const char *path)
{
    size_t len = strlen(s->path);

    for (size_t i = 0; i < settings_count; i++) {
        const struct setting *row = &settings_table[i];
        if (strncmp(row->path, s->path, len) != 0 || row->path[len] != '.' || strpbrk(row->path + len + 1, ".[") ||
            !row->fallback || *row->fallback)
            continue;
        if (!json_object_get(element, row->path + len + 1)) {
            g_autofree char *what = g_strdup_printf("needs \"%s\"", row->path + len + 1);
            return complain(w, path, what);
        }
    }
    return true;
}

/* Names tell elements apart in status, trace and metrics. */
static bool names_differ(struct walk *w, const json_t *list, const char *path)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        for (size_t j = 0; j < i; j++) {
            const json_t *name = json_object_get(json_array_get(list, i), "name");
            if (name && json_equal((json_t *)name, json_object_get(json_array_get(list, j), "name"))) {
                g_autofree char *at = g_strdup_printf("%s[%zu].name", path, i);
                return complain(w, at, "is the name of another one already");
            }
        }
    return true;
}

static bool walk_list(struct walk *w, const struct setting *s, const json_t *list, const char *path)
{
    json_t *item;
    size_t i;
    char why[200];

    json_array_foreach (list, i, item) {
        g_autofree char *full = g_strdup_printf("%s[%zu]", path, i);
        if (s->type == SET_LIST) {
            g_autofree char *row = g_strdup_printf("%s[]", s->path);
            if (!walk_value(w, settings_find(row), item, full) || !element_complete(w, settings_find(row), item, full))
                return false;
        } else if (!json_is_string(item)) {
            return complain(w, full, "must be a word");
        } else if (s->type == SET_CHOICES) {
            const char *complaint = setting_check_choice(s, json_string_value(item), why);
            if (complaint)
                return complain(w, full, complaint);
        }
    }
    return names_differ(w, list, path);
}

static bool walk_value(struct walk *w, const struct setting *s, const json_t *value, const char *path)
{
    char why[256];
    const char *complaint;
    unsigned days;

    if (json_is_null(value) && (s->type == SET_SECTION || s->type == SET_MAP || s->type == SET_LIST))
        return true;
    switch (s->type) {
    case SET_SECTION:
    case SET_MAP:
        if (!json_is_object(value))
            return complain(w, path, "must be a section of settings");
        return (s->type == SET_SECTION || map_names_good(w, value, path)) && walk_object(w, s->path, value, path);
    case SET_LIST:
    case SET_CHOICES:
    case SET_NAMES:
        return json_is_array(value) ? walk_list(w, s, value, path)
                                    : complain(w, path, "must be a list, [in, brackets] or with dashes");
    case SET_DAYS: return (complaint = setting_days_parse(&days, value)) ? complain(w, path, complaint) : true;
    case SET_ANY: return true;
    default:
        if (!json_is_string(value))
            return complain(w, path, json_is_null(value) ? "has no value" : "must be a single value");
        complaint = setting_check(s, json_string_value(value), why);
        return complaint ? complain(w, path, complaint) : true;
    }
}

char *settings_check(const json_t *config, GHashTable *lines, const char *file)
{
    struct walk w = { file, lines, NULL };

    if (!json_is_object(config))
        return g_strdup_printf("%s:1: must be a mapping of settings", file);
    walk_object(&w, "", config, "");
    return w.why;
}

/* ---------------------------------------------------------------- ${NAME} */

static char *expand(const char *text, char **missing)
{
    GString *out = g_string_new(NULL);

    while (*text) {
        const char *end = text[0] == '$' && text[1] == '{' ? strchr(text, '}') : NULL;
        if (text[0] == '$' && text[1] == '{' && (!end || memchr(text + 2, '{', (size_t)(end - text - 2))))
            return *missing = NULL, g_string_free(out, TRUE);
        if (!end) {
            g_string_append_c(out, *text++);
            continue;
        }
        g_autofree char *name = g_strndup(text + 2, (gsize)(end - text - 2));
        char *fallback = strstr(name, ":-");
        if (fallback)
            *fallback = '\0', fallback += 2;
        const char *value = getenv(name);
        if ((!value || (!*value && fallback)) && !(value = fallback))
            return *missing = g_strdup(name), g_string_free(out, TRUE);
        g_string_append(out, value);
        text = end + 1;
    }
    return g_string_free(out, FALSE);
}

static json_t *expand_value(struct walk *w, json_t *value, const char *path)
{
    char *missing = NULL;
    const char *key;
    json_t *child;
    void *next;
    size_t i;

    if (json_is_string(value) && strstr(json_string_value(value), "${")) {
        g_autofree char *text = expand(json_string_value(value), &missing);
        if (text)
            return json_string(text);
        if (!missing) {
            complain(w, path, "has a \"${\" that is not closed, or one within another");
            return json_incref(value);
        }
        g_autofree char *what =
            g_strdup_printf("needs the environment variable %s, which is not set; ${%s:-default} would give a default",
                            missing, missing);
        g_free(missing);
        complain(w, path, what);
        return json_incref(value);
    }
    json_object_foreach_safe (value, next, key, child) {
        g_autofree char *full = *path ? g_strdup_printf("%s.%s", path, key) : g_strdup(key);
        if (!w->why)
            json_object_set_new(value, key, expand_value(w, child, full));
    }
    json_array_foreach (value, i, child) {
        g_autofree char *full = g_strdup_printf("%s[%zu]", path, i);
        if (!w->why)
            json_array_set_new(value, i, expand_value(w, child, full));
    }
    return json_incref(value);
}

char *settings_expand(json_t *config, GHashTable *lines, const char *file)
{
    struct walk w = { file, lines, NULL };
    json_decref(expand_value(&w, config, ""));
    return w.why;
}

/* ---------------------------------------------------------------- reading */

const json_t *setting_json(const json_t *at, const char *path)
{
    const char *from = strstr(path, "[].");

    if (!from)
        from = strstr(path, "*.");
    g_auto(GStrv) words = g_strsplit(from ? strchr(from, '.') + 1 : path, ".", 0);
    for (char **word = words; *word && at; word++)
        at = json_object_get(at, *word);
    return json_is_null(at) ? NULL : at;
}

const char *setting_text(const json_t *at, const char *path)
{
    const struct setting *row = settings_find(path);
    const json_t *value = setting_json(at, path);

    return json_is_string(value) ? json_string_value(value) : row->fallback;
}

int64_t setting_int(const json_t *at, const char *path)
{
    return g_ascii_strtoll(setting_text(at, path), NULL, 10);
}

int64_t setting_ms(const json_t *at, const char *path)
{
    int64_t ms = 0;
    duration_parse(&ms, setting_text(at, path));
    return ms;
}

double setting_real(const json_t *at, const char *path)
{
    return g_ascii_strtod(setting_text(at, path), NULL);
}

double setting_rate(const json_t *at, const char *path)
{
    const char *text = setting_text(at, path);
    double rate = 0;

    if (text)
        setting_rate_parse(&rate, text);
    return rate;
}

bool setting_bool(const json_t *at, const char *path)
{
    return strcmp(setting_text(at, path), "true") == 0;
}
