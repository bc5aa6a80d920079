/*
 * SMS text as operators bill it: GSM 03.38 (7 bit, with its extension table)
 * when every character has a place there, else UCS-2; 160/153 septets or 70/67
 * UTF-16 units a segment, no escape sequence and no surrogate pair split.
 * Source: 3GPP TS 23.038 6.2.1, TS 23.040 9.2.3.24.
 */
#ifndef CHANNELS_GSM_H
#define CHANNELS_GSM_H

#include <glib.h>
#include <stdbool.h>

struct sms_size {
    const char *encoding; /* "gsm7" or "ucs2" */
    int units;            /* septets or UTF-16 units */
    int segments;
};

/* sms_measure: of valid UTF-8 text. */
struct sms_size sms_measure(const char *text);

/*
 * sms_prepare: what is done to a text before it is measured:
 *
 *   - blanks around it go, and those that ICU puts into numbers become plain
 *     (they would make the message twice as dear);
 *   - transliterate: characters without a place in GSM 03.38 become Latin
 *     letters and plain signs ("ą" as "a", curly quotes straight) when that is
 *     enough to leave UCS-2; else the text stays as it is;
 *   - cut_to: longer than so many segments, it ends with "..." at the end of a
 *     word; 0: it stays as long as it is.
 */
void sms_prepare(GString *text, bool transliterate, int cut_to);

/* sms_clean: blanks of every kind become one, a backtick an apostrophe; control characters, marks of direction and what
 * nobody sees go, and joiners where the rest fits GSM 7.  sms_prepare() begins with it. */
void sms_clean(GString *text);

#endif
