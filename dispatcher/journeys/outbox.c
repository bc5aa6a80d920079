#include "dispatcher/journeys/outbox.h"

#include <glib.h>

#include "dispatcher/base/log.h"
#include "dispatcher/journeys/actor.h"
#include "dispatcher/journeys/events.h"
#include "dispatcher/journeys/merge.h"
#include "dispatcher/people/erasure.h"
#include "dispatcher/store/places.h"
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

/* ---------------------------------------------------------------- a place is free again: the next one has their turn
 */

struct giving {
    struct service *service;
    char *account, *group;
    json_t *waiting;
    size_t next;
    said_fn *fn;
    void *arg;
};

static void giving_done(struct giving *g, bool ok)
{
    g->fn(g->arg, ok);
    json_decref(g->waiting);
    g_free(g->account);
    g_free(g->group);
    g_free(g);
}

static void give_next(struct giving *g);

/* Whoever did not take it waits for it no more. */
static void on_owner(void *arg, bool ok, json_t *owner)
{
    struct giving *g = arg;
    const char *last = json_string_value(json_array_get(g->waiting, g->next - 1));

    if (!ok || *kept_text(owner, "owner")) {
        giving_done(g, ok);
        return;
    }
    store_place_gone(g->service->store, g->account, last, g->group);
    give_next(g);
}

static void on_turned(void *arg, enum act_result result, const json_t *did)
{
    struct giving *g = arg;

    if (result == ACT_DONE)
        store_place_owner(g->service->store, g->account, g->group, on_owner, g);
    else
        giving_done(g, false);
}

static void give_next(struct giving *g)
{
    const char *recipient = json_string_value(json_array_get(g->waiting, g->next++));

    if (!recipient)
        giving_done(g, true);
    else
        actor_act(g->service, &(struct act){ .kind = ACT_TURN, .recipient = recipient, .existing = true }, NULL,
                  on_turned, g);
}

static void on_waiting(void *arg, bool ok, json_t *waiting)
{
    struct giving *g = arg;

    g->waiting = json_incref(waiting);
    if (ok)
        give_next(g);
    else
        giving_done(g, false);
}

static void give(struct service *s, const char *account, const json_t *said, said_fn *fn, void *arg)
{
    struct giving *g = g_new0(struct giving, 1);

    *g = (struct giving){
        .service = s, .account = g_strdup(account), .group = g_strdup(kept_text(said, "give")), .fn = fn, .arg = arg
    };
    store_place_give(s->store, account, g->group, kept_text(said, "owner"), kept_text(said, "run"), on_waiting, g);
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

/* Who had been erased was this one, too, unless they never came to be. */
struct erasing_if {
    struct service *service;
    char *person, *erased;
    said_fn *fn;
    void *arg;
};

static void on_same(void *arg, const struct seen_person *seen)
{
    struct erasing_if *e = arg;
    struct person_runs *p = seen ? person_read(seen->runs) : NULL;
    bool same = p && g_strcmp0(p->moved, e->erased) == 0;

    if (same)
        erase_person(e->service, e->person, on_done, telling_new(e->fn, e->arg));
    else
        e->fn(e->arg, seen != NULL);
    person_free(p);
    g_free(e->person);
    g_free(e->erased);
    g_free(e);
}

static void erase_if_come(struct service *s, const char *person, const char *erased, said_fn *fn, void *arg)
{
    struct erasing_if *e = g_new0(struct erasing_if, 1);

    *e = (struct erasing_if){ s, g_strdup(person), g_strdup(erased), fn, arg };
    store_look(s->looks, person, on_same, e);
}

/* Of who they were before: it holds for who they are. */
static void withdraw(struct service *s, const char *person, const json_t *what, said_fn *fn, void *arg)
{
    struct telling *job = telling_new(fn, arg);
    int64_t at = g_ascii_strtoll(kept_text(what, "at"), NULL, 10);

    if (!merge_withdraw(s, person, kept_text(what, "category"), *kept_text(what, "channel"), at, on_done, job))
        told(job, true); /* its category asks for no consent any more */
}

void outbox_say(struct service *s, const char *what, said_fn *fn, void *arg)
{
    json_auto_t *said = json_loads(what, 0, NULL);
    const char *account = kept_text(said, "account"), *person = kept_text(said, "person");

    if (*account && json_object_get(said, "event")) {
        event_of_account(s, account, json_incref(json_object_get(said, "event")), on_event, telling_new(fn, arg));
    } else if (*account && json_object_get(said, "to")) {
        store_place_pass(s->store, account, kept_text(said, "give"),
                         (struct place_owner){ kept_text(said, "owner"), kept_text(said, "run") },
                         (struct place_owner){ kept_text(said, "to"), kept_text(said, "to_run") }, on_done,
                         telling_new(fn, arg));
    } else if (*account && json_object_get(said, "give")) {
        give(s, account, said, fn, arg);
    } else if (*person && json_object_get(said, "forget")) {
        actor_act(s,
                  &(struct act){
                      .kind = ACT_FORGET, .recipient = person, .other = kept_text(said, "forget"), .existing = true },
                  NULL, on_forgotten, telling_new(fn, arg));
    } else if (*person && json_object_get(said, "withdraw")) {
        withdraw(s, person, json_object_get(said, "withdraw"), fn, arg);
    } else if (*person && json_object_get(said, "erase")) {
        if (json_is_true(json_object_get(said, "claim")))
            erase_if_come(s, person, kept_text(said, "erase"), fn, arg);
        else
            erase_person(s, person, on_done, telling_new(fn, arg));
    } else {
        log_error("outbox.unreadable", "{s:s}", "what", what);
        fn(arg, true);
    }
}
