#include "schedules/complaints.h"

#include <glib.h>
#include <stdarg.h>
#include <string.h>

#include "schedules/duration.h"

char *path_to(const char *at, const char *key)
{
    return !key ? g_strdup(at) : *at ? g_strdup_printf("%s.%s", at, key) : g_strdup(key);
}

char *path_item(const char *at, const char *key, size_t index)
{
    g_autofree char *list = path_to(at, key);
    return g_strdup_printf("%s[%zu]", list, index);
}

void complain(struct complaints *c, const char *at, const char *key, const char *format, ...)
{
    g_autofree char *path = path_to(at, key);
    va_list args;

    va_start(args, format);
    g_autofree char *detail = g_strdup_vprintf(format, args);
    va_end(args);
    c->errors++;
    c->fn(c->arg, true, path, detail);
}

void warn(struct complaints *c, const char *at, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_autofree char *detail = g_strdup_vprintf(format, args);
    va_end(args);
    c->fn(c->arg, false, at, detail);
}

/* How many letters two words differ by (Levenshtein); long ones are never near. */
static size_t distance(const char *a, const char *b)
{
    size_t n = strlen(b), row[64];

    if (n + 1 > G_N_ELEMENTS(row))
        return SIZE_MAX;
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (; *a; a++) {
        size_t before = row[0]++;
        for (size_t j = 1; j <= n; j++) {
            size_t old = row[j];
            row[j] = MIN(MIN(row[j], row[j - 1]) + 1, before + (*a != b[j - 1]));
            before = old;
        }
    }
    return row[n];
}

/* NULL when none is near. */
static const char *word_nearest(const char *word, const char *const *words)
{
    const char *nearest = NULL;
    size_t least = strlen(word) / 2 + 1;

    for (; *words; words++)
        if (distance(word, *words) < least) {
            least = distance(word, *words);
            nearest = *words;
        }
    return nearest;
}

void complain_unknown(struct complaints *c, const char *at, const json_t *object, const char *const *known)
{
    const char *key;
    json_t *value;

    json_object_foreach ((json_t *)object, key, value) {
        const char *near = word_nearest(key, known);
        if (g_strv_contains(known, key))
            continue;
        if (near)
            complain(c, at, key, "is unknown; did you mean \"%s\"?", near);
        else {
            g_autofree char *list = g_strjoinv(", ", (char **)known);
            complain(c, at, key, "is unknown; there are %s", list);
        }
    }
}

static char *with_nearest(const char *name, const char *what, const char *const *names)
{
    const char *near = word_nearest(name, names);
    return g_strdup_printf("\"%s\" %s%s%s%s", name, what, near ? "; did you mean \"" : "", near ? near : "",
                           near ? "\"?" : "");
}

void complain_nearest(struct complaints *c, const char *at, const char *key, const char *name, const char *what,
                      const char *const *names)
{
    g_autofree char *detail = with_nearest(name, what, names);
    complain(c, at, key, "%s", detail);
}

void warn_nearest(struct complaints *c, const char *at, const char *name, const char *what, const char *const *names)
{
    g_autofree char *detail = with_nearest(name, what, names);
    warn(c, at, "%s", detail);
}

const char *text_of(struct complaints *c, const char *at, const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    if (value && !json_is_string(value))
        complain(c, at, key, "must be a text");
    return json_string_value(value);
}

int64_t duration_of(struct complaints *c, const char *at, const json_t *object, const char *key, int64_t otherwise)
{
    const char *text = text_of(c, at, object, key), *why = text ? duration_parse(&otherwise, text) : NULL;

    if (why)
        complain(c, at, key, "%s", why);
    return otherwise;
}

int choice_of(struct complaints *c, const char *at, const json_t *object, const char *key, const char *const *words,
              int otherwise)
{
    const char *text = text_of(c, at, object, key);

    if (!text)
        return otherwise;
    for (int i = 0; words[i]; i++)
        if (strcmp(words[i], text) == 0)
            return i;
    g_autofree char *list = g_strjoinv(", ", (char **)words);
    complain(c, at, key, "must be one of %s", list);
    return otherwise;
}

int count_of(struct complaints *c, const char *at, const json_t *object, const char *key, int least, int most,
             int otherwise)
{
    const json_t *value = json_object_get(object, key);

    if (!value)
        return otherwise;
    if (json_is_integer(value) && json_integer_value(value) >= least && json_integer_value(value) <= most)
        return (int)json_integer_value(value);
    complain(c, at, key, "must be a whole number from %d to %d", least, most);
    return otherwise;
}

double percent_of(struct complaints *c, const char *at, const char *key, const json_t *value)
{
    double percent = json_is_number(value) ? json_number_value(value) : -1;
    char *end = NULL;

    if (json_is_string(value)) {
        percent = g_ascii_strtod(json_string_value(value), &end);
        if (strcmp(end, "%") != 0)
            percent = -1;
    }
    if (percent >= 0 && percent <= 100)
        return percent / 100;
    complain(c, at, key, "must be a share like 5%%");
    return -1;
}

bool truth_of(struct complaints *c, const char *at, const json_t *object, const char *key, bool otherwise)
{
    const json_t *value = json_object_get(object, key);

    if (value && !json_is_boolean(value))
        complain(c, at, key, "must be true or false");
    return json_is_boolean(value) ? json_is_true(value) : otherwise;
}
