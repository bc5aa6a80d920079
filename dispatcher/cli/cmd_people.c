#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "channels/address.h"
#include "dispatcher/cli/cli.h"
#include "dispatcher/base/problem.h"
#include "dispatcher/cli/import.h"
#include "dispatcher/journeys/double_opt_in.h"
#include "dispatcher/people/suppression.h"
#include "dispatcher/intake/intake.h"
#include "dispatcher/intake/message.h"
#include "dispatcher/people/erasure.h"
#include "dispatcher/people/profile.h"
#include "dispatcher/people/recipient.h"
#include "dispatcher/store/messages.h"
#include "dispatcher/store/people.h"
#include "dispatcher/store/suppressions.h"
#include "dispatcher/store/inbox.h"

static int print_answer(struct cli *c, struct cli_answer *a)
{
    cli_wait(c, a);
    json_auto_t *result = a->result;
    if (!a->ok)
        return cli_answer_failed();
    cli_print(result);
    return 0;
}

/* ---------------------------------------------------------------- recipient */

static void on_profile_answer(void *arg, const char *profile)
{
    on_cli_answer(arg, profile != NULL, NULL);
    if (profile && *profile)
        ((struct cli_answer *)arg)->result = json_loads(profile, 0, NULL);
}

static json_t *wait_for(struct cli *c, struct cli_answer *a, bool *ok)
{
    cli_wait(c, a);
    *ok &= a->ok;
    return a->result;
}

/* Everything held about a person, as one document. */
static int recipient_export(struct cli *c, const char *id)
{
    struct cli_answer profile = { 0 }, timeline = { 0 }, consents = { 0 }, inbox = { 0 };
    struct store *s = c->service->store;
    bool ok = true;

    store_profile(s, id, on_profile_answer, &profile);
    store_timeline(s, id, 100000, SHOW_TRACE, on_cli_answer, &timeline);
    store_consents(s, id, on_cli_answer, &consents);
    inbox_list(&(struct inbox_of){ s, id, c->service->policy->inbox_keep_ms }, 10000, "", "all", on_cli_answer, &inbox);
    json_auto_t *p = wait_for(c, &profile, &ok), *t = wait_for(c, &timeline, &ok), *l = wait_for(c, &consents, &ok),
                *i = wait_for(c, &inbox, &ok);
    if (!ok)
        return cli_answer_failed();
    json_auto_t *all = json_pack("{s:s, s:O?, s:O, s:O, s:O}", "id", id, "profile", p, "messages", t, "consents",
                                 json_object_get(l, "consents"), "inbox", json_object_get(i, "items"));
    cli_print(all);
    return 0;
}

static int recipient_show(struct cli *c, const char *id)
{
    struct cli_answer profile = { 0 }, timeline = { 0 };
    bool ok = true;

    store_profile(c->service->store, id, on_profile_answer, &profile);
    store_timeline(c->service->store, id, 1000, SHOW_BRIEF, on_cli_answer, &timeline);
    json_auto_t *p = wait_for(c, &profile, &ok), *t = wait_for(c, &timeline, &ok);
    if (!ok)
        return cli_answer_failed();
    bool unknown =
        !p && !json_array_size(json_object_get(t, "pending")) && !json_array_size(json_object_get(t, "past"));
    if (unknown)
        return cli_fail("there is no recipient %s", id);
    json_auto_t *all =
        json_pack("{s:s, s:O?, s:O, s:O, s:O}", "id", id, "profile", p, "pending", json_object_get(t, "pending"),
                  "past", json_object_get(t, "past"), "runs", json_object_get(t, "runs"));
    cli_print(all);
    return 0;
}

int cmd_recipient(struct cli *c)
{
    const char *what = c->argc ? c->argv[0] : "", *id = c->argc == 2 ? c->argv[1] : NULL;
    struct cli_answer a = { 0 };

    if (strcmp(what, "import") == 0 && c->argc <= 2)
        return import_run(c, c->argc == 2 ? c->argv[1] : "-", false);
    if (!id || !ident_good(id))
        return cli_usage(c, "needs import [FILE], or show, export or erase with a recipient's id");
    if (strcmp(what, "show") == 0)
        return recipient_show(c, id);
    if (strcmp(what, "export") == 0)
        return recipient_export(c, id);
    if (strcmp(what, "erase") != 0)
        return cli_usage(c, "\"%s\" is none of import, show, export and erase", what);
    erase_person(c->service, id, on_cli_answer, &a);
    return print_answer(c, &a);
}

/* ---------------------------------------------------------------- consent */

static char *opt_category, *opt_channel, *opt_source, *opt_at, *opt_reason, *opt_expires;
const GOptionEntry consent_options[] = {
    { "category", 0, 0, G_OPTION_ARG_STRING, &opt_category, "category, or * for all (default)", "C" },
    { "channel", 0, 0, G_OPTION_ARG_STRING, &opt_channel, "email, sms, in_app, or * for all (default)", "CH" },
    { "source", 0, 0, G_OPTION_ARG_STRING, &opt_source, "where it was given, like signup-form", "S" },
    { "at", 0, 0, G_OPTION_ARG_STRING, &opt_at, "when, RFC 3339 (default now)", "T" },
    { 0 },
};

static int print_errors(const json_t *errors)
{
    json_t *error = json_array_get(errors, 0);
    return cli_fail("%s %s", json_string_value(json_object_get(error, "pointer")),
                    json_string_value(json_object_get(error, "detail")));
}

int cmd_consent(struct cli *c)
{
    const char *what = c->argc ? c->argv[0] : "";
    struct cli_answer a = { 0 };
    json_auto_t *errors = json_array();

    if (c->argc != 2 || !ident_good(c->argv[1]))
        return cli_usage(c, "needs grant, withdraw or show, and a recipient's id");
    if (strcmp(what, "show") == 0) {
        store_consents(c->service->store, c->argv[1], on_cli_answer, &a);
        return print_answer(c, &a);
    }
    if (strcmp(what, "grant") != 0 && strcmp(what, "withdraw") != 0)
        return cli_usage(c, "\"%s\" is none of grant, withdraw and show", what);
    json_auto_t *entry =
        json_pack("{s:s, s:s, s:s, s:s}", "category", opt_category ? opt_category : "*", "channel",
                  opt_channel ? opt_channel : "*", "state", strcmp(what, "grant") == 0 ? "granted" : "withdrawn",
                  "source", opt_source ? opt_source : "command-line");
    if (opt_at)
        json_object_set_new(entry, "at", json_string(opt_at));
    if (!opt_in_change(c->service, c->argv[1], entry, "operator", errors, on_cli_answer, &a))
        return print_errors(errors);
    return print_answer(c, &a);
}

/* ---------------------------------------------------------------- suppression */

const GOptionEntry suppress_options[] = {
    { "reason", 0, 0, G_OPTION_ARG_STRING, &opt_reason, "why", "TEXT" },
    { "source", 0, 0, G_OPTION_ARG_STRING, &opt_source, "from where", "TEXT" },
    { "expires-at", 0, 0, G_OPTION_ARG_STRING, &opt_expires, "until when, RFC 3339", "T" },
    { 0 },
};

static int suppress_list(struct cli *c)
{
    struct cli_answer a = { 0 };
    json_t *item;
    size_t i;

    store_suppressions(c->service->store, on_cli_answer, &a);
    cli_wait(c, &a);
    json_auto_t *result = a.result;
    if (!a.ok)
        return cli_answer_failed();
    if (c->json)
        cli_print(result);
    else
        json_array_foreach (json_object_get(result, "suppressions"), i, item)
            printf("%-40s %-20s %s\n", json_string_value(json_object_get(item, "address")),
                   json_string_value(json_object_get(item, "reason")), json_string_value(json_object_get(item, "at")));
    return 0;
}

int cmd_suppress(struct cli *c)
{
    const char *what = c->argc ? c->argv[0] : "", *why;
    char key[ADDRESS_SIZE];
    struct cli_answer a = { 0 };
    json_auto_t *errors = json_array(), *entry = json_object();

    if (strcmp(what, "list") == 0 && c->argc == 1)
        return suppress_list(c);
    if (c->argc != 2 || (strcmp(what, "add") != 0 && strcmp(what, "remove") != 0))
        return cli_usage(c, "needs add ADDRESS, remove ADDRESS or list");
    if ((why = address_key(key, c->argv[1])))
        return cli_fail("the address %s", why);
    if (strcmp(what, "remove") == 0) {
        suppression_remove(c->service, key, on_cli_answer, &a);
        return print_answer(c, &a);
    }
    const char *const pairs[][2] = { { "reason", opt_reason },
                                     { "source", opt_source },
                                     { "expires_at", opt_expires } };
    for (size_t i = 0; i < G_N_ELEMENTS(pairs); i++)
        if (pairs[i][1])
            json_object_set_new(entry, pairs[i][0], json_string(pairs[i][1]));
    if (!suppression_add(c->service, key, entry, "operator", errors, on_cli_answer, &a))
        return print_errors(errors);
    return print_answer(c, &a);
}
