#include "dispatcher/base/ident.h"

#include <assert.h>
#include <glib.h>
#include <stdint.h>
#include <string.h>

#include "dispatcher/base/vocab.h"
#include <sys/random.h>

static const char base32[] = "0123456789abcdefghjkmnpqrstvwxyz";

int partition_of(const char *name, int partitions)
{
    uint64_t hash = UINT64_C(14695981039346656037);

    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * UINT64_C(1099511628211);
    return (int)((hash ^ hash >> 32) % (unsigned)partitions);
}

void ident_make(char id[static MESSAGE_ID_SIZE], int partition, const char *seed, size_t seed_len)
{
    unsigned char bytes[32];

    if (seed) {
        gsize len = sizeof bytes;
        GChecksum *sum = g_checksum_new(G_CHECKSUM_SHA256);
        g_checksum_update(sum, (const guchar *)seed, (gssize)seed_len);
        g_checksum_get_digest(sum, bytes, &len);
        g_checksum_free(sum);
    } else {
        ssize_t n = getrandom(bytes, MESSAGE_ID_LEN, 0);
        assert(n == MESSAGE_ID_LEN);
    }
    id[0] = base32[partition >> 5 & 31];
    id[1] = base32[partition & 31];
    for (int i = 2; i < MESSAGE_ID_LEN; i++)
        id[i] = base32[bytes[i] & 31];
    id[MESSAGE_ID_LEN] = '\0';
}

int ident_partition(const char *id)
{
    if (strlen(id) != MESSAGE_ID_LEN || strspn(id, base32) != MESSAGE_ID_LEN)
        return -1;
    return (int)((strchr(base32, id[0]) - base32) << 5 | (strchr(base32, id[1]) - base32));
}

bool ident_delivery(const char *delivery, char message[static MESSAGE_ID_SIZE], char *letter)
{
    if (strlen(delivery) != MESSAGE_ID_LEN + 2 || delivery[MESSAGE_ID_LEN] != '-' ||
        !channel_name(delivery[MESSAGE_ID_LEN + 1]))
        return false;
    memcpy(message, delivery, MESSAGE_ID_LEN);
    message[MESSAGE_ID_LEN] = '\0';
    *letter = delivery[MESSAGE_ID_LEN + 1];
    return ident_partition(message) >= 0;
}

bool ident_good(const char *id)
{
    size_t len = strlen(id);

    if (len == 0 || len > 128 || strcmp(id, ".") == 0 || strcmp(id, "..") == 0)
        return false;
    for (; *id; id++)
        if (!g_ascii_isalnum(*id) && !strchr("._~@+-", *id))
            return false;
    return true;
}
