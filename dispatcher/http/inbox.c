#include <stdlib.h>
#include <string.h>

#include "dispatcher/http/handlers.h"
#include "dispatcher/journeys/events.h"
#include "dispatcher/store/inbox.h"

/* ---------------------------------------------------------------- list and mark */

static void on_list(void *arg, bool ok, json_t *result)
{
    struct request *r = arg;
    if (answer_unless_gone(r, ok))
        answer_json(r, 200, result);
}

void get_inbox(struct request *r)
{
    const char *state = request_query(r, "state", "all"), *before = request_query(r, "before", "");
    char *rest;
    long limit = strtol(request_query(r, "limit", "50"), &rest, 10);

    if (strcmp(state, "all") != 0 && strcmp(state, "unread") != 0 && strcmp(state, "archived") != 0)
        answer_problem(r, 400, "state is all, unread or archived");
    else if (*rest || limit < 1 || limit > 200 || before[strspn(before, "0123456789")] || strlen(before) > 15)
        answer_problem(r, 400, "limit lies between 1 and 200, before is the number of the page before");
    else
        store_inbox_list(r->service->store, r->recipient, (int)limit, before, state, on_list, r);
}

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
    answer_json(r, 200, result);
}

static void mark(struct request *r, const char *op)
{
    store_inbox_mark(r->service->store, r->recipient, op, strcmp(r->param[0], "all") == 0 ? "*" : r->param[0],
                     on_marked, r);
}

void post_inbox_read(struct request *r)
{
    mark(r, "read");
}

void post_inbox_seen(struct request *r)
{
    mark(r, "seen");
}

void post_inbox_archive(struct request *r)
{
    mark(r, "archive");
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
        store_inbox_answer(r->service->store, r->recipient, r->param[0], said, on_answered, a);
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
    store_inbox_card(r->service->store, r->recipient, r->param[0], on_card, a);
}

/* ---------------------------------------------------------------- stream */

/* Who listens: recipient → list of parked requests. */
static void listener_remove(void *arg)
{
    struct request *r = arg;
    GHashTable *streams = *http_streams(r->server);
    GList *list = g_list_remove(g_hash_table_lookup(streams, r->recipient), r);

    if (list)
        g_hash_table_replace(streams, g_strdup(r->recipient), list);
    else
        g_hash_table_remove(streams, r->recipient);
}

static void listener_add(struct request *r)
{
    GHashTable **streams = http_streams(r->server);

    if (!*streams)
        *streams = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_hash_table_replace(*streams, g_strdup(r->recipient),
                         g_list_prepend(g_hash_table_lookup(*streams, r->recipient), r));
}

struct notice {
    struct http_server *server;
    char recipient[129];
};

/* Absolute counts with a version: a client that missed an event is right again with the next. */
static void on_counts(void *arg, bool ok, json_t *result)
{
    struct notice *n = arg;
    GHashTable *streams = *http_streams(n->server);

    if (ok && streams) {
        json_auto_t *event = json_pack("{s:O, s:O, s:O, s:O?}", "unread", json_object_get(result, "unread"), "unseen",
                                       json_object_get(result, "unseen"), "version", json_object_get(result, "version"),
                                       "latest", json_array_get(json_object_get(result, "items"), 0));
        char *text = json_dumps(event, JSON_COMPACT);
        g_autofree char *frame = g_strdup_printf("event: inbox\nid: %" JSON_INTEGER_FORMAT "\ndata: %s\n\n",
                                                 json_integer_value(json_object_get(result, "version")), text);
        free(text);
        for (GList *l = g_hash_table_lookup(streams, n->recipient); l; l = l->next)
            stream_send(l->data, frame);
    }
    g_free(n);
}

static void tell_counts(struct http_server *s, const char *recipient)
{
    struct notice *n = g_new0(struct notice, 1);

    n->server = s;
    g_strlcpy(n->recipient, recipient, sizeof n->recipient);
    store_inbox_list(http_service(s)->store, recipient, 1, "", "all", on_counts, n);
}

void inbox_published(struct http_server *s, const char *recipients)
{
    GHashTable *streams = *http_streams(s);
    g_auto(GStrv) list = streams ? g_strsplit(recipients, " ", 0) : NULL;

    for (char **one = list; one && *one; one++)
        if (g_hash_table_contains(streams, *one))
            tell_counts(s, *one);
}

#define STREAMS_A_PERSON 16

void get_inbox_stream(struct request *r)
{
    GHashTable *streams = *http_streams(r->server);
    guint own = streams ? g_list_length(g_hash_table_lookup(streams, r->recipient)) : 0;

    if (own >= STREAMS_A_PERSON || http_stream_count(r->server) >= http_stream_limit(r->server)) {
        for (GList *l = streams ? g_hash_table_lookup(streams, r->recipient) : NULL; l; l = l->next)
            stream_send(l->data, ": ping\n\n"); /* who has gone is only noticed by writing to it */
        answer_header(r, "Retry-After", "2");
        answer_problem(r, own >= STREAMS_A_PERSON ? 429 : 503,
                       own >= STREAMS_A_PERSON ? "this person has 16 streams already; close one"
                                               : "this service has as many streams as http.max_streams allows");
        return;
    }
    listener_add(r);
    answer_stream(r, listener_remove, r);
    stream_send(r, ": hello\n\n");
    inbox_published(r->server, r->recipient);
}
