#include <stdlib.h>
#include <string.h>

#include "dispatcher/base/clock.h"
#include "dispatcher/base/ident.h"
#include "dispatcher/http/handlers.h"
#include "dispatcher/journeys/events.h"
#include "dispatcher/store/inbox.h"
#include "schedules/duration.h"
#include "schedules/instant.h"

#define SNOOZE_MOST_MS (365 * DAY_MS)

static struct inbox_of inbox_of(const struct request *r)
{
    return (struct inbox_of){ r->service->store, r->recipient, r->service->policy->inbox_keep_ms };
}

/* ---------------------------------------------------------------- list and count */

/* By which the tabs of one person know each other, and which tells nobody who that is. */
static json_t *whose(const struct request *r)
{
    const char *secret = r->service->store->secret;
    g_autofree char *hash =
        g_compute_hmac_for_string(G_CHECKSUM_SHA256, (const guchar *)secret, strlen(secret), r->recipient, -1);

    return json_stringn(hash, 16);
}

/* Who has this version already gets no other. */
static void on_read(void *arg, bool ok, json_t *result)
{
    struct request *r = arg;
    const char *known = request_header(r, "If-None-Match");

    if (!answer_unless_gone(r, ok))
        return;
    json_int_t version = json_integer_value(json_object_get(result, "version"));
    g_autofree char *tag = g_strdup_printf("\"%" JSON_INTEGER_FORMAT "\"", version);
    json_object_del(result, "next");
    if (json_object_get(result, "items"))
        json_object_set_new(result, "who", whose(r));
    answer_header(r, "ETag", tag);
    if (known && strcmp(known, tag) == 0)
        answer_text(r, 304, "application/json", "", 0);
    else
        answer_json(r, 200, result);
}

void get_inbox(struct request *r)
{
    const char *state = request_query(r, "state", "all"), *before = request_query(r, "before", "");
    struct inbox_of inbox = inbox_of(r);
    char *rest;
    long limit = strtol(request_query(r, "limit", "50"), &rest, 10);

    if (strcmp(state, "all") != 0 && strcmp(state, "unread") != 0 && strcmp(state, "archived") != 0)
        answer_problem(r, 400, "state is all, unread or archived");
    else if (*rest || limit < 1 || limit > 200 || before[strspn(before, "0123456789")] || strlen(before) > 15)
        answer_problem(r, 400, "limit lies between 1 and 200, before is the number of the page before");
    else
        inbox_list(&inbox, (int)limit, before, state, on_read, r);
}

void get_inbox_count(struct request *r)
{
    struct inbox_of inbox = inbox_of(r);
    inbox_count(&inbox, on_read, r);
}

/* ---------------------------------------------------------------- mark */

static void on_marked(void *arg, bool ok, json_t *result)
{
    struct request *r = arg;

    if (!answer_unless_gone(r, ok))
        return;
    if (!json_is_true(json_object_get(result, "known"))) {
        answer_problem(r, 404, "there is no card of this id in this inbox");
        return;
    }
    json_object_del(result, "known");
    json_object_del(result, "next");
    answer_json(r, 200, result);
}

/* {"until": version} of "all": what came since stays as it is.  False: the answer is given. */
static bool read_until(struct request *r, int64_t *until)
{
    json_auto_t *body = r->body->len ? request_json(r) : json_object();
    const json_t *value = json_object_get(body, "until");

    *until = json_integer_value(value);
    if (!body)
        return false;
    if (!value || (json_is_integer(value) && *until > 0))
        return true;
    answer_problem(r, 422, "until is the version of an inbox");
    return false;
}

static void mark(struct request *r, const char *op)
{
    bool all = strcmp(r->param[0], "all") == 0;
    struct inbox_of inbox = inbox_of(r);
    int64_t until = 0;

    if (!all || read_until(r, &until))
        inbox_mark(&inbox, op, all ? "*" : r->param[0], until, on_marked, r);
}

void post_inbox_read(struct request *r)
{
    mark(r, "read");
}

void post_inbox_unread(struct request *r)
{
    mark(r, "unread");
}

void post_inbox_seen(struct request *r)
{
    mark(r, "seen");
}

void post_inbox_archive(struct request *r)
{
    mark(r, "archive");
}

void post_inbox_unarchive(struct request *r)
{
    mark(r, "unarchive");
}

/* {"for": "1d"} or {"until": RFC 3339}: hidden, and not counted, until then. */
void post_inbox_snooze(struct request *r)
{
    json_auto_t *body = request_json(r);
    const char *span = json_string_value(json_object_get(body, "for")),
               *at = json_string_value(json_object_get(body, "until")), *why = NULL;
    struct inbox_of inbox = inbox_of(r);
    int64_t until = 0;

    if (!body)
        return;
    if (!span == !at)
        why = "send {\"for\": \"1d\"}, or {\"until\": a time}";
    else if (at)
        why = instant_parse(&until, at);
    else if (!(why = duration_parse(&until, span)))
        until += clock_now();
    if (why)
        answer_problem(r, 422, why);
    else if (until <= clock_now() || until > clock_now() + SNOOZE_MOST_MS)
        answer_problem(r, 422, "a card is snoozed for a year at most, and not into the past");
    else
        inbox_snooze(&inbox, r->param[0], until, on_marked, r);
}

/* ---------------------------------------------------------------- tickets */

struct ticketing {
    struct request *request;
    char ticket[MESSAGE_ID_SIZE];
};

static void on_ticket(void *arg, bool ok, json_t *nothing)
{
    struct ticketing *t = arg;
    json_auto_t *body = json_pack("{s:s}", "ticket", t->ticket);

    if (answer_unless_gone(t->request, ok))
        answer_json(t->request, 201, body);
    g_free(t);
}

void post_inbox_ticket(struct request *r)
{
    struct ticketing *t = g_new0(struct ticketing, 1);

    t->request = r;
    ident_make(t->ticket, 0, NULL, 0);
    store_ticket_put(r->service->store, t->ticket, r->recipient, r->expires_ms, on_ticket, t);
}

/* ---------------------------------------------------------------- answer */

/* {"answers": {"score": 4}} or {"answer": 4}: one of the card's choices. */
struct answering {
    struct request *request;
    json_t *answer, *totals;
};

static void answering_end(struct answering *a)
{
    json_decref(a->answer);
    json_decref(a->totals);
    g_free(a);
}

static void on_answer_event(void *arg, const struct intake_answer *answer)
{
    struct answering *a = arg;

    if (answer->status == 202)
        answer_json(a->request, 200, a->totals);
    else
        answer_json(a->request, answer->status, answer->body);
    answering_end(a);
}

/* The same answer again is the same event: it was given when it was. */
static void tell_answer(struct answering *a, const char *name, const char *when)
{
    struct request *r = a->request;
    g_autofree char *id = g_strdup_printf("answer/%s/%s", r->param[0], when),
                    *message = g_strndup(r->param[0], strcspn(r->param[0], "-"));
    json_auto_t *event = json_pack("{s:s, s:s, s:s, s:{s:s, s:O}}", "recipient", r->recipient, "name", name, "id", id,
                                   "data", "message", message, "answer", a->answer);

    if (json_is_number(a->answer))
        json_object_set(json_object_get(event, "data"), "score", a->answer);
    char *text = json_dumps(event, JSON_COMPACT);
    event_text(r->service, text, strlen(text), &(struct intake_origin){ .door = "inbox", .source = "" },
               on_answer_event, a);
    free(text);
}

static void on_answered(void *arg, bool ok, json_t *result)
{
    struct answering *a = arg;
    const char *text = json_string_value(json_object_get(result, "card"));
    json_auto_t *card = text ? json_loads(text, 0, NULL) : NULL;

    if (!answer_unless_gone(a->request, ok)) {
        answering_end(a);
    } else if (!json_is_true(json_object_get(result, "known"))) {
        answer_problem(a->request, text ? 409 : 404,
                       text ? "this card asks nothing" : "there is no card of this id in this inbox");
        answering_end(a);
    } else {
        g_autofree char *when = g_strdup(json_string_value(json_object_get(result, "answered")));
        json_object_del(result, "known");
        json_object_del(result, "card");
        json_object_del(result, "answered");
        json_object_del(result, "changed");
        json_object_del(result, "next");
        a->totals = json_incref(result);
        tell_answer(a, json_string_value(json_object_get(json_object_get(card, "answer"), "event")), when);
    }
}

static bool is_choice(const json_t *choices, const json_t *answer)
{
    json_t *one;
    size_t i;

    json_array_foreach ((json_t *)choices, i, one)
        if (json_equal(one, answer))
            return true;
    return false;
}

static void on_card(void *arg, bool ok, json_t *card)
{
    struct answering *a = arg;
    struct request *r = a->request;
    char *said = NULL;

    if (!answer_unless_gone(r, ok)) {
        answering_end(a);
    } else if (!card || !json_object_get(card, "answer")) {
        answer_problem(r, card ? 409 : 404,
                       card ? "this card asks nothing" : "there is no card of this id in this inbox");
        answering_end(a);
    } else if (!is_choice(json_object_get(json_object_get(card, "answer"), "choices"), a->answer)) {
        answer_problem(r, 422, "answer is none of the card's choices");
        answering_end(a);
    } else {
        said = json_dumps(a->answer, JSON_COMPACT | JSON_ENCODE_ANY);
        struct inbox_of inbox = inbox_of(r);
        inbox_answer(&inbox, r->param[0], said, on_answered, a);
        free(said);
    }
}

void post_inbox_answer(struct request *r)
{
    json_auto_t *body = request_json(r);
    const json_t *answer = json_object_get(body, "answer"), *answers = json_object_get(body, "answers");
    struct answering *a;

    if (!body)
        return;
    if (!answer && json_object_size(answers) == 1)
        answer = json_object_iter_value(json_object_iter((json_t *)answers));
    if (!json_is_string(answer) && !json_is_number(answer)) {
        answer_problem(r, 422, "send {\"answer\": one of the card's choices}");
        return;
    }
    a = g_new0(struct answering, 1);
    *a = (struct answering){ r, json_incref((json_t *)answer), NULL };
    struct inbox_of inbox = inbox_of(r);
    inbox_card(&inbox, r->param[0], on_card, a);
}
