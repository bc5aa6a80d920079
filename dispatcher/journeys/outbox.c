#include "dispatcher/journeys/outbox.h"

#include <glib.h>

#include "dispatcher/base/log.h"
#include "dispatcher/journeys/actor.h"
#include "dispatcher/journeys/events.h"
#include "dispatcher/store/places.h"
#include "schedules/run.h"

/* ---------------------------------------------------------------- a place is free again: whoever waits has their turn
 */

struct giving {
    struct service *service;
    int open;
    bool lost;
    said_fn *fn;
    void *arg;
};

static void giving_done(struct giving *g)
{
    if (--g->open > 0)
        return;
    g->fn(g->arg, !g->lost);
    g_free(g);
}

static void on_turned(void *arg, enum act_result result, const json_t *did)
{
    struct giving *g = arg;

    g->lost |= result != ACT_DONE;
    giving_done(g);
}

static void on_waiting(void *arg, bool ok, json_t *waiting)
{
    struct giving *g = arg;
    json_t *one;
    size_t i;

    g->lost = !ok;
    json_array_foreach (waiting, i, one) {
        g->open++;
        actor_act(g->service, &(struct act){ .kind = ACT_TURN, .recipient = json_string_value(one), .existing = true },
                  NULL, on_turned, g);
    }
    giving_done(g);
}

static void give(struct service *s, const char *account, const char *group, const char *owner, said_fn *fn, void *arg)
{
    struct giving *g = g_new0(struct giving, 1);

    *g = (struct giving){ .service = s, .open = 1, .fn = fn, .arg = arg };
    store_place_give(s->store, account, group, owner, true, on_waiting, g);
}

/* ---------------------------------------------------------------- an event of the account */

struct saying_event {
    said_fn *fn;
    void *arg;
};

static void on_event(void *arg, const struct intake_answer *answer)
{
    struct saying_event *job = arg;

    job->fn(job->arg, answer->status == 202);
    g_free(job);
}

static void tell_account(struct service *s, const char *account, json_t *event, said_fn *fn, void *arg)
{
    struct saying_event *job = g_new0(struct saying_event, 1);

    *job = (struct saying_event){ fn, arg };
    event_of_account(s, account, json_incref(event), on_event, job);
}

void outbox_say(struct service *s, const char *what, said_fn *fn, void *arg)
{
    json_auto_t *said = json_loads(what, 0, NULL);
    const char *account = kept_text(said, "account");

    if (*account && json_object_get(said, "event")) {
        tell_account(s, account, json_object_get(said, "event"), fn, arg);
    } else if (*account && json_object_get(said, "give")) {
        give(s, account, kept_text(said, "give"), kept_text(said, "owner"), fn, arg);
    } else {
        log_error("outbox.unreadable", "{s:s}", "what", what);
        fn(arg, true);
    }
}
