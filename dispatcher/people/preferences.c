#include "dispatcher/people/preferences.h"

#include <glib.h>
#include <string.h>

#include "dispatcher/base/vocab.h"
#include "dispatcher/base/problem.h"
#include "dispatcher/people/consent.h"
#include "dispatcher/people/profile.h"
#include "dispatcher/people/recipient.h"
#include "schedules/instant.h"
#include "dispatcher/store/people.h"

int64_t preferences_pause(const json_t *profile)
{
    const char *until = json_string_value(json_object_get(json_object_get(profile, "preferences"), "pause_until"));
    int64_t ms;

    return until && instant_parse(&ms, until) == NULL ? ms : 0;
}

bool preferences_want(const json_t *channels, char letter)
{
    json_t *item;
    size_t i;

    json_array_foreach ((json_t *)channels, i, item)
        if (json_is_string(item) && channel_letter(json_string_value(item)) == letter)
            return true;
    return !json_is_array(channels);
}

/* ---------------------------------------------------------------- reading */

struct reading {
    struct service *service;
    char recipient[129];
    json_t *profile;
    json_fn *fn;
    void *arg;
};

const json_t *preferences_entry(const json_t *ledger, const char *category)
{
    const json_t *newest = NULL;
    const char *at = "";
    json_t *entry;
    size_t i;

    json_array_foreach ((json_t *)ledger, i, entry) {
        const char *c = json_string_value(json_object_get(entry, "category")),
                   *when = json_string_value(json_object_get(entry, "effective_at"));
        if (!when)
            when = json_string_value(json_object_get(entry, "at"));
        if ((strcmp(c, category) == 0 || strcmp(c, "*") == 0) &&
            strcmp(json_string_value(json_object_get(entry, "channel")), "*") == 0 && strcmp(when, at) >= 0)
            newest = entry, at = when;
    }
    return newest;
}

static json_t *categories_of(const struct policy *p, const json_t *ledger)
{
    g_autoptr(GList) names = g_list_sort(g_hash_table_get_keys(p->categories), (GCompareFunc)strcmp);
    json_t *categories = json_object();

    for (GList *n = names; n; n = n->next) {
        const struct category *c = policy_category(p, n->data);
        const char *state = json_string_value(json_object_get(preferences_entry(ledger, c->name), "state"));
        if (c->consent != CONSENT_NONE)
            json_object_set_new(categories, c->name,
                                json_boolean(state ? strcmp(state, "granted") == 0 : c->consent == CONSENT_OPT_OUT));
    }
    return categories;
}

static void on_ledger(void *arg, bool ok, json_t *result)
{
    struct reading *r = arg;
    const json_t *own = json_object_get(r->profile, "preferences"), *channels = json_object_get(r->profile, "channels");
    const json_t *pause = json_object_get(own, "pause_until"), *limit = json_object_get(own, "max_per_week");
    json_auto_t *view = json_object();

    json_object_set_new(view, "channels", channels ? json_incref((json_t *)channels) : json_null());
    json_object_set_new(view, "categories", categories_of(r->service->policy, json_object_get(result, "consents")));
    json_object_set_new(view, "pause_until", pause ? json_incref((json_t *)pause) : json_null());
    json_object_set_new(view, "max_per_week", limit ? json_incref((json_t *)limit) : json_null());
    r->fn(r->arg, ok, view);
    json_decref(r->profile);
    g_free(r);
}

static void on_profile(void *arg, const char *text)
{
    struct reading *r = arg;

    if (!text) {
        r->fn(r->arg, false, NULL);
        g_free(r);
        return;
    }
    r->profile = *text ? json_loads(text, 0, NULL) : NULL;
    store_consents(r->service->store, r->recipient, on_ledger, r);
}

void preferences_read(struct service *s, const char *recipient, json_fn *fn, void *arg)
{
    struct reading *r = g_new0(struct reading, 1);

    *r = (struct reading){ .service = s, .fn = fn, .arg = arg };
    g_strlcpy(r->recipient, recipient, sizeof r->recipient);
    store_profile(s->store, r->recipient, on_profile, r);
}

/* ---------------------------------------------------------------- changing */

struct wish {
    struct service *service;
    char recipient[129];
    json_t *categories;
    char *source;
    int open;
    bool ok;
    json_fn *fn;
    void *arg;
};

static void wish_answered(struct wish *w, bool ok)
{
    w->ok &= ok;
    if (--w->open > 0)
        return;
    w->fn(w->arg, w->ok, NULL);
    json_decref(w->categories);
    g_free(w->source);
    g_free(w);
}

static void on_consent(void *arg, bool ok, json_t *receipt)
{
    wish_answered(arg, ok);
}

static void begin_consents(struct wish *w)
{
    const char *name;
    json_t *on;

    json_object_foreach (w->categories, name, on) {
        json_auto_t *entry = json_pack("{s:s, s:s, s:s, s:s}", "category", name, "channel", "*", "state",
                                       json_is_true(on) ? "granted" : "withdrawn", "source", w->source);
        json_auto_t *errors = json_array();
        w->open++;
        if (!consent_change(w->service, w->recipient, entry, "recipient", errors, on_consent, w))
            w->open--; /* it was checked before; a reload has taken the category away */
    }
}

static void on_changed(void *arg, enum profile_result result, const char *profile)
{
    struct wish *w = arg;

    bool ok = result != PROFILE_GONE && result != PROFILE_CONFLICT;

    if (ok)
        begin_consents(w);
    wish_answered(w, ok);
}

/* What of a wish lives in the profile. */
static json_t *patch_of(const json_t *wish, json_t *errors)
{
    static const char *const own[] = { "pause_until", "max_per_week" };
    json_auto_t *in = json_object();
    json_t *preferences = json_object();

    for (size_t i = 0; i < G_N_ELEMENTS(own); i++)
        if (json_object_get(wish, own[i]))
            json_object_set(preferences, own[i], json_object_get(wish, own[i]));
    json_object_set_new(in, "preferences", preferences);
    if (json_object_get(wish, "channels")) {
        json_object_set(in, "channels", json_object_get(wish, "channels"));
        json_object_set_new(preferences, "own_channels",
                            json_boolean(json_is_array(json_object_get(wish, "channels"))));
    }
    return recipient_check(in, "", errors);
}

static void check_wish(const struct policy *p, const json_t *wish, json_t *errors)
{
    static const char *const known[] = { "channels", "categories", "pause_until", "max_per_week", NULL };
    const json_t *categories = json_object_get(wish, "categories");
    const char *key;
    json_t *value;

    json_object_foreach ((json_t *)wish, key, value)
        if (!g_strv_contains(known, key)) {
            g_autofree char *pointer = g_strconcat("/", key, NULL);
            problem_add(errors, pointer, "is unknown; there are channels, categories, pause_until and max_per_week");
        }
    if (!json_is_object(wish) || (categories && !json_is_object(categories)))
        problem_add(errors, categories ? "/categories" : "", "must be an object");
    json_object_foreach ((json_t *)categories, key, value) {
        const struct category *c = policy_category(p, key);
        g_autofree char *pointer = g_strconcat("/categories/", key, NULL);
        if (c ? c->consent == CONSENT_NONE : !json_is_false(value)) /* what has left the configuration can be left */
            problem_add(errors, pointer, "names no category that can be chosen");
        else if (!json_is_boolean(value))
            problem_add(errors, pointer, "must be true or false");
    }
}

bool preferences_change(struct service *s, const char *recipient, const json_t *wish, const char *source,
                        json_t *errors, json_fn *fn, void *arg)
{
    check_wish(s->policy, wish, errors);
    json_t *patch = patch_of(wish, errors);

    if (json_array_size(errors)) {
        json_decref(patch);
        return false;
    }
    json_object_set_new(patch, "id", json_string(recipient));
    struct wish *w = g_new0(struct wish, 1);
    *w = (struct wish){ .service = s,
                        .categories = json_incref(json_object_get(wish, "categories")),
                        .source = g_strdup(source),
                        .open = 1,
                        .ok = true,
                        .fn = fn,
                        .arg = arg };
    g_strlcpy(w->recipient, recipient, sizeof w->recipient);
    profile_change(s, recipient, patch, PROFILE_PERSON, on_changed, w);
    return true;
}
