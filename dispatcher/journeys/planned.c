#include "dispatcher/journeys/planned.h"

#include <glib.h>

#include "dispatcher/journeys/actor_own.h"
#include "schedules/duration.h"
#include "schedules/forecast.h"

#define AHEAD_MS (400 * DAY_MS)
#define MOST     100

struct planning {
    struct service *service;
    char recipient[129];
    struct view view;
    json_fn *fn;
    void *arg;
};

static void done(struct planning *p, bool ok, json_t *list)
{
    p->fn(p->arg, ok, list);
    view_clear(&p->view);
    g_free(p);
}

static json_t *planned(const json_t *one)
{
    const json_t *message = json_object_get(one, "message");
    char at[32];

    return json_pack("{s:b, s:s, s:O, s:O, s:O, s:O?, s:O?}", "forecast", 1, "at",
                     instant_format(at, kept_time(one, "at")), "sequence", json_object_get(one, "sequence"), "step",
                     json_object_get(one, "step"), "run", json_object_get(one, "run"), "template",
                     json_object_get(message, "template"), "channels", json_object_get(message, "channels"));
}

static void foresee(struct planning *p)
{
    struct thought t = { 0 };
    json_auto_t *list = json_array();

    if (thought_begin(&t, p->service, p->recipient, &p->view, NULL)) {
        json_auto_t *all = forecast(&t.situation, t.person, t.situation.now + AHEAD_MS, MOST);
        for (size_t i = 0; i < json_array_size(all); i++)
            json_array_append_new(list, planned(json_array_get(all, i)));
    }
    thought_clear(&t);
    done(p, true, list);
}

static void learn(struct planning *p);

static void on_definition(void *arg, const char *text)
{
    struct planning *p = arg;
    g_autofree char *version = view_unknown_version(&p->view, p->service->sequences);

    if (!text) {
        done(p, false, NULL);
        return;
    }
    if (version)
        sequences_learn(p->service->sequences, version, text);
    learn(p);
}

static void learn(struct planning *p)
{
    g_autofree char *version = view_unknown_version(&p->view, p->service->sequences);

    if (version)
        store_definition(p->service->store, version, on_definition, p);
    else
        foresee(p);
}

static void on_looked(void *arg, const struct seen_person *seen)
{
    struct planning *p = arg;

    if (!seen) {
        done(p, false, NULL);
        return;
    }
    view_take(&p->view, seen);
    learn(p);
}

void planned_list(struct service *s, const char *recipient, json_fn *fn, void *arg)
{
    struct planning *p = g_new0(struct planning, 1);

    *p = (struct planning){ .service = s, .fn = fn, .arg = arg };
    g_strlcpy(p->recipient, recipient, sizeof p->recipient);
    store_look(s->looks, p->recipient, on_looked, p);
}
