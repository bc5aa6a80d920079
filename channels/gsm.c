#include "channels/gsm.h"

#include <glib.h>
#include <stdbool.h>

/* 3GPP TS 23.038, 6.2.1: the characters beside ASCII letters and digits. */
static const gunichar basic[] = {
    '@', 0xa3,  '$',   0xa5,  0xe8,  0xe9,  0xf9,  0xec,  0xf2,  0xc7,  '\n', 0xd8, 0xf8, '\r', 0xc5, 0xe5, 0x394,
    '_', 0x3a6, 0x393, 0x39b, 0x3a9, 0x3a0, 0x3a8, 0x3a3, 0x398, 0x39e, 0xc6, 0xe6, 0xdf, 0xc9, ' ',  '!',  '"',
    '#', 0xa4,  '%',   '&',   '\'',  '(',   ')',   '*',   '+',   ',',   '-',  '.',  '/',  ':',  ';',  '<',  '=',
    '>', '?',   0xa1,  0xc4,  0xd6,  0xd1,  0xdc,  0xa7,  0xbf,  0xe4,  0xf6, 0xf1, 0xfc, 0xe0,
};
static const gunichar extended[] = { '\f', '^', '{', '}', '\\', '[', '~', ']', '|', 0x20ac };

/* Septets of a character: 1, 2 with the escape, 0 when it has no place. */
static int septets(gunichar c)
{
    if (c < 0x80 && g_ascii_isalnum((char)c))
        return 1;
    for (size_t i = 0; i < G_N_ELEMENTS(basic); i++)
        if (basic[i] == c)
            return 1;
    for (size_t i = 0; i < G_N_ELEMENTS(extended); i++)
        if (extended[i] == c)
            return 2;
    return 0;
}

static int units_of(gunichar c, bool gsm)
{
    return gsm ? septets(c) : c > 0xffff ? 2 : 1;
}

struct sms_size sms_measure(const char *text)
{
    bool gsm = true;
    int units = 0, segments = 1, in_segment = 0;

    for (const char *p = text; *p && gsm; p = g_utf8_next_char(p))
        gsm = septets(g_utf8_get_char(p)) > 0;
    int whole = gsm ? 160 : 70, part = gsm ? 153 : 67;
    for (const char *p = text; *p; p = g_utf8_next_char(p)) {
        int n = units_of(g_utf8_get_char(p), gsm);
        units += n;
        if (in_segment + n > part) {
            segments++;
            in_segment = 0;
        }
        in_segment += n;
    }
    return (struct sms_size){ gsm ? "gsm7" : "ucs2", units, units <= whole ? 1 : segments };
}
