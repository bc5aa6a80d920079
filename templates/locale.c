#include "templates/locale.h"

#include <glib.h>
#include <string.h>
#include <unicode/uloc.h>

/* "und", "root" and private subtags name no language a text could be written in. */
static bool language_usable(const char *language)
{
    static const char *const none[] = { "", "und", "mul", "zxx", "root", "c", "posix", "qaa" };

    for (size_t i = 0; i < G_N_ELEMENTS(none); i++)
        if (strcmp(language, none[i]) == 0)
            return false;
    return strlen(language) <= 3;
}

bool locale_canonical(char tag[static LOCALE_SIZE], const char *text)
{
    UErrorCode status = U_ZERO_ERROR;
    char plain[LOCALE_SIZE], id[LOCALE_SIZE], base[LOCALE_SIZE], language[LOCALE_SIZE];
    size_t len = strcspn(text, ".@");

    if (len == 0 || len >= sizeof plain ||
        text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.@=")])
        return false;
    memcpy(plain, text, len);
    plain[len] = '\0';
    g_strdelimit(plain, "_", '-');
    int32_t parsed = 0;
    uloc_forLanguageTag(plain, id, sizeof id, &parsed, &status);
    if (U_FAILURE(status) || parsed <= 0)
        return false;
    uloc_getBaseName(id, base, sizeof base, &status);
    uloc_getLanguage(base, language, sizeof language, &status);
    if (U_FAILURE(status) || !language_usable(language))
        return false;
    uloc_toLanguageTag(base, tag, LOCALE_SIZE, true, &status);
    return U_SUCCESS(status) && status != U_STRING_NOT_TERMINATED_WARNING;
}

static void chain_add(struct locale_chain *chain, const char *tag)
{
    for (int i = 0; i < chain->count; i++)
        if (strcmp(chain->tags[i], tag) == 0)
            return;
    if (chain->count < LOCALE_CHAIN_MAX)
        g_strlcpy(chain->tags[chain->count++], tag, LOCALE_SIZE);
}

static void script_of(const char *tag, char script[static LOCALE_SIZE])
{
    UErrorCode status = U_ZERO_ERROR;
    char full[LOCALE_SIZE];

    script[0] = '\0';
    uloc_addLikelySubtags(tag, full, sizeof full, &status);
    uloc_getScript(full, script, LOCALE_SIZE, &status);
}

/* A parent written in another script is none: zh-TW is not followed by zh. */
static void chain_add_all(struct locale_chain *chain, const char *tag)
{
    char own[LOCALE_SIZE], other[LOCALE_SIZE], parent[LOCALE_SIZE];

    script_of(tag, own);
    g_strlcpy(parent, tag, sizeof parent);
    for (;;) {
        script_of(parent, other);
        if (strcmp(own, other) == 0)
            chain_add(chain, parent);
        char *dash = strrchr(parent, '-');
        if (!dash)
            break;
        *dash = '\0';
        script_of(parent, other);
        if (strcmp(own, other) != 0 && !strchr(parent, '-')) { /* zh-TW: try zh-Hant on the way */
            g_autofree char *scripted = g_strconcat(parent, "-", own, NULL);
            chain_add(chain, scripted);
            break;
        }
    }
}

void locale_chain_make(struct locale_chain *chain, const char *wanted, const char *fallback)
{
    char tag[LOCALE_SIZE];

    chain->count = 0;
    if (wanted && locale_canonical(tag, wanted))
        chain_add_all(chain, tag);
    if (locale_canonical(tag, fallback))
        chain_add_all(chain, tag);
    if (chain->count == 0)
        chain_add(chain, "en");
}

bool locale_is_rtl(const char *tag)
{
    return uloc_isRightToLeft(tag);
}
