#include "dispatcher/people/profile.h"

#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "channels/address.h"
#include "dispatcher/base/clock.h"
#include "dispatcher/people/recipient.h"
#include "dispatcher/people/turn.h"
#include "schedules/instant.h"
#include "schedules/zone.h"
#include "dispatcher/store/people.h"

#define RACES_MAX 64 /* with other processes; within this one people take turns */

/* ---------------------------------------------------------------- addresses */

static void claim_account(struct service *s, const char *recipient, const json_t *before, const json_t *after)
{
    const json_t *old = json_object_get(before, "account"), *new = json_object_get(after, "account");

    if (old && !json_equal(old, new))
        store_account_leave(s->store, json_string_value(old), recipient);
    if (new)
        store_account_join(s->store, json_string_value(new), recipient);
}

void profile_claim_addresses(struct service *s, const char *recipient, const char *was, const char *now)
{
    json_auto_t *before = *was ? json_loads(was, 0, NULL) : NULL, *after = json_loads(now, 0, NULL);

    claim_account(s, recipient, before, after);
    for (int c = 0; c < CHANNEL_COUNT; c++) {
        const char *field = channel_rows[c].address;
        const json_t *old = json_object_get(before, field), *new = json_object_get(after, field);
        char key[ADDRESS_SIZE];
        if (!field || json_equal(old, new))
            continue;
        if (old && address_key(key, json_string_value(old)) == NULL)
            store_address_leave(s->store, key, recipient);
        if (new &&address_key(key, json_string_value(new)) == NULL)
            store_address_claim(s->store, key, recipient);
    }
}

/* ---------------------------------------------------------------- local times */

struct replanning {
    struct service *service;
    const struct zone *zone;
    char recipient[129];
    turn_fn *fn;
    void *arg;
};

static void replanned(struct replanning *r)
{
    r->fn(r->arg);
    g_free(r);
}

static void on_replanned(void *arg, bool ok, json_t *result)
{
    replanned(arg);
}

static void on_civil(void *arg, bool ok, json_t *planned)
{
    struct replanning *r = arg;
    json_auto_t *moves = json_array();
    json_t *one;
    size_t i;

    json_array_foreach (planned, i, one) {
        struct civil local;
        if (civil_parse(&local, json_string_value(json_object_get(one, "local"))) != NULL)
            continue;
        int64_t at = MAX(zone_instant(r->zone, &local), clock_now());
        if (at != json_integer_value(json_object_get(one, "at")))
            json_array_append_new(moves, json_pack("{s:O, s:O, s:I}", "id", json_object_get(one, "id"), "was",
                                                   json_object_get(one, "at"), "at", (json_int_t)at));
    }
    if (json_array_size(moves))
        store_replan(r->service->store, r->recipient, moves, on_replanned, r);
    else
        replanned(r);
}

void profile_replan(struct service *s, const char *recipient, const char *was, const char *now, turn_fn *fn, void *arg)
{
    json_auto_t *before = *was ? json_loads(was, 0, NULL) : NULL, *after = json_loads(now, 0, NULL);
    const struct zone *zone = service_zone(s, after);
    struct replanning *r;

    if (zone == service_zone(s, before)) {
        fn(arg);
        return;
    }
    r = g_new0(struct replanning, 1);
    *r = (struct replanning){ .service = s, .zone = zone, .fn = fn, .arg = arg };
    g_strlcpy(r->recipient, recipient, sizeof r->recipient);
    store_civil(s->store, recipient, on_civil, r);
}

/* ---------------------------------------------------------------- changes */

struct change {
    struct service *service;
    char recipient[129];
    json_t *patch;
    enum profile_mode mode;
    bool in_turn; /* somebody else's, who ends it */
    char *was, *now;
    int races;
    profile_changed_fn *fn;
    void *arg;
};

static void done(struct change *c, enum profile_result result, const char *profile)
{
    struct service *s = c->service;
    g_autofree char *recipient = g_strdup(c->recipient);

    c->fn(c->arg, result, profile);
    bool in_turn = c->in_turn;
    json_decref(c->patch);
    g_free(c->was);
    free(c->now);
    g_free(c);
    if (!in_turn)
        turn_end(s, recipient);
}

static void on_stored(void *arg, const char *profile);

static void on_all_done(void *arg)
{
    struct change *c = arg;
    done(c, *c->was ? PROFILE_UPDATED : PROFILE_CREATED, c->now);
}

static void on_put(void *arg, const char *answer)
{
    struct change *c = arg;

    if (answer && strcmp(answer, "race") == 0 && c->races++ < RACES_MAX)
        store_profile(c->service->store, c->recipient, on_stored, c);
    else if (answer && strcmp(answer, "ok") == 0) {
        profile_replan(c->service, c->recipient, c->was, c->now, on_all_done, c);
    } else
        done(c, answer ? PROFILE_CONFLICT : PROFILE_GONE, NULL);
}

static void on_stored(void *arg, const char *profile)
{
    struct change *c = arg;

    if (!profile || (!*profile && c->mode == PROFILE_MERGE_EXISTING)) {
        done(c, profile ? PROFILE_MISSING : PROFILE_GONE, NULL);
        return;
    }
    g_free(c->was);
    free(c->now);
    c->was = g_strdup(profile);
    c->now = recipient_merge(profile, c->patch,
                             c->mode == PROFILE_REPLACE                              ? MERGE_WHOLE
                             : c->mode == PROFILE_MERGE || c->mode == PROFILE_IMPORT ? MERGE_PART
                                                                                     : MERGE_PERSON);
    if (*c->now)
        profile_claim_addresses(c->service, c->recipient, c->was, c->now);
    if (*c->now)
        store_profile_put(c->service->store, c->recipient, c->was, c->now, c->mode == PROFILE_IMPORT, on_put, c);
    else
        done(c, PROFILE_UNCHANGED, c->was);
}

static void begin(void *arg)
{
    struct change *c = arg;
    store_profile(c->service->store, c->recipient, on_stored, c);
}

static struct change *change_new(struct service *s, const char *recipient, json_t *patch, enum profile_mode mode,
                                 profile_changed_fn *fn, void *arg)
{
    struct change *c = g_new0(struct change, 1);

    *c = (struct change){ .service = s, .patch = patch, .mode = mode, .fn = fn, .arg = arg };
    g_strlcpy(c->recipient, recipient, sizeof c->recipient);
    return c;
}

void profile_change(struct service *s, const char *recipient, json_t *patch, enum profile_mode mode,
                    profile_changed_fn *fn, void *arg)
{
    turn_take(s, recipient, begin, change_new(s, recipient, patch, mode, fn, arg));
}

void profile_change_in_turn(struct service *s, const char *recipient, json_t *patch, enum profile_mode mode,
                            profile_changed_fn *fn, void *arg)
{
    struct change *c = change_new(s, recipient, patch, mode, fn, arg);

    c->in_turn = true;
    begin(c);
}
