#include "templates/locale.h"

#include <glib.h>
#include <string.h>
#include <unicode/uloc.h>
#include <unicode/ures.h>

/* "und", "root" and private subtags name no language a text could be written in. */
static bool language_usable(const char *language)
{
    static const char *const none[] = { "", "und", "mul", "zxx", "root", "c", "posix", "qaa" };

    for (size_t i = 0; i < G_N_ELEMENTS(none); i++)
        if (strcmp(language, none[i]) == 0)
            return false;
    return strlen(language) <= 3;
}

/* POSIX writes "sr_RS@latin" for what is "sr-Latn-RS". */
static bool add_script(char plain[static LOCALE_SIZE], const char *script)
{
    g_autofree char *rest = g_strdup(plain + strcspn(plain, "_-"));

    plain[strcspn(plain, "_-")] = '\0';
    return g_strlcat(plain, "-", LOCALE_SIZE) < LOCALE_SIZE && g_strlcat(plain, script, LOCALE_SIZE) < LOCALE_SIZE &&
           g_strlcat(plain, rest, LOCALE_SIZE) < LOCALE_SIZE;
}

/* CLDR's languageAlias, from ICU's data: tl is fil now, sh is sr_Latn, cmn is zh.  Norwegian keeps its own name: see
 * the chain. */
static void replace_old_language(char base[static LOCALE_SIZE], const char *language)
{
    UErrorCode status = U_ZERO_ERROR;
    char now[LOCALE_SIZE];
    int32_t len = sizeof now;

    if (strcmp(language, "no") == 0)
        return;
    UResourceBundle *data = ures_openDirect(NULL, "metadata", &status),
                    *alias = ures_getByKey(data, "alias", NULL, &status);
    UResourceBundle *languages = ures_getByKey(alias, "language", NULL, &status),
                    *entry = ures_getByKey(languages, language, NULL, &status);
    ures_getUTF8StringByKey(entry, "replacement", now, &len, true, &status);
    if (U_SUCCESS(status)) {
        char given[LOCALE_SIZE];
        const char *rest = base + strlen(language);
        bool has_script = strlen(rest) >= 5 && (rest[5] == '_' || rest[5] == '\0');
        if (has_script || strchr(now, '_') == NULL || (*rest && strlen(strchr(now, '_')) != 5))
            now[strcspn(now, "_")] = '\0'; /* what was said besides the language holds */
        g_snprintf(given, sizeof given, "%s%s", now, rest);
        g_strlcpy(base, given, LOCALE_SIZE);
    }
    ures_close(entry);
    ures_close(languages);
    ures_close(alias);
    ures_close(data);
}

/* What ICU has written is whole, and has an end: that it has none is a mere warning of ICU's. */
static bool is_whole(UErrorCode status)
{
    return U_SUCCESS(status) && status != U_STRING_NOT_TERMINATED_WARNING;
}

bool locale_canonical(char tag[static LOCALE_SIZE], const char *text)
{
    UErrorCode status = U_ZERO_ERROR;
    char plain[LOCALE_SIZE], id[ULOC_FULLNAME_CAPACITY], base[LOCALE_SIZE], language[LOCALE_SIZE];
    size_t len = strcspn(text, ".@");

    if (len == 0 || len >= sizeof plain ||
        text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.@=")])
        return false;
    memcpy(plain, text, len);
    plain[len] = '\0';
    const char *script = g_str_has_suffix(text, "@latin")      ? "Latn"
                         : g_str_has_suffix(text, "@cyrillic") ? "Cyrl"
                                                               : NULL;
    if (script && !add_script(plain, script))
        return false;
    g_strdelimit(plain, "_", '-');
    int32_t parsed = 0;
    uloc_forLanguageTag(plain, id, sizeof id, &parsed, &status);
    if (!is_whole(status) || parsed <= 0)
        return false;
    uloc_getBaseName(id, base, sizeof base, &status);
    if (!is_whole(status))
        return false;
    uloc_getLanguage(base, language, sizeof language, &status);
    if (!is_whole(status) || !language_usable(language))
        return false;
    replace_old_language(base, language);
    uloc_toLanguageTag(base, tag, LOCALE_SIZE, true, &status);
    return is_whole(status);
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
    char full[ULOC_FULLNAME_CAPACITY];

    script[0] = '\0';
    uloc_addLikelySubtags(tag, full, sizeof full, &status);
    if (is_whole(status))
        uloc_getScript(full, script, LOCALE_SIZE, &status);
}

/* CLDR's parentLocales, from ICU's data: "es-MX" → "es-419", "zh-Hant" → "root". */
static void read_parent(GHashTable *parents, UResourceBundle *entry)
{
    UErrorCode status = U_ZERO_ERROR;
    char child[LOCALE_SIZE], parent[LOCALE_SIZE];
    int32_t count = ures_getSize(entry);

    g_strlcpy(parent, ures_getKey(entry), sizeof parent);
    g_strdelimit(parent, "_", '-');
    for (int32_t i = 0; i < count; i++) {
        int32_t len = sizeof child;
        ures_getUTF8StringByIndex(entry, i, child, &len, true, &status);
        if (U_SUCCESS(status))
            g_hash_table_insert(parents, g_strdup(g_strdelimit(child, "_", '-')), g_strdup(parent));
    }
}

static GHashTable *cldr_parents(void)
{
    static GHashTable *parents;
    UErrorCode status = U_ZERO_ERROR;

    if (parents)
        return parents;
    parents = g_hash_table_new(g_str_hash, g_str_equal); /* for the life of the program */
    UResourceBundle *data = ures_openDirect(NULL, "supplementalData", &status);
    UResourceBundle *table = ures_getByKey(data, "parentLocales", NULL, &status), *entry = NULL;
    while (U_SUCCESS(status) && ures_hasNext(table))
        if ((entry = ures_getNextResource(table, entry, &status)))
            read_parent(parents, entry);
    ures_close(entry);
    ures_close(table);
    ures_close(data);
    return parents;
}

/* What CLDR names, else the tag without its last part.  False at the root. */
static bool parent_of(char tag[static LOCALE_SIZE])
{
    const char *named = g_hash_table_lookup(cldr_parents(), tag);
    char *dash = strrchr(tag, '-');

    if (named) {
        g_strlcpy(tag, named, LOCALE_SIZE);
        return strcmp(named, "root") != 0;
    }
    if (dash)
        *dash = '\0';
    return dash != NULL;
}

/* "zh-Hant-TW" is often written "zh-TW": the same texts under a shorter name. */
static void add_without_script(struct locale_chain *chain, const char *tag, const char *own)
{
    char script[LOCALE_SIZE];
    g_auto(GStrv) words = g_strsplit(tag, "-", 4);

    if (g_strv_length(words) != 3 || strlen(words[1]) != 4)
        return;
    g_autofree char *shorter = g_strconcat(words[0], "-", words[2], NULL);
    script_of(shorter, script);
    if (strcmp(script, own) == 0)
        chain_add(chain, shorter);
}

static void spell_out(char tag[static LOCALE_SIZE])
{
    UErrorCode status = U_ZERO_ERROR;
    char full[ULOC_FULLNAME_CAPACITY], spelled[LOCALE_SIZE];

    uloc_addLikelySubtags(tag, full, sizeof full, &status);
    if (is_whole(status))
        uloc_toLanguageTag(full, spelled, sizeof spelled, false, &status);
    if (is_whole(status))
        g_strlcpy(tag, spelled, LOCALE_SIZE);
}

/* Chinese, Serbian and others that CLDR knows in a second script without a common parent. */
static bool has_scripts(const char *tag)
{
    size_t len = strcspn(tag, "-");
    GHashTableIter i;
    const char *child, *parent;

    g_hash_table_iter_init(&i, cldr_parents());
    while (g_hash_table_iter_next(&i, (void **)&child, (void **)&parent))
        if (strcmp(parent, "root") == 0 && strncmp(child, tag, len) == 0 && child[len] == '-')
            return true;
    return false;
}

/* A parent in another script is none; false when that is where it ended. */
static bool chain_add_parents(struct locale_chain *chain, const char *tag, const char *own)
{
    char script[LOCALE_SIZE], parent[LOCALE_SIZE];

    g_strlcpy(parent, tag, sizeof parent);
    do {
        script_of(parent, script);
        if (strcmp(own, script) != 0)
            return false;
        chain_add(chain, parent);
        add_without_script(chain, parent, own);
    } while (parent_of(parent));
    return true;
}

/* zh-TW is followed by zh-Hant-TW and zh-Hant, never by zh; zh-CN by zh-Hans-CN, zh-Hans and zh. */
static void chain_add_all(struct locale_chain *chain, const char *tag)
{
    char own[LOCALE_SIZE], full[LOCALE_SIZE];

    script_of(tag, own);
    g_strlcpy(full, tag, sizeof full);
    spell_out(full);
    if (strcmp(own, "Latn") != 0 && has_scripts(tag)) {
        chain_add(chain, tag);
        chain_add_parents(chain, full, own);
    }
    if (!chain_add_parents(chain, tag, own))
        chain_add_parents(chain, full, own);
    if (strcmp(tag, "no") == 0 || g_str_has_prefix(tag, "no-")) /* what says no more than Norwegian is Bokmal */
        chain_add(chain, "nb");
}

#define DEFAULT_MOST 5 /* links of the default's own chain */

void locale_chain_make(struct locale_chain *chain, const char *wanted, const char *fallback)
{
    char tag[LOCALE_SIZE];

    chain->count = 0;
    if (wanted && locale_canonical(tag, wanted))
        chain_add_all(chain, tag);
    chain->count = MIN(chain->count, LOCALE_CHAIN_MAX - DEFAULT_MOST); /* a strange tag must not push the default out */
    if (locale_canonical(tag, fallback))
        chain_add_all(chain, tag);
    if (chain->count == 0)
        chain_add(chain, "en");
}

bool locale_same_language(const char *a, const char *b)
{
    char one[LOCALE_SIZE], other[LOCALE_SIZE];
    size_t len = strcspn(a, "-");

    script_of(a, one);
    script_of(b, other);
    return len == strcspn(b, "-") && strncmp(a, b, len) == 0 && strcmp(one, other) == 0;
}

bool locale_is_rtl(const char *tag)
{
    return uloc_isRightToLeft(tag);
}
