#include "dispatcher/people/erasure.h"

#include <glib.h>
#include <string.h>

#include "dispatcher/base/clock.h"
#include "schedules/instant.h"

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
    int open;
    bool ok;
    json_fn *fn;
    void *arg;
};

static void on_tombstone(void *arg, bool ok, json_t *result)
{
    struct erasing *e = arg;

    e->ok &= ok;
    if (--e->open > 0)
        return;
    if (e->ok)
        store_erase(e->service->store, e->recipient, e->fn, e->arg);
    else
        e->fn(e->arg, false, NULL);
    g_free(e);
}

static void bury(struct erasing *e, const char *address)
{
    char key[ADDRESS_SIZE], name[ADDRESS_SIZE], at[32];
    json_auto_t *entry = json_pack("{s:s, s:s}", "reason", "erased", "at", instant_format(at, clock_now()));

    if (!address || address_key(key, address) != NULL)
        return;
    tombstone_of(e->service, key, name);
    store_forget_soft(e->service->store, key);
    e->open++;
    store_suppress(e->service->store, name, entry, 0, on_tombstone, e);
}

static void on_profile(void *arg, const char *text)
{
    struct erasing *e = arg;
    json_auto_t *profile = text && *text ? json_loads(text, 0, NULL) : NULL;

    e->ok = text != NULL;
    bury(e, json_string_value(json_object_get(profile, "email")));
    bury(e, json_string_value(json_object_get(profile, "phone")));
    on_tombstone(e, true, NULL);
}

void erase_person(struct service *s, const char *recipient, json_fn *fn, void *arg)
{
    struct erasing *e = g_new0(struct erasing, 1);

    *e = (struct erasing){ .service = s, .open = 1, .fn = fn, .arg = arg };
    g_strlcpy(e->recipient, recipient, sizeof e->recipient);
    store_profile(s->store, e->recipient, on_profile, e);
}
