#include "schedules/sight.h"

#include <glib.h>
#include <stdio.h>
#include <string.h>

/* Walks the rest of a path, "a.b.c", through objects; a new reference. */
static json_t *walk(const json_t *from, const char *rest)
{
    while (from && *rest) {
        const char *dot = strchrnul(rest, '.');
        from = json_object_getn(from, rest, (size_t)(dot - rest));
        rest = *dot ? dot + 1 : dot;
    }
    return from && !json_is_null(from) ? json_incref((json_t *)from) : NULL;
}

/* The path behind "word." or the word itself; NULL when it begins otherwise. */
static const char *behind(const char *path, const char *word)
{
    size_t n = strlen(word);

    if (strncmp(path, word, n) != 0 || (path[n] && path[n] != '.'))
        return NULL;
    return path[n] ? path + n + 1 : path + n;
}

static json_t *instant_value(int64_t ms)
{
    char text[32];
    return json_string(instant_format(text, ms));
}

static json_t *of_run(const struct run *r, const char *rest)
{
    if (!r)
        return NULL;
    if (strcmp(rest, "key") == 0)
        return *r->key ? json_string(r->key) : NULL;
    if (strcmp(rest, "started") == 0)
        return instant_value(r->started);
    if (strcmp(rest, "version") == 0)
        return json_string(r->version);
    if (strcmp(rest, "wave") == 0)
        return r->wave ? json_string(r->wave) : NULL;
    return strcmp(rest, "visit") == 0 ? json_integer(r->visit) : strcmp(rest, "id") == 0 ? json_string(r->id) : NULL;
}

static json_t *of_clock(const struct sight *s, const char *rest)
{
    static const char *const days[] = { "mon", "tue", "wed", "thu", "fri", "sat", "sun" };
    struct civil c;
    char text[48];

    zone_local(s->zone, s->now, &c);
    if (strcmp(rest, "date") == 0)
        snprintf(text, sizeof text, "%04d-%02d-%02d", c.year, c.month, c.day);
    else if (strcmp(rest, "time") == 0)
        snprintf(text, sizeof text, "%02d:%02d", c.hour, c.minute);
    else if (strcmp(rest, "weekday") == 0)
        return json_string(days[civil_weekday(&c)]);
    else
        return NULL;
    return json_string(text);
}

/* "marketing.email" */
static json_t *of_consent(const struct sight *s, const char *rest)
{
    const char *dot = strrchr(rest, '.');
    g_autofree char *category = dot ? g_strndup(rest, (size_t)(dot - rest)) : NULL;
    const char *said = category && s->consent ? s->consent(s->arg, category, dot + 1) : NULL;

    return said ? json_string(said) : NULL;
}

json_t *sight_find(const struct sight *s, const char *path)
{
    const char *rest;

    if ((rest = behind(path, "event")))
        return walk(s->event, rest);
    if ((rest = behind(path, "trigger.data")))
        return walk(s->run ? s->run->trigger : s->trigger, rest);
    if (strcmp(path, "recipient.id") == 0)
        return json_string(s->recipient);
    if ((rest = behind(path, "recipient")))
        return walk(s->profile, rest);
    if (strcmp(path, "account.id") == 0)
        return walk(s->profile, "account");
    if ((rest = behind(path, "steps")))
        return s->run ? walk(s->run->steps, rest) : NULL;
    if ((rest = behind(path, "run")))
        return of_run(s->run, rest);
    if ((rest = behind(path, "consent")))
        return of_consent(s, rest);
    if ((rest = behind(path, "now")))
        return of_clock(s, rest);
    return NULL;
}

static bool is_among(const char *word, const char *const *words)
{
    return word && g_strv_contains(words, word);
}

const char *sight_path_fault(const char *path)
{
    static const char *const of_run_words[] = { "id", "key", "started", "version", "wave", "visit", NULL },
                             *const clock[] = { "date", "time", "weekday", NULL },
                             *const person[] = { "id",   "email",   "phone",    "locale",      "timezone",   "account",
                                                 "role", "persona", "channels", "preferences", "attributes", NULL },
                             *const step[] = { "status", "reason", "message", "matched",    "event",
                                               "part",   "items",  "total",   "engagement", NULL };
    g_auto(GStrv) words = g_strsplit(path, ".", -1);
    const char *first = words[0] ? words[0] : "", *second = words[0] ? words[1] : NULL;

    if (g_strv_contains((const char *const *)words, ""))
        return "is no path: write words with single dots between them";
    if (strcmp(first, "event") == 0)
        return second ? NULL : "must name a field of the event's data, like event.amount";
    if (strcmp(first, "trigger") == 0)
        return second && strcmp(second, "data") == 0 && words[2] ? NULL : "must begin with trigger.data.";
    if (strcmp(first, "recipient") == 0)
        return is_among(second, person)
                   ? NULL
                   : "must name a field of a recipient, like recipient.role or recipient.attributes.name";
    if (strcmp(first, "steps") == 0)
        return second && is_among(words[2], step)
                   ? NULL
                   : "must be like steps.STEP.status, .reason, .message, .matched, .event.NAME, .part or .engagement";
    if (strcmp(first, "run") == 0)
        return is_among(second, of_run_words) && !words[2]
                   ? NULL
                   : "must be run.id, run.key, run.started, run.version, run.wave or run.visit";
    if (strcmp(first, "now") == 0)
        return is_among(second, clock) && !words[2] ? NULL : "must be now.date, now.time or now.weekday";
    if (strcmp(first, "account") == 0)
        return second && strcmp(second, "id") == 0 && !words[2] ? NULL : "must be account.id";
    if (strcmp(first, "consent") == 0)
        return second && words[2] ? NULL : "must be consent.CATEGORY.CHANNEL, like consent.marketing.email";
    return "must begin with event., trigger.data., recipient., account., consent., steps., run. or now.";
}
