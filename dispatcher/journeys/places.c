#include "dispatcher/journeys/places.h"

#include <glib.h>
#include <string.h>

#include "dispatcher/store/journeys.h"
#include "dispatcher/store/places.h"
#include "schedules/duration.h"

#define HOPS_MOST 16
#define UNUSED_MS MINUTE_MS /* a place is used by then, or its owner has died on the way */

/* ---------------------------------------------------------------- asking */

struct asking_place {
    struct service *service;
    char *name, *home, *group, *owner, recipient[129], run[RUN_ID_SIZE];
    bool waits, again;
    int hops;
    placed_fn *fn;
    void *arg;
};

static void answer(struct asking_place *a, bool ok, bool has, int64_t again_ms)
{
    a->fn(a->arg, ok, has, again_ms);
    g_free(a->name);
    g_free(a->home);
    g_free(a->group);
    g_free(a->owner);
    g_free(a);
}

static void take(struct asking_place *a);

static void on_given_back(void *arg, bool ok, json_t *nothing)
{
    struct asking_place *a = arg;

    if (ok)
        take(a);
    else
        answer(a, false, false, -1);
}

static bool holds(const struct person_runs *p, const char *place)
{
    bool does = !p;

    for (guint i = 0; p && i < p->runs->len; i++)
        does |= g_strcmp0(((const struct run *)p->runs->pdata[i])->place, place) == 0;
    return does;
}

/* Whoever it was may be somebody else by now. */
static void on_owner(void *arg, const struct seen_person *owner)
{
    struct asking_place *a = arg;
    struct person_runs *p = owner ? person_read(owner->runs) : NULL;
    g_autofree char *now = p ? g_strdup(p->moved) : NULL;

    if (!owner) {
        answer(a, false, false, -1);
    } else if (holds(p, a->name) || a->hops > HOPS_MOST) {
        answer(a, true, false, -1);
    } else if (now) {
        a->hops++;
        store_look(a->service->looks, now, on_owner, a);
    } else {
        store_place_free(a->service->store, a->home, a->group, a->owner, UNUSED_MS, on_given_back, a);
    }
    person_free(p);
}

static void on_taken(void *arg, bool ok, bool has, const char *owner, int64_t ms)
{
    struct asking_place *a = arg;

    if (ok && !has && !*owner) {
        answer(a, true, false, a->waits ? PLACE_LINE : -1);
        return;
    }
    if (!ok || has || a->again || ms < UNUSED_MS) {
        answer(a, ok, has, !has && *owner && ms < UNUSED_MS ? UNUSED_MS - ms + SECOND_MS : -1);
        return;
    }
    a->again = true;
    a->owner = g_strdup(owner);
    store_look(a->service->looks, owner, on_owner, a);
}

static void take(struct asking_place *a)
{
    store_place_take(a->service->store, a->home, a->group, a->recipient, a->run, a->waits, on_taken, a);
}

void place_ask(struct service *s, const struct place *place, const char *recipient, placed_fn *fn, void *arg)
{
    struct asking_place *a = g_new0(struct asking_place, 1);
    const char *last = strrchr(place->name, '|') + 1;

    *a = (struct asking_place){ .service = s,
                                .name = g_strdup(place->name),
                                .home = g_strdup(place->home),
                                .group = g_strdup(last),
                                .waits = place->waits,
                                .fn = fn,
                                .arg = arg };
    g_strlcpy(a->recipient, recipient, sizeof a->recipient);
    g_strlcpy(a->run, place->run, sizeof a->run);
    if (g_str_has_prefix(place->name, "wave|"))
        store_place_in_wave(s->store, place->home, last, recipient, place->most, on_taken, a);
    else
        take(a);
}
