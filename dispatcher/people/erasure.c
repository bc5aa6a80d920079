#include "dispatcher/people/erasure.h"

#include <glib.h>
#include <string.h>

#include "dispatcher/base/clock.h"
#include "schedules/instant.h"
#include "dispatcher/store/people.h"
#include "dispatcher/store/suppressions.h"
#include "dispatcher/store/dead.h"

void tombstone_of(const struct service *s, const char *address, char out[static ADDRESS_SIZE])
{
    const char *secret = s->store->secret ? s->store->secret : "";
    g_autofree char *salted = g_strconcat("tombstone\n", address, NULL);
    g_autofree char *hash =
        g_compute_hmac_for_string(G_CHECKSUM_SHA256, (const guchar *)secret, strlen(secret), salted, -1);

    g_snprintf(out, ADDRESS_SIZE, "~%.40s", hash);
}

struct erasing {
    struct service *service;
    char recipient[129];
    json_t *addresses; /* "email": "suppressed" or "kept" */
    GPtrArray *traces; /* texts that dead letters must not hold */
    int open;
    bool ok;
    json_fn *fn;
    void *arg;
};

/* One address, and whether somebody else has it. */
struct burying {
    struct erasing *erasing;
    const char *field;
    char key[ADDRESS_SIZE];
    int open;
    bool shared;
};

static void erasing_end(struct erasing *e, bool ok, json_t *result)
{
    if (result)
        json_object_set(result, "addresses", e->addresses);
    e->fn(e->arg, ok, result);
    json_decref(e->addresses);
    g_ptr_array_unref(e->traces);
    g_free(e);
}

static void on_erased(void *arg, bool ok, json_t *result)
{
    erasing_end(arg, ok, result);
}

static void on_dead_erased(void *arg, bool ok, json_t *result)
{
    struct erasing *e = arg;

    if (ok)
        store_erase(e->service->store, e->recipient, on_erased, e);
    else
        erasing_end(e, false, NULL);
}

static void step_done(struct erasing *e, bool ok)
{
    e->ok &= ok;
    if (--e->open > 0)
        return;
    if (e->ok)
        store_dead_erase(e->service->store, e->traces, on_dead_erased, e);
    else
        erasing_end(e, false, NULL);
}

static void on_tombstone(void *arg, bool ok, json_t *result)
{
    step_done(arg, ok);
}

static void burying_done(struct burying *b)
{
    struct erasing *e = b->erasing;
    char name[ADDRESS_SIZE], at[32];

    if (--b->open > 0)
        return;
    json_object_set_new(e->addresses, b->field, json_string(b->shared ? "kept" : "suppressed"));
    if (b->shared) {
        step_done(e, true);
    } else {
        json_auto_t *entry = json_pack("{s:s, s:s}", "reason", "erased", "at", instant_format(at, clock_now()));
        tombstone_of(e->service, b->key, name);
        store_forget_soft(e->service->store, b->key);
        store_suppress(e->service->store, name, entry, 0, on_tombstone, e);
    }
    g_free(b);
}

static void on_other(void *arg, const char *text)
{
    struct burying *b = arg;
    json_auto_t *profile = text && *text ? json_loads(text, 0, NULL) : NULL;
    const char *address = json_string_value(json_object_get(profile, b->field));
    char key[ADDRESS_SIZE];

    b->erasing->ok &= text != NULL;
    b->shared |= address && address_key(key, address) == NULL && strcmp(key, b->key) == 0;
    burying_done(b);
}

static void on_holders(void *arg, bool ok, json_t *holders)
{
    struct burying *b = arg;
    json_t *holder;
    size_t i;

    b->erasing->ok &= ok;
    json_array_foreach (holders, i, holder)
        if (strcmp(json_string_value(holder), b->erasing->recipient) != 0) {
            b->open++;
            store_profile(b->erasing->service->store, json_string_value(holder), on_other, b);
        }
    burying_done(b);
}

static void bury(struct erasing *e, const json_t *profile, const char *field)
{
    const char *address = json_string_value(json_object_get(profile, field));
    struct burying *b;
    char key[ADDRESS_SIZE];

    if (!address || address_key(key, address) != NULL)
        return;
    b = g_new0(struct burying, 1);
    *b = (struct burying){ .erasing = e, .field = field, .open = 1 };
    g_strlcpy(b->key, key, sizeof b->key);
    e->open++;
    g_ptr_array_add(e->traces, g_strdup(address));
    store_address_leave(e->service->store, key, e->recipient);
    store_address_holders(e->service->store, key, on_holders, b);
}

static void on_profile(void *arg, const char *text)
{
    struct erasing *e = arg;
    json_auto_t *profile = text && *text ? json_loads(text, 0, NULL) : NULL;

    e->ok = text != NULL;
    if (json_object_get(profile, "account"))
        store_account_leave(e->service->store, json_string_value(json_object_get(profile, "account")), e->recipient);
    for (int c = 0; c < CHANNEL_COUNT; c++)
        if (channel_rows[c].address)
            bury(e, profile, channel_rows[c].address);
    step_done(e, true);
}

void erase_person(struct service *s, const char *recipient, json_fn *fn, void *arg)
{
    struct erasing *e = g_new0(struct erasing, 1);

    *e = (struct erasing){ .service = s, .open = 1, .addresses = json_object(), .fn = fn, .arg = arg };
    e->traces = g_ptr_array_new_with_free_func(g_free);
    g_strlcpy(e->recipient, recipient, sizeof e->recipient);
    g_ptr_array_add(e->traces, g_strdup_printf("\"%s\"", recipient));
    store_profile(s->store, e->recipient, on_profile, e);
}
