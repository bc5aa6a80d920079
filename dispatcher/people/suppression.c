#include "dispatcher/people/suppression.h"

#include <glib.h>

#include "channels/address.h"
#include "dispatcher/base/clock.h"
#include "dispatcher/base/problem.h"
#include "dispatcher/people/entry.h"
#include "dispatcher/people/erasure.h"
#include "schedules/instant.h"
#include "dispatcher/store/suppressions.h"

bool suppression_add(struct service *s, const char *address, const json_t *in, const char *actor, json_t *errors,
                     json_fn *fn, void *arg)
{
    static const char *const known[] = { "reason", "source", "expires_at", NULL };
    const char *reason = entry_text(in, "reason", errors), *source = entry_text(in, "source", errors);
    int64_t now = clock_now(), expires = entry_instant(in, "expires_at", 0, errors);
    char at[32], until[32];

    entry_check_known(in, known, errors);
    if (expires && expires <= now)
        problem_add(errors, "/expires_at", "lies in the past");
    if (json_array_size(errors))
        return false;
    json_auto_t *entry =
        json_pack("{s:s, s:s, s:s, s:s?}", "reason", reason ? reason : "manual", "source", source ? source : actor,
                  "at", instant_format(at, now), "expires_at", expires ? instant_format(until, expires) : NULL);
    store_suppress(s->store, address, entry, expires ? (int64_t)((double)(expires - now) / clock_rate()) + 1 : 0, fn,
                   arg);
    return true;
}

/* ---------------------------------------------------------------- release */

struct release {
    struct service *service;
    char address[ADDRESS_SIZE];
    bool buried;
    json_fn *fn;
    void *arg;
};

static void on_released(void *arg, bool ok, json_t *result)
{
    struct release *r = arg;

    if (r->buried && json_object_get(result, "removed"))
        json_object_set_new(result, "removed", json_true());
    r->fn(r->arg, ok, result);
    g_free(r);
}

static void on_unburied(void *arg, bool ok, json_t *result)
{
    struct release *r = arg;

    r->buried = json_is_true(json_object_get(result, "removed"));
    if (ok) {
        store_unsuppress(r->service->store, r->address, on_released, r);
        return;
    }
    r->fn(r->arg, false, NULL);
    g_free(r);
}

void suppression_remove(struct service *s, const char *address, json_fn *fn, void *arg)
{
    struct release *r = g_new0(struct release, 1);
    char tombstone[ADDRESS_SIZE];

    *r = (struct release){ .service = s, .fn = fn, .arg = arg };
    g_strlcpy(r->address, address, sizeof r->address);
    tombstone_of(s, address, tombstone);
    store_unsuppress(s->store, tombstone, on_unburied, r);
}
