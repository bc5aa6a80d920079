#include "dispatcher/people/profile.h"

#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/people/recipient.h"

#define RACES_MAX 8

struct change {
    struct service *service;
    char recipient[129];
    json_t *patch;
    enum profile_mode mode;
    char *was, *now;
    int races;
    profile_changed_fn *fn;
    void *arg;
};

static void done(struct change *c, enum profile_result result, const char *profile)
{
    c->fn(c->arg, result, profile);
    json_decref(c->patch);
    g_free(c->was);
    free(c->now);
    g_free(c);
}

static void on_stored(void *arg, const char *profile);

static void on_put(void *arg, const char *answer)
{
    struct change *c = arg;

    if (answer && strcmp(answer, "race") == 0 && c->races++ < RACES_MAX)
        store_profile(c->service->store, c->recipient, on_stored, c);
    else if (answer && strcmp(answer, "ok") == 0)
        done(c, *c->was ? PROFILE_UPDATED : PROFILE_CREATED, c->now);
    else
        done(c, PROFILE_GONE, NULL);
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
    c->now = recipient_merge(profile, c->patch, c->mode == PROFILE_REPLACE);
    if (*c->now)
        store_profile_put(c->service->store, c->recipient, c->was, c->now, on_put, c);
    else
        done(c, PROFILE_UNCHANGED, c->was);
}

void profile_change(struct service *s, const char *recipient, json_t *patch, enum profile_mode mode,
                    profile_changed_fn *fn, void *arg)
{
    struct change *c = g_new0(struct change, 1);

    *c = (struct change){ .service = s, .patch = patch, .mode = mode, .fn = fn, .arg = arg };
    g_strlcpy(c->recipient, recipient, sizeof c->recipient);
    store_profile(s->store, c->recipient, on_stored, c);
}
