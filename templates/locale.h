/*
 * Locales as BCP 47 tags, and the chain in which a text is looked for, with
 * the parents that CLDR names (supplemental/parentLocales):
 *
 *   de-AT → de → default        zh-Hant-TW → zh-Hant → default, never zh
 *   es-MX → es-419 → es → default
 *
 * What cannot be read as a tag is the default locale; a message never fails
 * for its locale alone.
 */
#ifndef TEMPLATES_LOCALE_H
#define TEMPLATES_LOCALE_H

#include <stdbool.h>

#define LOCALE_SIZE      64
#define LOCALE_CHAIN_MAX 12

struct locale_chain {
    char tags[LOCALE_CHAIN_MAX][LOCALE_SIZE]; /* from the most exact; the default's own chain comes last */
    int count;
};

/* locale_canonical: "en_us.UTF-8" → "en-US", "iw" → "he", extensions cut.  False when it names no language. */
bool locale_canonical(char tag[static LOCALE_SIZE], const char *text);

/* locale_chain_make: for a wanted locale (any spelling, NULL is none) and a default one. */
void locale_chain_make(struct locale_chain *, const char *wanted, const char *fallback);

/* locale_same_language: de-AT and de, but not zh-Hant and zh. */
bool locale_same_language(const char *a, const char *b);

/* locale_is_rtl: the script of this tag runs from right to left. */
bool locale_is_rtl(const char *tag);

#endif
