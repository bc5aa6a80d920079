/*
 * GET /v1/recipients/{id}/next-window?channel=&category=: when this person could
 * next be reached, and why not now.
 */
#include <string.h>

#include "dispatcher/base/clock.h"
#include "dispatcher/base/vocab.h"
#include "dispatcher/base/problem.h"
#include "dispatcher/base/ident.h"
#include "dispatcher/http/handlers.h"
#include "dispatcher/policy/reach.h"
#include "dispatcher/intake/intake.h"
#include "dispatcher/people/recipient.h"
#include "schedules/instant.h"
#include "dispatcher/store/people.h"

struct question {
    struct request *request;
    char category[65], letter;
};

static void on_profile(void *arg, const char *text)
{
    struct question *q = arg;
    const struct service *s = q->request->service;
    const struct category *category = policy_category(s->policy, q->category);
    json_auto_t *profile = text && *text ? json_loads(text, 0, NULL) : NULL;
    struct reach reach = { category, channel_of(q->letter), service_zone(s, profile), service_region(profile) };
    int64_t now = clock_now();
    const char *cause;
    char at[32];

    if (answer_unless_gone(q->request, text && category)) {
        int64_t until = policy_reach(s->policy, &reach, now, &cause);
        json_auto_t *answer = json_pack("{s:s, s:s, s:s, s:s, s:b}", "recipient", q->request->param[0], "channel",
                                        channel_name(q->letter), "category", q->category, "timezone",
                                        zone_name(reach.zone), "now", until == 0);
        json_object_set_new(answer, "at",
                            until < 0 ? json_null() : json_string(instant_format(at, until ? until : now)));
        json_object_set_new(answer, "cause", until ? json_string(cause) : json_null());
        answer_json(q->request, 200, answer);
    }
    g_free(q);
}

void get_next_window(struct request *r)
{
    const char *channel = request_query(r, "channel", ""), *category = request_query(r, "category", "");
    json_t *errors = json_array();

    if (!ident_good(r->param[0]))
        problem_add(errors, "/id", "must be 1 to 128 letters, digits and . _ ~ @ + -");
    if (!channel_letter(channel))
        problem_add(errors, "/channel", "must be one of %s", CHANNEL_LIST);
    if (!policy_category(r->service->policy, category))
        problem_add(errors, "/category", "names no category of the configuration");
    if (json_array_size(errors)) {
        json_auto_t *problem = problem_make(422, "the question cannot be answered", errors);
        answer_json(r, 422, problem);
        return;
    }
    json_decref(errors);
    struct question *q = g_new0(struct question, 1);
    q->request = r;
    q->letter = channel_letter(channel);
    g_strlcpy(q->category, category, sizeof q->category);
    store_profile(r->service->store, r->param[0], on_profile, q);
}
