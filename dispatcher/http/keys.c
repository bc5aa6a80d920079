#include "dispatcher/http/keys.h"

#include <glib.h>
#include <openssl/crypto.h>
#include <string.h>

#include "dispatcher/config/settings.h"
#include "dispatcher/http/http.h"

struct keys {
    int count;
    struct key key[];
};

static void digest_of(char digest[static 65], const char *secret)
{
    g_autofree char *hex = g_compute_checksum_for_string(G_CHECKSUM_SHA256, secret, -1);
    g_strlcpy(digest, hex, 65);
}

static int scopes_of(const json_t *names)
{
    static const struct {
        const char *name;
        enum scope scope;
    } scopes[] = { { "enqueue", SCOPE_ENQUEUE }, { "read", SCOPE_READ }, { "manage", SCOPE_MANAGE } };
    json_t *item;
    size_t i;
    int bits = 0;

    json_array_foreach ((json_t *)names, i, item)
        for (size_t s = 0; s < G_N_ELEMENTS(scopes); s++)
            if (strcmp(json_string_value(item), scopes[s].name) == 0)
                bits |= (int)scopes[s].scope;
    return bits;
}

struct keys *keys_read(const json_t *list)
{
    struct keys *k = g_malloc0(sizeof *k + json_array_size(list) * sizeof k->key[0]);
    json_t *item;
    size_t i;

    json_array_foreach ((json_t *)list, i, item) {
        struct key *key = &k->key[k->count++];
        key->name = g_strdup(setting_text(item, "http.keys[].name"));
        key->scopes = scopes_of(json_object_get(item, "scopes"));
        digest_of(key->digest, setting_text(item, "http.keys[].secret"));
    }
    return k;
}

void keys_free(struct keys *k)
{
    for (int i = 0; k && i < k->count; i++)
        g_free(k->key[i].name);
    g_free(k);
}

bool keys_any(const struct keys *k)
{
    return k->count > 0;
}

const struct key *keys_find(const struct keys *k, const char *secret)
{
    char digest[65];

    if (!secret)
        return NULL;
    digest_of(digest, secret);
    for (int i = 0; i < k->count; i++)
        if (CRYPTO_memcmp(digest, k->key[i].digest, 64) == 0)
            return &k->key[i];
    return NULL;
}
