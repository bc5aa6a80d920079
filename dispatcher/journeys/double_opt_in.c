#include "dispatcher/journeys/double_opt_in.h"

#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/base/clock.h"
#include "dispatcher/base/token.h"
#include "dispatcher/intake/intake.h"
#include "dispatcher/people/consent.h"
#include "schedules/instant.h"

#define CONFIRM_TEMPLATE "consent-confirmation"

struct confirming {
    struct service *service;
    char recipient[129], category[65];
    int64_t expires_ms; /* of the link */
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

static void on_recorded(void *arg, bool ok, json_t *result)
{
    struct confirming *c = arg;

    if (ok && *c->category && json_object_get(result, "pending")) {
        ask_to_confirm(c);
        return;
    }
    c->fn(c->arg, ok, result); /* gone, granted before, or nothing to confirm */
    g_free(c);
}

bool opt_in_change(struct service *s, const char *recipient, const json_t *entry, const char *actor, json_t *errors,
                   json_fn *fn, void *arg)
{
    const char *name = json_string_value(json_object_get(entry, "category"));
    const struct category *category = name ? policy_category(s->policy, name) : NULL;
    struct confirming *c = g_new0(struct confirming, 1);

    *c = (struct confirming){ .service = s, .fn = fn, .arg = arg };
    g_strlcpy(c->recipient, recipient, sizeof c->recipient);
    if (category) {
        g_strlcpy(c->category, category->name, sizeof c->category);
        c->expires_ms = clock_now() + category->confirm_within_ms;
    }
    if (consent_change(s, recipient, entry, actor, errors, on_recorded, c))
        return true;
    g_free(c);
    return false;
}
