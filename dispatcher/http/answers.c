#include "dispatcher/http/server_own.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/base/log.h"
#include "dispatcher/base/metrics.h"
#include "dispatcher/base/problem.h"
#include "dispatcher/base/text.h"
#include "dispatcher/intake/intake.h"

/* ---------------------------------------------------------------- answers */

void answer_queue(struct request *r)
{
    struct http_own *o = r->own;

    o->state = QUEUED;
    MHD_queue_response(o->connection, (unsigned)o->status, o->response);
}

/* Every answer passes here, once. */
static void answer(struct request *r, int status, struct MHD_Response *response)
{
    struct http_own *o = r->own;
    g_auto(GStrv) lines = g_strsplit(o->headers->str, "\n", 0);
    char labels[32];

    snprintf(labels, sizeof labels, "code=\"%d\"", status);
    metrics_add(METRIC_HTTP, labels, 1);
    for (char **line = lines; *line; line++) {
        char *colon = strchr(*line, ':');
        if (colon) {
            *colon = '\0';
            MHD_add_response_header(response, *line, colon + 2);
        }
    }
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    MHD_add_response_header(response, "Referrer-Policy", "no-referrer");
    if (!strstr(o->headers->str, "Cache-Control: "))
        MHD_add_response_header(response, "Cache-Control", o->stream ? "no-store, no-transform" : "no-store");
    if (status >= 400 && status != 404 && status != 422)
        MHD_add_response_header(response, "Connection", "close");
    o->status = status;
    o->response = response;
    if (!o->connection) { /* the client has gone */
        request_free(r);
        return;
    }
    o->state = ANSWERED;
    request_wake(r);
}

void answer_header(struct request *r, const char *name, const char *value)
{
    if (!strpbrk(value, "\r\n"))
        g_string_append_printf(r->own->headers, "%s: %s\n", name, value);
}

void answer_text(struct request *r, int status, const char *type, const char *text, size_t len)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(len, (void *)text, MHD_RESPMEM_MUST_COPY);

    MHD_add_response_header(response, "Content-Type", type);
    answer(r, status, response);
}

void answer_json(struct request *r, int status, const json_t *body)
{
    char *text = json_dumps(body, JSON_COMPACT | JSON_ENCODE_ANY);

    if (!text) { /* what lies in the store is none of ours */
        log_error("store.unreadable", "{s:s}", "path", r->path);
        answer_text(r, 500, "application/problem+json", "{\"status\":500,\"title\":\"Unreadable\"}", 35);
        return;
    }
    answer_text(r, status, status >= 400 ? "application/problem+json" : "application/json", text, strlen(text));
    free(text);
}

void answer_problem(struct request *r, int status, const char *detail)
{
    json_auto_t *problem = problem_make(status, detail, NULL);

    if (status == 503)
        answer_header(r, "Retry-After", "2");
    answer_json(r, status, problem);
}

void answer_intake(void *arg, const struct intake_answer *a)
{
    struct request *r = arg;

    if (a->replayed)
        answer_header(r, "Idempotency-Replayed", "true");
    if (a->status == 503)
        answer_header(r, "Retry-After", "2");
    answer_json(r, a->status, a->body);
}

bool answer_unless_gone(struct request *r, bool ok)
{
    if (!ok && script_failed())
        answer_problem(r, 500,
                       "the store could not do this; the log of the service says why, and trying again will not help");
    else if (!ok)
        answer_problem(r, 503, "the store does not answer; try again");
    return ok;
}

json_t *request_json(struct request *r)
{
    json_error_t error;
    json_t *json;

    if (request_header(r, "Content-Type") && !request_is(r, "application/json") &&
        !request_is(r, "application/merge-patch+json")) {
        answer_problem(r, 415, "send application/json");
        return NULL;
    }
    if (text_too_deep(r->body->str, r->body->len)) {
        answer_problem(r, 422, "the body is nested deeper than 32 levels");
        return NULL;
    }
    json = json_loadb(r->body->str, r->body->len, JSON_REJECT_DUPLICATES, &error);
    if (json_is_object(json))
        return json;
    json_decref(json);
    g_autofree char *why =
        json ? g_strdup("the body must be a JSON object")
             : g_strdup_printf("the body is no JSON: %s at line %d, column %d", error.text, error.line, error.column);
    answer_problem(r, 400, why);
    return NULL;
}

/* ---------------------------------------------------------------- streams */

#define STREAM_BLOCK 512         /* of memory that each stream has */
#define UNSENT_MOST  (16 * 1024) /* that a reader may leave unread */

static ssize_t on_stream_read(void *arg, uint64_t pos, char *buf, size_t max)
{
    struct request *r = arg;
    struct http_own *o = r->own;
    size_t n = MIN(max, o->unsent->len);

    if (n == 0 && o->ending)
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (n == 0) {
        if (!o->parked) {
            o->parked = true;
            MHD_suspend_connection(o->connection);
        }
        return 0;
    }
    memcpy(buf, o->unsent->str, n);
    g_string_erase(o->unsent, 0, (gssize)n);
    return (ssize_t)n;
}

void answer_stream(struct request *r, void (*on_closed)(void *), void *arg)
{
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK, on_stream_read, r, NULL);

    r->own->stream = true;
    r->own->on_closed = on_closed;
    r->own->closed_arg = arg;
    MHD_add_response_header(response, "Content-Type", "text/event-stream");
    MHD_add_response_header(response, "Connection", "close"); /* behind its end */
    answer(r, 200, response);
}

bool stream_send(struct request *r, const char *text)
{
    struct http_own *o = r->own;

    if (o->unsent->len > UNSENT_MOST)
        return false;
    g_string_append(o->unsent, text);
    if (o->connection)
        request_wake(r);
    return true;
}

/* A part of the first frame may be on its way. */
void stream_cut(struct request *r, const char *text)
{
    const char *end = strstr(r->own->unsent->str, "\n\n");

    if (end)
        g_string_truncate(r->own->unsent, (gsize)(end + 2 - r->own->unsent->str));
    g_string_append(r->own->unsent, text);
    if (r->own->connection)
        request_wake(r);
}

void stream_end(struct request *r)
{
    r->own->ending = true;
    if (r->own->connection)
        request_wake(r);
}
