#include "dispatcher/journeys/outbox.h"

#include <glib.h>

#include "dispatcher/base/log.h"
#include "dispatcher/journeys/actor.h"
#include "dispatcher/journeys/events.h"
#include "dispatcher/people/consent.h"
#include "dispatcher/people/erasure.h"
#include "dispatcher/store/places.h"
#include "schedules/instant.h"
#include "schedules/run.h"

struct telling {
    said_fn *fn;
    void *arg;
};

static struct telling *telling_new(said_fn *fn, void *arg)
{
    struct telling *t = g_new0(struct telling, 1);

    *t = (struct telling){ fn, arg };
    return t;
}

static void told(struct telling *t, bool ok)
{
    t->fn(t->arg, ok);
    g_free(t);
}

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

static void on_event(void *arg, const struct intake_answer *answer)
{
    told(arg, answer->status == 202);
}

/* ---------------------------------------------------------------- who was erased had been merged */

static void on_forgotten(void *arg, enum act_result result, const json_t *did)
{
    told(arg, result == ACT_DONE);
}

static void on_done(void *arg, bool ok, json_t *result)
{
    told(arg, ok);
}

/* Of who they were before: it holds for who they are. */
static void withdraw(struct service *s, const char *person, const json_t *what, said_fn *fn, void *arg)
{
    const char *channel = kept_text(what, "channel");
    json_auto_t *errors = json_array();
    char at[32];
    json_auto_t *entry =
        json_pack("{s:O, s:s?, s:s, s:s, s:s}", "category", json_object_get(what, "category"), "channel",
                  *channel == '*' ? "*" : channel_name(*channel), "state", "withdrawn", "source", "merge", "at",
                  instant_format(at, g_ascii_strtoll(kept_text(what, "at"), NULL, 10)));

    struct telling *job = telling_new(fn, arg);

    if (!consent_change(s, person, entry, "merge", errors, on_done, job))
        told(job, true); /* its category asks for no consent any more */
}

void outbox_say(struct service *s, const char *what, said_fn *fn, void *arg)
{
    json_auto_t *said = json_loads(what, 0, NULL);
    const char *account = kept_text(said, "account"), *person = kept_text(said, "person");

    if (*account && json_object_get(said, "event")) {
        event_of_account(s, account, json_incref(json_object_get(said, "event")), on_event, telling_new(fn, arg));
    } else if (*account && json_object_get(said, "to")) {
        store_place_pass(s->store, account, kept_text(said, "give"), kept_text(said, "owner"), kept_text(said, "to"),
                         on_done, telling_new(fn, arg));
    } else if (*account && json_object_get(said, "give")) {
        give(s, account, kept_text(said, "give"), kept_text(said, "owner"), fn, arg);
    } else if (*person && json_object_get(said, "forget")) {
        actor_act(s,
                  &(struct act){
                      .kind = ACT_FORGET, .recipient = person, .other = kept_text(said, "forget"), .existing = true },
                  NULL, on_forgotten, telling_new(fn, arg));
    } else if (*person && json_object_get(said, "withdraw")) {
        withdraw(s, person, json_object_get(said, "withdraw"), fn, arg);
    } else if (*person) {
        erase_person(s, person, on_done, telling_new(fn, arg));
    } else {
        log_error("outbox.unreadable", "{s:s}", "what", what);
        fn(arg, true);
    }
}
