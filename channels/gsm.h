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

/* sms_transliterate: writes characters without a place in GSM 03.38 as Latin letters and plain signs ("ą" as "a", curly
 * quotes straight), when that is enough to leave UCS-2; else the text stays as it is. */
void sms_transliterate(GString *text);

/* sms_cut: shortens to at most `segments` at the end of a word, with "..." behind it.  False when it was short enough.
 */
bool sms_cut(GString *text, int segments);

#endif
