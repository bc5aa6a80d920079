#include "dispatcher/people/entry.h"

#include <glib.h>
#include <string.h>

#include "dispatcher/base/problem.h"
#include "schedules/instant.h"

const char *entry_text(const json_t *entry, const char *key, json_t *errors)
{
    const json_t *value = json_object_get(entry, key);
    g_autofree char *pointer = g_strconcat("/", key, NULL);

    if (!value || json_is_null(value))
        return NULL;
    if (!json_is_string(value) || json_string_length(value) > 256 || !*json_string_value(value)) {
        problem_add(errors, pointer, "must be a text of 1 to 256 characters");
        return NULL;
    }
    return json_string_value(value);
}

void entry_check_known(const json_t *entry, const char *const *known, json_t *errors)
{
    const char *key;
    json_t *value;

    json_object_foreach ((json_t *)entry, key, value)
        if (!g_strv_contains(known, key)) {
            g_autofree char *pointer = g_strconcat("/", key, NULL), *list = g_strjoinv(", ", (char **)known);
            problem_add(errors, pointer, "is unknown; there are %s", list);
        }
}

int64_t entry_instant(const json_t *entry, const char *key, int64_t fallback, json_t *errors)
{
    const char *text = entry_text(entry, key, errors);
    g_autofree char *pointer = g_strconcat("/", key, NULL);
    int64_t ms = fallback;
    const char *why = text ? instant_parse(&ms, text) : NULL;

    if (why)
        problem_add(errors, pointer, "%s", why);
    return ms;
}
