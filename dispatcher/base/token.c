#include "dispatcher/base/token.h"

#include <glib.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <string.h>

#define MAC_BYTES 16

static char *base64url(const guchar *bytes, gsize len)
{
    char *text = g_base64_encode(bytes, len);

    for (char *p = text; *p; p++)
        *p = *p == '+' ? '-' : *p == '/' ? '_' : *p;
    text[strcspn(text, "=")] = '\0';
    return text;
}

static guchar *unbase64url(const char *text, gsize len, gsize *out_len)
{
    GString *padded = g_string_new_len(text, (gssize)len);

    for (gsize i = 0; i < padded->len; i++)
        padded->str[i] = padded->str[i] == '-' ? '+' : padded->str[i] == '_' ? '/' : padded->str[i];
    while (padded->len % 4)
        g_string_append_c(padded, '=');
    guchar *bytes = g_base64_decode(padded->str, out_len);
    g_string_free(padded, TRUE);
    return bytes;
}

static char *mac_of(const char *secret, enum token_purpose purpose, const char *payload)
{
    guint8 digest[32];
    gsize len = sizeof digest;
    GHmac *hmac = g_hmac_new(G_CHECKSUM_SHA256, (const guchar *)secret, strlen(secret));
    g_autofree char *head = g_strdup_printf("tidings:v1:%c:", (char)purpose);

    g_hmac_update(hmac, (guchar *)head, -1);
    g_hmac_update(hmac, (const guchar *)payload, -1);
    g_hmac_get_digest(hmac, digest, &len);
    g_hmac_unref(hmac);
    return base64url(digest, MAC_BYTES);
}

char *token_make(const char *secret, enum token_purpose purpose, const struct token *t)
{
    g_autofree char *payload =
        g_strdup_printf("%s %s %" PRId64, t->recipient, *t->category ? t->category : "-", t->expires_ms);
    g_autofree char *mac = mac_of(secret, purpose, payload);
    g_autofree char *body = base64url((guchar *)payload, strlen(payload));

    return g_strconcat(body, ".", mac, NULL);
}

static bool payload_read(const char *payload, struct token *t)
{
    g_auto(GStrv) words = g_strsplit(payload, " ", 4);

    if (g_strv_length(words) != 3 || strlen(words[0]) >= sizeof t->recipient || strlen(words[1]) >= sizeof t->category)
        return false;
    g_strlcpy(t->recipient, words[0], sizeof t->recipient);
    g_strlcpy(t->category, strcmp(words[1], "-") == 0 ? "" : words[1], sizeof t->category);
    t->expires_ms = g_ascii_strtoll(words[2], NULL, 10);
    return true;
}

bool token_read(const char *secret, enum token_purpose purpose, const char *text, int64_t now_ms, struct token *t)
{
    const char *dot = strchr(text, '.');
    gsize len;

    if (!dot || strlen(text) > 512 ||
        text[strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")])
        return false;
    g_autofree guchar *bytes = unbase64url(text, (gsize)(dot - text), &len);
    g_autofree char *payload = g_strndup((char *)bytes, len);
    g_autofree char *mac = mac_of(secret, purpose, payload);
    g_autofree char *again = base64url((guchar *)payload, strlen(payload));
    if (strlen(mac) != strlen(dot + 1) || CRYPTO_memcmp(mac, dot + 1, strlen(mac)) != 0 ||
        strlen(again) != (gsize)(dot - text) || strncmp(again, text, strlen(again)) != 0)
        return false;
    return payload_read(payload, t) && (t->expires_ms == 0 || t->expires_ms > now_ms);
}
