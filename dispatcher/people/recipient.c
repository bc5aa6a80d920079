#include "dispatcher/people/recipient.h"

#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "channels/address.h"
#include "dispatcher/base/vocab.h"
#include "dispatcher/base/problem.h"
#include "dispatcher/base/ident.h"
#include "schedules/instant.h"
#include "schedules/zone.h"
#include "templates/locale.h"

#define MAX_TEXT       256
#define MAX_ATTRIBUTES 16384

/* Each field: NULL when content and *out set, else a sentence. */
static const char *take_id(const char *text, json_t **out)
{
    if (!ident_good(text))
        return "must be 1 to 128 letters, digits and . _ ~ @ + -";
    *out = json_string(text);
    return NULL;
}

static const char *take_email(const char *text, json_t **out)
{
    char address[ADDRESS_SIZE];
    const char *why = address_email(address, text);

    if (!why)
        *out = json_string(address);
    return why;
}

static const char *take_phone(const char *text, json_t **out)
{
    char address[ADDRESS_SIZE];
    const char *why = address_phone(address, text);

    if (!why)
        *out = json_string(address);
    return why;
}

static const char *take_locale(const char *text, json_t **out)
{
    char tag[LOCALE_SIZE];

    if (!locale_canonical(tag, text))
        return "is no locale; write a BCP 47 tag like \"de\" or \"pt-BR\"";
    *out = json_string(tag);
    return NULL;
}

static const char *take_zone(const char *text, json_t **out)
{
    if (!zone_open(text))
        return "is no IANA time zone; write it like \"Europe/Vienna\"";
    *out = json_string(text);
    return NULL;
}

static const char *take_text(const char *text, json_t **out)
{
    if (strlen(text) > MAX_TEXT)
        return "is longer than 256 bytes";
    for (const char *p = text; *p; p++)
        if ((unsigned char)*p < ' ')
            return "has control characters";
    *out = json_string(text);
    return NULL;
}

static const struct {
    const char *name;
    const char *(*take)(const char *, json_t **);
} fields[] = {
    { "id", take_id },         { "email", take_email },  { "phone", take_phone }, { "locale", take_locale },
    { "timezone", take_zone }, { "account", take_text }, { "role", take_text },   { "persona", take_text },
};

static void take_channels(const json_t *list, const char *pointer, json_t *out, json_t *errors)
{
    size_t i, j;
    json_t *item;

    if (!json_is_array(list)) {
        problem_add(errors, pointer, "must be a list of %s, in the order the person prefers", CHANNEL_LIST);
        return;
    }
    json_array_foreach ((json_t *)list, i, item) {
        g_autofree char *at = g_strdup_printf("%s/%zu", pointer, i);
        if (!json_is_string(item) || !channel_letter(json_string_value(item)))
            problem_add(errors, at, "must be one of %s", CHANNEL_LIST);
        for (j = 0; j < i; j++)
            if (json_equal(item, json_array_get(list, j)))
                problem_add(errors, at, "stands in the list already");
    }
    json_object_set(out, "channels", (json_t *)list);
}

static void take_attributes(json_t *value, const char *pointer, json_t *out, json_t *errors)
{
    size_t size = json_is_object(value) ? json_dumpb(value, NULL, 0, JSON_COMPACT) : 0;

    if (!json_is_object(value))
        problem_add(errors, pointer, "must be an object");
    else if (size > MAX_ATTRIBUTES)
        problem_add(errors, pointer, "is larger than 16 kB");
    else
        json_object_set(out, "attributes", value);
}

static const char *take_pause(const json_t *value)
{
    int64_t ms;
    return json_is_string(value) ? instant_parse(&ms, json_string_value(value)) : "must be an RFC 3339 time";
}

static const char *take_limit(const json_t *value)
{
    return json_is_integer(value) && json_integer_value(value) >= 0 && json_integer_value(value) <= 1000
               ? NULL
               : "must be a number from 0 to 1000";
}

/* Stands in what a GET answers, so it may come back; who sets it is recipient_merge(). */
static const char *take_mark(const json_t *value)
{
    return json_is_boolean(value) ? NULL : "must be true or false";
}

/* What people choose for themselves, besides channels and consent. */
static void take_preferences(json_t *value, const char *pointer, json_t *out, json_t *errors)
{
    static const struct {
        const char *name, *(*check)(const json_t *);
    } known[] = { { "pause_until", take_pause }, { "max_per_week", take_limit }, { "own_channels", take_mark } };
    const char *key;
    json_t *item;

    if (!json_is_object(value))
        problem_add(errors, pointer, "must be an object with pause_until and max_per_week");
    json_object_foreach (value, key, item) {
        g_autofree char *at = g_strdup_printf("%s/%s", pointer, key);
        const char *why = "is unknown; there are pause_until and max_per_week";
        for (size_t i = 0; i < G_N_ELEMENTS(known); i++)
            if (strcmp(known[i].name, key) == 0)
                why = json_is_null(item) ? NULL : known[i].check(item);
        if (why)
            problem_add(errors, at, "%s", why);
    }
    json_object_set(out, "preferences", value);
}

static void take_field(const char *key, json_t *value, const char *pointer, json_t *out, json_t *errors)
{
    for (size_t i = 0; i < G_N_ELEMENTS(fields); i++) {
        json_t *taken = NULL;
        if (strcmp(fields[i].name, key) != 0)
            continue;
        const char *why = json_is_string(value) ? fields[i].take(json_string_value(value), &taken) : "must be a text";
        if (why)
            problem_add(errors, pointer, "%s", why);
        else
            json_object_set_new(out, key, taken);
        return;
    }
    problem_add(errors, pointer,
                "is unknown; a recipient has id, email, phone, locale, timezone, account, role, persona, channels, "
                "preferences and attributes");
}

json_t *recipient_check(const json_t *in, const char *at, json_t *errors)
{
    json_t *out = json_object(), *value;
    const char *key;

    if (!json_is_object(in)) {
        problem_add(errors, at, "must be a recipient: an object with an id");
        return out;
    }
    json_object_foreach ((json_t *)in, key, value) {
        g_autofree char *pointer = g_strdup_printf("%s/%s", at, key);
        if (json_is_null(value) && strcmp(key, "id") != 0)
            json_object_set(out, key, value);
        else if (strcmp(key, "channels") == 0)
            take_channels(value, pointer, out, errors);
        else if (strcmp(key, "attributes") == 0)
            take_attributes(value, pointer, out, errors);
        else if (strcmp(key, "preferences") == 0)
            take_preferences(value, pointer, out, errors);
        else
            take_field(key, value, pointer, out, errors);
    }
    return out;
}

/* RFC 7396 */
static void merge(json_t *into, const json_t *patch)
{
    const char *key;
    json_t *value;

    json_object_foreach ((json_t *)patch, key, value) {
        json_t *old = json_object_get(into, key);
        if (json_is_null(value))
            json_object_del(into, key);
        else if (json_is_object(value) && json_is_object(old))
            merge(old, value);
        else
            json_object_set_new(into, key, json_deep_copy(value));
    }
}

/* What a company's system may not change of what the person has chosen is taken out of its patch. */
static json_t *without_own(const json_t *profile, const json_t *patch)
{
    json_t *rest = json_copy((json_t *)patch), *own = json_object_get(profile, "preferences"), *kept, *value;
    const char *key;

    if (json_is_true(json_object_get(own, "own_channels")))
        json_object_del(rest, "channels");
    if (!json_object_get(patch, "preferences"))
        return rest;
    json_object_set_new(rest, "preferences", kept = json_object());
    json_object_foreach (json_object_get(patch, "preferences"), key, value)
        if (!json_object_get(own, key) && strcmp(key, "own_channels") != 0)
            json_object_set(kept, key, value);
    return rest;
}

static json_t *own_part(const json_t *profile)
{
    json_t *own = json_object(), *preferences = json_object_get(profile, "preferences");

    if (preferences)
        json_object_set(own, "preferences", preferences);
    if (json_is_true(json_object_get(preferences, "own_channels")))
        json_object_set(own, "channels", json_object_get(profile, "channels"));
    return own;
}

char *recipient_merge(const char *stored, const json_t *patch, enum merge how)
{
    json_t *profile = *stored ? json_loads(stored, 0, NULL) : NULL;

    if (!profile)
        profile = json_object();
    json_auto_t *rest = how == MERGE_PERSON ? json_incref((json_t *)patch) : without_own(profile, patch);
    json_auto_t *base = how == MERGE_WHOLE ? own_part(profile) : json_deep_copy(profile);
    json_decref(profile);
    merge(base, rest);
    char *text = json_dumps(base, JSON_COMPACT | JSON_SORT_KEYS);
    if (strcmp(text, stored) == 0)
        text[0] = '\0';
    return text;
}
