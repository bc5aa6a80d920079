#include "dispatcher/people/consent.h"

#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/base/clock.h"
#include "dispatcher/base/token.h"
#include "dispatcher/people/erasure.h"
#include "dispatcher/intake/intake.h"
#include "dispatcher/people/recipient.h"
#include "schedules/instant.h"

#define AHEAD_MS         300000 /* clocks may differ by five minutes */
#define CONFIRM_TEMPLATE "consent-confirmation"

static const char *text_of(const json_t *entry, const char *key, json_t *errors)
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

static void check_known(const json_t *entry, const char *const *known, json_t *errors)
{
    const char *key;
    json_t *value;

    json_object_foreach ((json_t *)entry, key, value)
        if (!g_strv_contains(known, key)) {
            g_autofree char *pointer = g_strconcat("/", key, NULL), *list = g_strjoinv(", ", (char **)known);
            problem_add(errors, pointer, "is unknown; there are %s", list);
        }
}

static int64_t instant_of(const json_t *entry, const char *key, int64_t fallback, json_t *errors)
{
    const char *text = text_of(entry, key, errors);
    g_autofree char *pointer = g_strconcat("/", key, NULL);
    int64_t ms = fallback;
    const char *why = text ? instant_parse(&ms, text) : NULL;

    if (why)
        problem_add(errors, pointer, "%s", why);
    return ms;
}

/* Categories that ask for no consent, as ",account,". */
static char *exempt_categories(const struct policy *p)
{
    GString *list = g_string_new(",");
    GHashTableIter i;
    struct category *c;

    g_hash_table_iter_init(&i, p->categories);
    while (g_hash_table_iter_next(&i, NULL, (void **)&c))
        if (c->consent == CONSENT_NONE)
            g_string_append_printf(list, "%s,", c->name);
    return g_string_free(list, FALSE);
}

static void check_category(struct service *s, const char *name, bool withdrawn, json_t *errors)
{
    const struct category *c = name && strcmp(name, "*") != 0 ? policy_category(s->policy, name) : NULL;

    if (!name)
        problem_add(errors, "/category", "is required; \"*\" stands for all");
    else if (strcmp(name, "*") != 0 && !c)
        problem_add(errors, "/category", "names no category of the configuration");
    else if (c && c->consent == CONSENT_NONE && withdrawn)
        problem_add(errors, "/category", "asks for no consent, so none can be withdrawn; suppress the address instead");
}

/* ---------------------------------------------------------------- double opt-in */

/* A grant of a category that must be confirmed, unless it comes from the person: "*" would go past the confirmation. */
static const struct category *to_confirm(const struct policy *p, const char *category, bool granted, const char *actor,
                                         json_t *errors)
{
    GHashTableIter i;
    const struct category *c;

    if (!category || !granted || strcmp(actor, "recipient") == 0)
        return NULL;
    c = policy_category(p, category);
    if (c)
        return c->consent == CONSENT_DOUBLE_OPT_IN ? c : NULL;
    g_hash_table_iter_init(&i, p->categories);
    while (g_hash_table_iter_next(&i, NULL, (void **)&c))
        if (c->consent == CONSENT_DOUBLE_OPT_IN)
            problem_add(errors, "/category", "must be named: %s asks the person to confirm", c->name);
    return NULL;
}

struct confirming {
    struct service *service;
    char recipient[129], category[65];
    int64_t expires_ms;
    json_fn *fn;
    void *arg;
};

static void on_asked_to_confirm(void *arg, const struct intake_answer *answer)
{
    struct confirming *c = arg;
    const char *id = json_string_value(json_object_get(answer->body, "id"));
    json_auto_t *result = json_pack("{s:b, s:o}", "pending", 1, "confirmation", id ? json_string(id) : json_null());

    if (!id) /* the template is missing, say: the grant stays pending, and the answer tells why */
        json_object_set(result, "problem", (json_t *)answer->body);
    c->fn(c->arg, answer->status != 503, result);
    g_free(c);
}

/* The service itself asks, in the person's language; the link lives as long as the category says. */
static void ask_to_confirm(struct confirming *c)
{
    struct token t = { .expires_ms = c->expires_ms };
    char at[32];

    g_strlcpy(t.recipient, c->recipient, sizeof t.recipient);
    g_strlcpy(t.category, c->category, sizeof t.category);
    g_autofree char *token = token_make(c->service->store->secret, TOKEN_CONFIRM, &t);
    g_autofree char *link = g_strdup_printf("%s/c/%s", c->service->public_url, token);
    json_auto_t *message = json_pack("{s:s, s:s, s:[s], s:{s:s, s:s, s:s}}", "recipient", c->recipient, "template",
                                     CONFIRM_TEMPLATE, "channels", "email", "data", "link", link, "category",
                                     c->category, "expires_at", instant_format(at, c->expires_ms));
    char *text = json_dumps(message, JSON_COMPACT);
    intake_text(c->service, text, strlen(text), &(struct intake_origin){ .door = "consent", .source = "tidings" },
                on_asked_to_confirm, c);
    free(text);
}

static void on_pending(void *arg, bool ok, json_t *result)
{
    struct confirming *c = arg;

    if (ok && json_object_get(result, "pending")) {
        ask_to_confirm(c);
        return;
    }
    c->fn(c->arg, ok, result); /* gone, or granted before */
    g_free(c);
}

static struct confirming *confirming_new(struct service *s, const char *recipient, const struct category *category,
                                         json_fn *fn, void *arg)
{
    struct confirming *c = g_new0(struct confirming, 1);

    *c = (struct confirming){
        .service = s, .expires_ms = clock_now() + category->confirm_within_ms, .fn = fn, .arg = arg
    };
    g_strlcpy(c->recipient, recipient, sizeof c->recipient);
    g_strlcpy(c->category, category->name, sizeof c->category);
    return c;
}

/* ---------------------------------------------------------------- changes */

bool consent_change(struct service *s, const char *recipient, const json_t *in, const char *actor, json_t *errors,
                    json_fn *fn, void *arg)
{
    static const char *const known[] = { "category", "channel", "state", "source", "evidence", "at", NULL };
    const char *category = text_of(in, "category", errors), *channel = text_of(in, "channel", errors),
               *state = text_of(in, "state", errors);
    const json_t *evidence = json_object_get(in, "evidence");
    int64_t now = clock_now(), at = instant_of(in, "at", now, errors);
    char at_text[32], recorded[32];

    check_known(in, known, errors);
    if (!state || (strcmp(state, "granted") != 0 && strcmp(state, "withdrawn") != 0))
        problem_add(errors, "/state", "must be granted or withdrawn");
    check_category(s, category, state && strcmp(state, "withdrawn") == 0, errors);
    if (!channel)
        channel = "*";
    if (strcmp(channel, "*") != 0 && !channel_letter(channel))
        problem_add(errors, "/channel", "must be email, sms, in_app or \"*\" for all");
    if (evidence && !json_is_object(evidence))
        problem_add(errors, "/evidence", "must be an object");
    if (at > now + AHEAD_MS)
        problem_add(errors, "/at", "lies in the future");
    const struct category *confirm =
        to_confirm(s->policy, category, state && strcmp(state, "granted") == 0, actor, errors);
    if (json_array_size(errors))
        return false;
    json_auto_t *entry = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "category", category, "channel", channel, "state",
                                   confirm ? "pending" : state, "at", instant_format(at_text, at), "recorded_at",
                                   instant_format(recorded, now), "actor", actor);
    const char *source = text_of(in, "source", errors);
    if (source)
        json_object_set_new(entry, "source", json_string(source));
    if (evidence)
        json_object_set(entry, "evidence", (json_t *)evidence);
    g_autofree char *exempt = exempt_categories(s->policy);
    struct consent_entry e = { .recipient = recipient,
                               .category = category,
                               .letter = strcmp(channel, "*") == 0 ? '*' : channel_letter(channel),
                               .state = confirm                           ? 'p'
                                        : strcmp(state, "withdrawn") == 0 ? 'w'
                                                                          : 'g',
                               .at = at,
                               .exempt = exempt,
                               .entry = entry };
    if (confirm)
        store_consent(s->store, &e, on_pending, confirming_new(s, recipient, confirm, fn, arg));
    else
        store_consent(s->store, &e, fn, arg);
    return true;
}

bool suppression_add(struct service *s, const char *address, const json_t *in, const char *actor, json_t *errors,
                     json_fn *fn, void *arg)
{
    static const char *const known[] = { "reason", "source", "expires_at", NULL };
    const char *reason = text_of(in, "reason", errors), *source = text_of(in, "source", errors);
    int64_t now = clock_now(), expires = instant_of(in, "expires_at", 0, errors);
    char at[32], until[32];

    check_known(in, known, errors);
    if (expires && expires <= now)
        problem_add(errors, "/expires_at", "lies in the past");
    if (json_array_size(errors))
        return false;
    json_auto_t *entry =
        json_pack("{s:s, s:s, s:s, s:s?}", "reason", reason ? reason : "manual", "source", source ? source : actor,
                  "at", instant_format(at, now), "expires_at", expires ? instant_format(until, expires) : NULL);
    store_suppress(s->store, address, entry, expires ? (int64_t)((double)(expires - now) / clock_rate()) + 1 : 0, fn,
                   arg);
    return true;
}

/* ---------------------------------------------------------------- release */

struct release {
    struct service *service;
    char address[ADDRESS_SIZE];
    bool buried;
    json_fn *fn;
    void *arg;
};

static void on_released(void *arg, bool ok, json_t *result)
{
    struct release *r = arg;

    if (r->buried && json_object_get(result, "removed"))
        json_object_set_new(result, "removed", json_true());
    r->fn(r->arg, ok, result);
    g_free(r);
}

static void on_unburied(void *arg, bool ok, json_t *result)
{
    struct release *r = arg;

    r->buried = json_is_true(json_object_get(result, "removed"));
    if (ok) {
        store_unsuppress(r->service->store, r->address, on_released, r);
        return;
    }
    r->fn(r->arg, false, NULL);
    g_free(r);
}

void suppression_remove(struct service *s, const char *address, json_fn *fn, void *arg)
{
    struct release *r = g_new0(struct release, 1);
    char tombstone[ADDRESS_SIZE];

    *r = (struct release){ .service = s, .fn = fn, .arg = arg };
    g_strlcpy(r->address, address, sizeof r->address);
    tombstone_of(s, address, tombstone);
    store_unsuppress(s->store, tombstone, on_unburied, r);
}
