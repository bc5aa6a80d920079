#include <stdlib.h>
#include <string.h>

#include "channels/address.h"
#include "dispatcher/base/clock.h"
#include "dispatcher/base/problem.h"
#include "dispatcher/base/token.h"
#include "dispatcher/config/settings.h"
#include "dispatcher/journeys/merge.h"
#include "dispatcher/journeys/double_opt_in.h"
#include "dispatcher/people/suppression.h"
#include "dispatcher/people/erasure.h"
#include "dispatcher/http/handlers.h"
#include "dispatcher/journeys/planned.h"
#include "dispatcher/http/lines.h"
#include "dispatcher/intake/message.h"
#include "dispatcher/intake/intake.h"
#include "dispatcher/people/preferences.h"
#include "dispatcher/people/profile.h"
#include "dispatcher/people/recipient.h"
#include "schedules/instant.h"
#include "dispatcher/store/messages.h"
#include "dispatcher/store/people.h"
#include "dispatcher/store/suppressions.h"

static void on_result(void *arg, bool ok, json_t *result)
{
    struct request *r = arg;
    if (answer_unless_gone(r, ok))
        answer_json(r, 200, result);
}

static bool id_good(struct request *r)
{
    if (!ident_good(r->param[0]))
        answer_problem(r, 400, "a recipient's id has 1 to 128 letters, digits and . _ ~ @ + -");
    return ident_good(r->param[0]);
}

/* Takes errors. */
static void answer_errors(struct request *r, json_t *errors)
{
    json_auto_t *problem = problem_make(422, "the request was not accepted", errors);
    answer_json(r, 422, problem);
}

/* ---------------------------------------------------------------- recipients */

static void answer_profile(struct request *r, const char *text)
{
    json_auto_t *profile = json_loads(text, 0, NULL);
    answer_json(r, profile ? 200 : 500, profile);
}

static void on_changed(void *arg, enum profile_result result, const char *profile)
{
    struct request *r = arg;

    if (!answer_unless_gone(r, result != PROFILE_GONE))
        return;
    if (result == PROFILE_CONFLICT)
        answer_problem(r, 409, "other processes change this person all the time; try again");
    else if (result == PROFILE_MISSING)
        answer_problem(r, 404, "there is no recipient of this id; PUT makes one");
    else
        answer_profile(r, profile);
}

static void change_recipient(struct request *r, bool replace)
{
    json_auto_t *body = id_good(r) ? request_json(r) : NULL;
    json_auto_t *errors = json_array();

    if (!body)
        return;
    json_t *patch = recipient_check(body, "", errors);
    const char *id = json_string_value(json_object_get(patch, "id"));
    if (id && strcmp(id, r->param[0]) != 0)
        problem_add(errors, "/id", "is not the id of the address");
    json_object_set_new(patch, "id", json_string(r->param[0]));
    if (json_array_size(errors)) {
        json_decref(patch);
        answer_errors(r, json_incref(errors));
        return;
    }
    profile_change(r->service, r->param[0], patch, replace ? PROFILE_REPLACE : PROFILE_MERGE_EXISTING, on_changed, r);
}

void put_recipient(struct request *r)
{
    change_recipient(r, true);
}

void patch_recipient(struct request *r)
{
    change_recipient(r, false);
}

static void on_get(void *arg, const char *profile)
{
    struct request *r = arg;

    if (!answer_unless_gone(r, profile != NULL))
        return;
    if (*profile)
        answer_profile(r, profile);
    else
        answer_problem(r, 404, "there is no recipient of this id");
}

void get_recipient(struct request *r)
{
    if (id_good(r))
        store_profile(r->service->store, r->param[0], on_get, r);
}

void delete_recipient(struct request *r)
{
    if (id_good(r))
        erase_person(r->service, r->param[0], on_result, r);
}

void post_merge(struct request *r)
{
    json_auto_t *how = id_good(r) ? request_json(r) : NULL;

    if (how)
        merge_people(r->service, r->param[0], how, answer_intake, r);
}

/* The timeline, with what is planned. */
struct timeline_answer {
    struct request *request;
    json_t *timeline;
};

static void on_planned(void *arg, bool ok, json_t *planned)
{
    struct timeline_answer *t = arg;

    json_object_set(t->timeline, "planned", planned);
    on_result(t->request, ok, t->timeline);
    json_decref(t->timeline);
    g_free(t);
}

static void on_timeline(void *arg, bool ok, json_t *timeline)
{
    struct request *r = arg;
    struct timeline_answer *t;

    if (!ok) {
        on_result(r, false, NULL);
        return;
    }
    t = g_new0(struct timeline_answer, 1);
    *t = (struct timeline_answer){ r, json_incref(timeline) };
    planned_list(r->service, r->param[0], on_planned, t);
}

void get_timeline(struct request *r)
{
    if (id_good(r))
        store_timeline(r->service->store, r->param[0], 1000, SHOW_TRACE, on_timeline, r);
}

/* ---------------------------------------------------------------- preferences */

void get_choices(struct request *r)
{
    if (id_good(r))
        preferences_read(r->service, r->param[0], on_result, r);
}

static void on_chosen(void *arg, bool ok, json_t *result)
{
    struct request *r = arg;

    if (answer_unless_gone(r, ok))
        preferences_read(r->service, r->param[0], on_result, r);
}

void patch_choices(struct request *r)
{
    json_auto_t *wish = id_good(r) ? request_json(r) : NULL;
    json_t *errors = json_array();

    if (wish && preferences_change(r->service, r->param[0], wish, "api", errors, on_chosen, r))
        json_decref(errors);
    else if (wish)
        answer_errors(r, errors);
    else
        json_decref(errors);
}

void post_inbox_token(struct request *r)
{
    struct token t = { .expires_ms = clock_now() + setting_ms(r->service->config->root, "in_app.token") };
    char at[32];

    if (!id_good(r))
        return;
    g_strlcpy(t.recipient, r->param[0], sizeof t.recipient);
    g_autofree char *token = token_make(r->service->store->secret, TOKEN_INBOX, &t);
    json_auto_t *body = json_pack("{s:s, s:s}", "token", token, "expires_at", instant_format(at, t.expires_ms));
    answer_json(r, 201, body);
}

/* ---------------------------------------------------------------- consent */

void post_consent(struct request *r)
{
    json_auto_t *body = id_good(r) ? request_json(r) : NULL;
    json_auto_t *errors = json_array();

    if (!body)
        return;
    if (!opt_in_change(r->service, r->param[0], body, *r->caller ? r->caller : "api", errors, on_result, r))
        answer_errors(r, json_incref(errors));
}

static void on_consent_line(void *arg, bool ok, json_t *receipt)
{
    line_answer(arg, ok ? json_incref(receipt) : problem_make(503, "the store does not answer; try again", NULL));
}

static void consent_line(struct request *r, const char *text, size_t len, struct line *line)
{
    json_auto_t *errors = json_array(), *entry = message_parse(text, len, errors);
    g_autofree char *recipient = g_strdup(json_string_value(json_object_get(entry, "recipient")));

    if (entry && (!recipient || !ident_good(recipient)))
        problem_add(errors, "/recipient",
                    recipient ? "must be 1 to 128 letters, digits and . _ ~ @ + -" : "is required");
    json_object_del(entry, "recipient");
    if (json_array_size(errors) ||
        !opt_in_change(r->service, recipient, entry, *r->caller ? r->caller : "api", errors, on_consent_line, line))
        line_answer(line, problem_make(422, "the consent was not recorded", json_incref(errors)));
}

void post_consents(struct request *r)
{
    if (request_is(r, "application/x-ndjson"))
        answer_lines(r, consent_line);
    else
        answer_problem(r, 415, "send application/x-ndjson, a consent with its recipient on each line");
}

void get_consents(struct request *r)
{
    if (id_good(r))
        store_consents(r->service->store, r->param[0], on_result, r);
}

/* ---------------------------------------------------------------- suppression */

static bool address_good(struct request *r, char key[static ADDRESS_SIZE])
{
    const char *why = address_key(key, r->param[0]);
    g_autofree char *detail = why ? g_strconcat("the address ", why, NULL) : NULL;

    if (why)
        answer_problem(r, 400, detail);
    return !why;
}

void put_suppression(struct request *r)
{
    char key[ADDRESS_SIZE];
    json_auto_t *body = NULL, *errors = json_array();

    if (!address_good(r, key))
        return;
    body = r->body->len ? request_json(r) : json_object();
    if (!body)
        return;
    if (!suppression_add(r->service, key, body, *r->caller ? r->caller : "api", errors, on_result, r))
        answer_errors(r, json_incref(errors));
}

static void on_suppression(void *arg, bool ok, json_t *result)
{
    struct request *r = arg;

    if (!answer_unless_gone(r, ok))
        return;
    if (result)
        answer_json(r, 200, result);
    else
        answer_problem(r, 404, "this address is not suppressed");
}

void get_suppression(struct request *r)
{
    char key[ADDRESS_SIZE];
    if (address_good(r, key))
        store_suppression(r->service->store, key, on_suppression, r);
}

void delete_suppression(struct request *r)
{
    char key[ADDRESS_SIZE];
    if (address_good(r, key))
        suppression_remove(r->service, key, on_result, r);
}

void get_suppressions(struct request *r)
{
    store_suppressions(r->service->store, on_result, r);
}
