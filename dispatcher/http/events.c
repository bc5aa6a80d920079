#include <glib.h>
#include <stdlib.h>

#include "dispatcher/http/handlers.h"
#include "dispatcher/http/lines.h"
#include "dispatcher/journeys/bulk.h"
#include "dispatcher/journeys/events.h"
#include "dispatcher/journeys/funnel.h"
#include "dispatcher/journeys/sequences.h"
#include "dispatcher/journeys/standing.h"
#include "dispatcher/journeys/waves.h"
#include "dispatcher/base/problem.h"

static void on_line(void *arg, const struct intake_answer *a)
{
    json_t *answer = json_copy((json_t *)a->body);

    json_object_set_new(answer, "http_status", json_integer(a->status));
    line_answer(arg, answer);
}

static void take_line(struct request *r, const char *text, size_t len, struct line *line)
{
    event_text(r->service, text, len, &(struct intake_origin){ .door = "http", .source = r->caller }, on_line, line);
}

static void change_many(struct request *r, standing_fn *change);

void post_events(struct request *r)
{
    if (request_is(r, "application/x-ndjson"))
        answer_lines(r, take_line);
    else if (!request_is(r, "application/json"))
        answer_problem(r, 415, "send application/json in UTF-8, or application/x-ndjson for many");
    else
        event_text(r->service, r->body->str, r->body->len,
                   &(struct intake_origin){ .door = "http", .source = r->caller }, answer_intake, r);
}

static void enroll_line(struct request *r, const char *text, size_t len, struct line *line)
{
    event_enroll(r->service, r->param[0], text, len, false,
                 &(struct intake_origin){ .door = "http", .source = r->caller }, on_line, line);
}

/* {"where": …} is about many. */
static bool is_bulk(const struct request *r)
{
    json_auto_t *body = json_loadb(r->body->str, r->body->len, 0, NULL);
    return json_object_get(body, "where") && !json_object_get(body, "recipient");
}

void post_enroll(struct request *r)
{
    if (request_is(r, "application/x-ndjson"))
        answer_lines(r, enroll_line);
    else if (!request_is(r, "application/json"))
        answer_problem(r, 415, "send application/json in UTF-8, or application/x-ndjson for many");
    else if (is_bulk(r) && !(r->scopes & SCOPE_MANAGE))
        answer_problem(r, 403, "a condition asks about everybody: that needs the scope manage");
    else if (is_bulk(r))
        change_many(r, bulk_enroll);
    else
        event_enroll(r->service, r->param[0], r->body->str, r->body->len, false,
                     &(struct intake_origin){ .door = "http", .source = r->caller }, answer_intake, r);
}

void delete_runs(struct request *r)
{
    event_leave(r->service, r->param[0], r->param[1], answer_intake, r);
}

static void on_running(void *arg, bool ok, json_t *running)
{
    struct request *r = arg;
    json_auto_t *list = ok ? sequences_json(r->service->sequences, running) : NULL;

    if (answer_unless_gone(r, ok))
        answer_json(r, 200, list);
}

void get_sequences(struct request *r)
{
    store_running(r->service->store, on_running, r);
}

/* ---------------------------------------------------------------- how a sequence stands */

static void on_standing(void *arg, bool ok, json_t *figures)
{
    struct request *r = arg;

    json_t *lost = json_object_get(figures, "lost");

    if (!answer_unless_gone(r, ok)) {
    } else if (json_object_get(figures, "stale")) {
        answer_problem(r, 409, BULK_STALE);
    } else if (json_array_size(lost)) {
        char *which = json_dumps(lost, JSON_COMPACT);
        g_autofree char *detail =
            g_strdup_printf("the partitions %s did not answer, and may go by what was before: repeat it", which);
        answer_problem(r, 503, detail);
        free(which);
    } else {
        answer_json(r, 200, figures);
    }
}

/* Of a sequence whose file is gone the runs are still there. */
struct standing_request {
    struct request *request;
    standing_fn *change;
    json_t *how;
};

static void make_change(struct request *r, standing_fn *change, const json_t *how)
{
    json_auto_t *errors = json_array();

    if (!change(r->service, r->param[0], how, errors, on_standing, r)) {
        json_auto_t *problem = problem_make(422, "nothing was changed", json_incref(errors));
        answer_json(r, 422, problem);
    }
}

static void on_running_known(void *arg, bool ok, json_t *running)
{
    struct standing_request *s = arg;

    if (!answer_unless_gone(s->request, ok)) {
    } else if (json_object_get(running, s->request->param[0])) {
        make_change(s->request, s->change, s->how);
    } else {
        answer_problem(s->request, 404, "there is no sequence of this name");
    }
    json_decref(s->how);
    g_free(s);
}

static void change_standing(struct request *r, standing_fn *change)
{
    json_auto_t *how = r->body->len ? request_json(r) : json_object();
    struct standing_request *s;

    if (!how)
        return;
    if (sequences_find(r->service->sequences, r->param[0], NULL)) {
        make_change(r, change, how);
        return;
    }
    s = g_new0(struct standing_request, 1);
    *s = (struct standing_request){ r, change, json_incref(how) };
    store_running(r->service->store, on_running_known, s);
}

void post_pause(struct request *r)
{
    change_standing(r, standing_pause);
}

void post_resume(struct request *r)
{
    change_standing(r, standing_resume);
}

void post_migrate(struct request *r)
{
    change_standing(r, standing_migrate);
}

void post_stop(struct request *r)
{
    change_standing(r, standing_stop);
}

/* ---------------------------------------------------------------- many at once */

static void change_many(struct request *r, standing_fn *change)
{
    json_auto_t *how = request_json(r);

    if (how)
        make_change(r, change, how);
}

void post_exit(struct request *r)
{
    change_standing(r, bulk_exit);
}

/* ---------------------------------------------------------------- waves */

static void change_wave(struct request *r, standing_fn *change)
{
    const struct sequence *q = sequences_find(r->service->sequences, r->param[0], NULL);
    json_auto_t *how = r->body->len ? request_json(r) : json_object();

    if (!how)
        return;
    if (!q || !sequence_wave(q, r->param[1])) {
        answer_problem(r, 404, q ? "the sequence has no wave of this name" : "there is no sequence of this name");
        return;
    }
    json_object_set_new(how, "wave", json_string(r->param[1]));
    make_change(r, change, how);
}

void post_wave_open(struct request *r)
{
    change_wave(r, wave_open);
}

void post_wave_hold(struct request *r)
{
    change_wave(r, wave_hold);
}

static void on_waves(void *arg, bool ok, json_t *status)
{
    struct request *r = arg;

    if (answer_unless_gone(r, ok))
        answer_json(r, 200, status);
}

void get_waves(struct request *r)
{
    if (!waves_status(r->service, r->param[0], on_waves, r))
        answer_problem(r, 404, "there is no sequence of this name that has waves");
}

/* ---------------------------------------------------------------- the report */

static void on_counted(void *arg, bool ok, json_t *counted)
{
    struct request *r = arg;
    json_auto_t *report = ok ? funnel_make(r->param[0], counted, request_query(r, "version", NULL)) : NULL;

    if (!answer_unless_gone(r, ok))
        return;
    if (json_object_size(counted) == 0 && !sequences_find(r->service->sequences, r->param[0], NULL))
        answer_problem(r, 404, "there is no sequence of this name");
    else
        answer_json(r, 200, report);
}

void get_sequence_report(struct request *r)
{
    store_counted(r->service->store, r->param[0], on_counted, r);
}
