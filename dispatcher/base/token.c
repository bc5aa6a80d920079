#include "dispatcher/base/token.h"

#include <assert.h>
#include <glib.h>
#include <inttypes.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <string.h>

/*
 *  token = base64url(nonce | AES-256-GCM(payload) | tag)
 *
 * The nonce is 96 bits of a keyed hash of purpose and payload: the same token for
 * the same meaning, and another nonce for another.  The purpose is authenticated
 * along with it.
 */
#define NONCE_BYTES 12
#define TAG_BYTES   16
#define PAYLOAD_MAX 256

/* Keyed contexts of the secret that was used last: keying costs ten times a token. */
struct keys {
    char *secret;
    EVP_MAC_CTX *mac;
    EVP_CIPHER_CTX *seal, *open;
};

static EVP_MAC_CTX *mac_new(const void *key, size_t len)
{
    OSSL_PARAM params[] = { OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0),
                            OSSL_PARAM_construct_end() };
    EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(hmac);

    bool good = EVP_MAC_init(ctx, key, len, params);
    assert(good);
    EVP_MAC_free(hmac);
    return ctx;
}

static void mac(EVP_MAC_CTX *ctx, char purpose, const char *text, size_t len, guchar out[static 32])
{
    size_t n;

    bool good = EVP_MAC_init(ctx, NULL, 0, NULL) && EVP_MAC_update(ctx, (const guchar *)&purpose, 1) &&
                EVP_MAC_update(ctx, (const guchar *)text, len) && EVP_MAC_final(ctx, out, &n, 32);
    assert(good && n == 32);
}

static const struct keys *keys_of(const char *secret)
{
    static struct keys k;
    guchar key[32];

    if (k.secret && strcmp(k.secret, secret) == 0)
        return &k;
    g_free(k.secret);
    EVP_MAC_CTX_free(k.mac);
    EVP_CIPHER_CTX_free(k.seal);
    EVP_CIPHER_CTX_free(k.open);
    k.secret = g_strdup(secret);
    EVP_MAC_CTX *root = mac_new(secret, strlen(secret));
    mac(root, 'n', "tidings token", 13, key);
    k.mac = mac_new(key, sizeof key);
    mac(root, 'c', "tidings token", 13, key);
    EVP_MAC_CTX_free(root);
    bool good = EVP_EncryptInit_ex(k.seal = EVP_CIPHER_CTX_new(), EVP_aes_256_gcm(), NULL, key, NULL) &&
                EVP_DecryptInit_ex(k.open = EVP_CIPHER_CTX_new(), EVP_aes_256_gcm(), NULL, key, NULL);
    assert(good);
    return &k;
}

/* ---------------------------------------------------------------- base64url */

static char *base64url(const guchar *bytes, gsize len)
{
    char *text = g_base64_encode(bytes, len);

    for (char *p = text; *p; p++)
        *p = *p == '+' ? '-' : *p == '/' ? '_' : *p;
    text[strcspn(text, "=")] = '\0';
    return text;
}

static guchar *unbase64url(const char *text, gsize *len)
{
    g_autoptr(GString) padded = g_string_new(text);

    for (gsize i = 0; i < padded->len; i++)
        padded->str[i] = padded->str[i] == '-' ? '+' : padded->str[i] == '_' ? '/' : padded->str[i];
    while (padded->len % 4)
        g_string_append_c(padded, '=');
    return g_base64_decode(padded->str, len);
}

/* ---------------------------------------------------------------- tokens */

char *token_make(const char *secret, enum token_purpose purpose, const struct token *t)
{
    const struct keys *k = keys_of(secret);
    char payload[PAYLOAD_MAX], aad = (char)purpose;
    guchar hash[32], token[NONCE_BYTES + PAYLOAD_MAX + TAG_BYTES];
    int len = g_snprintf(payload, sizeof payload, "%s %s %" PRId64 "%s%s", t->recipient,
                         *t->category ? t->category : "-", t->expires_ms, *t->message ? " " : "", t->message),
        n;

    assert(len < PAYLOAD_MAX);
    mac(k->mac, aad, payload, (size_t)len, hash);
    memcpy(token, hash, NONCE_BYTES);
    bool good = EVP_EncryptInit_ex(k->seal, NULL, NULL, NULL, token) &&
                EVP_EncryptUpdate(k->seal, NULL, &n, (guchar *)&aad, 1) &&
                EVP_EncryptUpdate(k->seal, token + NONCE_BYTES, &n, (guchar *)payload, len) &&
                EVP_EncryptFinal_ex(k->seal, token + NONCE_BYTES + len, &n) &&
                EVP_CIPHER_CTX_ctrl(k->seal, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, token + NONCE_BYTES + len);
    assert(good);
    return base64url(token, (gsize)(NONCE_BYTES + len + TAG_BYTES));
}

static bool payload_read(const char *payload, struct token *t)
{
    g_auto(GStrv) words = g_strsplit(payload, " ", 5);
    guint count = g_strv_length(words);

    if (count < 3 || count > 4 || strlen(words[0]) >= sizeof t->recipient || strlen(words[1]) >= sizeof t->category)
        return false;
    g_strlcpy(t->recipient, words[0], sizeof t->recipient);
    g_strlcpy(t->category, strcmp(words[1], "-") == 0 ? "" : words[1], sizeof t->category);
    t->expires_ms = g_ascii_strtoll(words[2], NULL, 10);
    g_strlcpy(t->message, count == 4 ? words[3] : "", sizeof t->message);
    return true;
}

static bool open_sealed(const struct keys *k, char aad, guchar *token, int len, char payload[static PAYLOAD_MAX])
{
    int n = 0, rest = 0, text = len - NONCE_BYTES - TAG_BYTES;

    EVP_DecryptInit_ex(k->open, NULL, NULL, NULL, token);
    EVP_DecryptUpdate(k->open, NULL, &rest, (guchar *)&aad, 1);
    EVP_DecryptUpdate(k->open, (guchar *)payload, &n, token + NONCE_BYTES, text);
    EVP_CIPHER_CTX_ctrl(k->open, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, token + NONCE_BYTES + text);
    bool genuine = EVP_DecryptFinal_ex(k->open, (guchar *)payload + n, &rest) == 1;
    payload[genuine ? n : 0] = '\0';
    return genuine;
}

bool token_read(const char *secret, enum token_purpose purpose, const char *text, int64_t now_ms, struct token *t)
{
    char payload[PAYLOAD_MAX];
    gsize len;

    if (strlen(text) > 512 || text[strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")])
        return false;
    g_autofree guchar *token = unbase64url(text, &len);
    g_autofree char *again = base64url(token, len);
    if (len <= NONCE_BYTES + TAG_BYTES || len - NONCE_BYTES - TAG_BYTES >= PAYLOAD_MAX || strcmp(again, text) != 0)
        return false; /* one spelling only */
    return open_sealed(keys_of(secret), (char)purpose, token, (int)len, payload) && payload_read(payload, t) &&
           (t->expires_ms == 0 || t->expires_ms > now_ms);
}
