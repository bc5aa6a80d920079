/*
 * SMS text as operators bill it: GSM 03.38 (7 bit, with its extension table)
 * when every character has a place there, else UCS-2; 160/153 septets or 70/67
 * UTF-16 units a segment, no escape sequence and no surrogate pair split.
 */
#ifndef CHANNELS_GSM_H
#define CHANNELS_GSM_H

struct sms_size {
    const char *encoding; /* "gsm7" or "ucs2" */
    int units;            /* septets or UTF-16 units */
    int segments;
};

/* sms_measure: of valid UTF-8 text. */
struct sms_size sms_measure(const char *text);

#endif
