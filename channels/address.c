#include "channels/address.h"

#include <ctype.h>
#include <glib.h>
#include <stdbool.h>
#include <string.h>
#include <unicode/uchar.h>
#include <unicode/uidna.h>

#define ATEXT "!#$%&'*+-/=?^_`{|}~."

static const char *check_local(const char *local, size_t len)
{
    if (len == 0)
        return "has nothing before the @";
    if (len > 64)
        return "has more than 64 characters before the @";
    if (local[0] == '"') /* RFC 5321 knows them; mail programs and relays do not take them */
        return "has quotation marks before the @, to which mail cannot be sent";
    for (size_t i = 0; i < len; i++) {
        if (local[i] & 0x80)
            continue; /* RFC 6531; looked at below */
        if (!isalnum((unsigned char)local[i]) && !strchr(ATEXT, local[i]))
            return "has a character before the @ that may not stand there";
    }
    if (local[0] == '.' || local[len - 1] == '.' || g_strstr_len(local, (gssize)len, ".."))
        return "has a dot before the @ at a place where none may stand";
    for (const char *p = local; p < local + len; p = g_utf8_next_char(p))
        if (!g_unichar_isgraph(g_utf8_get_char(p)))
            return "has a character before the @ that may not stand there";
    return NULL;
}

static const char *to_ascii(char *out, size_t size, const char *domain)
{
    static UIDNA *idna;
    UErrorCode status = U_ZERO_ERROR;
    UIDNAInfo info = UIDNA_INFO_INITIALIZER;

    if (!idna)
        idna = uidna_openUTS46(
            UIDNA_NONTRANSITIONAL_TO_ASCII | UIDNA_CHECK_BIDI | UIDNA_CHECK_CONTEXTJ | UIDNA_USE_STD3_RULES, &status);
    int32_t len = uidna_nameToASCII_UTF8(idna, domain, -1, out, (int32_t)size - 1, &info, &status);
    if (U_FAILURE(status) || info.errors || len <= 0)
        return "has a domain that is no host name";
    out[len] = '\0';
    return NULL;
}

static const char *check_domain(char *out, size_t size, const char *domain)
{
    if (!*domain)
        return "has no domain after the @";
    if (*domain == '[')
        return "has an address in brackets instead of a domain";
    for (const char *p = domain; *p; p++)
        if ((unsigned char)*p < 0x80 && !isalnum((unsigned char)*p) && *p != '-' && *p != '.')
            return "has a character in its domain that may not stand there";
    const char *why = to_ascii(out, size, domain);
    if (why)
        return why;
    const char *top = strrchr(out, '.');
    if (!top || strlen(out) > 253)
        return "has a domain without a dot";
    if (!top[1] || strspn(top + 1, "0123456789") == strlen(top + 1))
        return "has a domain that is no host name";
    return NULL;
}

const char *address_email(char out[static ADDRESS_SIZE], const char *text)
{
    char clean[ADDRESS_SIZE], domain[256];
    size_t len = strlen(text);

    while (len && *text == ' ')
        text++, len--;
    while (len && text[len - 1] == ' ')
        len--;
    if (len == 0)
        return "is empty";
    if (len >= sizeof clean)
        return "is longer than an address may be (254 characters)";
    memcpy(clean, text, len);
    clean[len] = '\0';
    if (!g_utf8_validate(clean, -1, NULL))
        return "is not UTF-8";
    g_autofree char *composed = g_utf8_normalize(clean, -1, G_NORMALIZE_NFC);
    if (strlen(composed) >= sizeof clean)
        return "is longer than an address may be (254 characters)";
    strcpy(clean, composed);
    for (const char *p = clean; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            return "holds a control character";
    char *at = strrchr(clean, '@');
    if (!at)
        return "has no @";
    *at = '\0';
    const char *why = check_local(clean, (size_t)(at - clean));
    if (!why)
        why = check_domain(domain, sizeof domain, at + 1);
    if (why)
        return why;
    if (strlen(clean) + 1 + strlen(domain) > 254)
        return "is longer than an address may be (254 characters)";
    g_snprintf(out, ADDRESS_SIZE, "%s@%s", clean, domain);
    return NULL;
}

const char *address_phone(char out[static ADDRESS_SIZE], const char *text)
{
    char digits[24] = "+";
    size_t n = 1;
    bool plus = false;

    if (strlen(text) > 64 || !g_utf8_validate(text, -1, NULL))
        return "is no phone number; write it in E.164, like \"+491701234567\"";
    for (const char *p = text; *p; p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);
        int digit = u_charDigitValue((UChar32)c);
        if (c == '+' && n == 1 && !plus)
            plus = true;
        else if (digit >= 0 && n <= 16)
            digits[n++] = (char)('0' + digit);
        else if (digit >= 0 || !strchr(" .-()/", (int)(c < 0x80                                  ? c
                                                       : c == 0xa0 || c == 0x2011 || c == 0x202f ? '-'
                                                                                                 : 'x')))
            return "is no phone number; write it in E.164, like \"+491701234567\"";
    }
    digits[n] = '\0';
    if (!plus)
        return "has no country code; write it in E.164, like \"+491701234567\"";
    if (n < 8 || n > 16 || digits[1] == '0' || strstr(text, "(0)"))
        return "is no phone number; E.164 has a country code and 7 to 15 digits in all";
    strcpy(out, digits);
    return NULL;
}

const char *address_key(char out[static ADDRESS_SIZE], const char *text)
{
    if (!strchr(text, '@'))
        return address_phone(out, text);
    const char *why = address_email(out, text);
    if (why)
        return why;
    g_autofree char *lower = g_utf8_strdown(out, -1);
    g_strlcpy(out, lower, ADDRESS_SIZE);
    return NULL;
}
