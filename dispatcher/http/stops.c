/*
 * Stops: what an operator has halted.
 */
#include "dispatcher/base/problem.h"
#include "dispatcher/carry/stops.h"
#include "dispatcher/http/handlers.h"

static void on_result(void *arg, bool ok, json_t *result)
{
    struct request *r = arg;

    if (answer_unless_gone(r, ok))
        answer_json(r, 200, result);
}

void get_stops(struct request *r)
{
    stops_list(r->service, on_result, r);
}

static const char *who(const struct request *r)
{
    return *r->caller ? r->caller : "http";
}

typedef bool change_fn(struct service *, const json_t *how, const char *who, json_t *errors, json_fn *, void *arg);

static void ask(struct request *r, change_fn *change, const char *refused)
{
    json_auto_t *how = request_json(r);
    json_t *errors = json_array();

    if (!how || change(r->service, how, who(r), errors, on_result, r)) {
        json_decref(errors);
        return;
    }
    json_auto_t *problem = problem_make(422, refused, errors);
    answer_json(r, 422, problem);
}

void post_stops(struct request *r)
{
    ask(r, stop_set, "nothing was stopped");
}

void post_cancellations(struct request *r)
{
    ask(r, stop_cancel, "nothing was cancelled");
}

static void on_lifted(void *arg, bool ok, json_t *result)
{
    struct request *r = arg;

    if (!answer_unless_gone(r, ok))
        return;
    if (json_is_true(json_object_get(result, "lifted")))
        answer_json(r, 200, result);
    else
        answer_problem(r, 404, "there is no such stop; GET /v1/stops lists those that stand");
}

void delete_stop(struct request *r)
{
    stop_lift(r->service, r->param[0], who(r), on_lifted, r);
}
