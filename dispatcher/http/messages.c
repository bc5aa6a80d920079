#include <stdlib.h>
#include <string.h>

#include "dispatcher/http/handlers.h"
#include "dispatcher/http/lines.h"
#include "dispatcher/intake/intake.h"
#include "dispatcher/store/cancelling.h"
#include "dispatcher/store/messages.h"
#include "dispatcher/store/listing.h"

/* ---------------------------------------------------------------- enqueue */

static void on_line(void *arg, const struct intake_answer *a)
{
    json_t *answer = json_copy((json_t *)a->body);

    json_object_set_new(answer, "http_status", json_integer(a->status));
    if (a->replayed)
        json_object_set_new(answer, "replayed", json_true());
    line_answer(arg, answer);
}

static void take_line(struct request *r, const char *text, size_t len, struct line *line)
{
    intake_text(r->service, text, len, &(struct intake_origin){ .door = "http", .source = r->caller }, on_line, line);
}

void post_messages(struct request *r)
{
    const char *key = request_header(r, "Idempotency-Key");

    if (request_is(r, "application/x-ndjson") && key)
        answer_problem(r, 400, "a header cannot be the key of many messages; write idempotency_key into each line");
    else if (request_is(r, "application/x-ndjson"))
        answer_lines(r, take_line);
    else if (!request_is(r, "application/json"))
        answer_problem(r, 415, "send application/json in UTF-8, or application/x-ndjson for many");
    else
        intake_text(r->service, r->body->str, r->body->len,
                    &(struct intake_origin){ .door = "http", .source = r->caller, .key = key }, answer_intake, r);
}

/* ---------------------------------------------------------------- read */

static void on_message(void *arg, bool ok, json_t *message)
{
    struct request *r = arg;

    if (!answer_unless_gone(r, ok))
        return;
    if (message)
        answer_json(r, 200, message);
    else
        answer_problem(r, 404, "there is no message of this id");
}

void get_message(struct request *r)
{
    store_show(r->service->store, r->param[0], SHOW_TRACE, on_message, r);
}

static void on_list(void *arg, bool ok, json_t *result)
{
    struct request *r = arg;
    if (answer_unless_gone(r, ok))
        answer_json(r, 200, result);
}

static int limit_of(struct request *r)
{
    const char *text = request_query(r, "limit", "100");
    char *end;
    long limit = strtol(text, &end, 10);

    return *end || limit < 1 || limit > 1000 ? 0 : (int)limit;
}

static struct message_filter filter_of(const struct request *r)
{
    return (struct message_filter){ request_query(r, "status", NULL),   request_query(r, "category", NULL),
                                    request_query(r, "template", NULL), request_query(r, "source", NULL),
                                    request_query(r, "tag", NULL),      request_query(r, "recipient", NULL) };
}

static bool has_left(void *arg)
{
    return request_left(arg);
}

void get_messages(struct request *r)
{
    const char *status = request_query(r, "status", NULL), *cursor = request_query(r, "cursor", NULL);
    struct message_filter filter = filter_of(r);

    if (!limit_of(r))
        answer_problem(r, 400, "limit must lie between 1 and 1000");
    else if (status && !status_known(status))
        answer_problem(r, 400, "status names no status of a message");
    else if (cursor && cursor[strspn(cursor, "0123456789.-")])
        answer_problem(r, 400, "cursor is none of ours; take the one of the page before");
    else
        store_list(r->service->store, &filter, limit_of(r), cursor, has_left, on_list, r);
}

/* ---------------------------------------------------------------- cancel */

static void on_cancelled(void *arg, bool ok, json_t *result)
{
    struct request *r = arg;

    if (!answer_unless_gone(r, ok))
        return;
    if (json_array_size(json_object_get(result, "unknown")))
        answer_problem(r, 404, "there is no message of this id");
    else
        answer_json(r, 200, result);
}

void delete_message(struct request *r)
{
    json_auto_t *ids = json_pack("[s]", r->param[0]);
    store_cancel_ids(r->service->store, ids, on_cancelled, r);
}
