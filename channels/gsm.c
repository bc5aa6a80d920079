#include "channels/gsm.h"

#include <string.h>
#include <unicode/ustring.h>
#include <unicode/utrans.h>

/* 3GPP TS 23.038, 6.2.1: the characters beside ASCII letters and digits. */
static const gunichar basic[] = {
    '@', 0xa3,  '$',   0xa5,  0xe8,  0xe9,  0xf9,  0xec,  0xf2,  0xc7,  '\n', 0xd8, 0xf8, '\r', 0xc5, 0xe5, 0x394,
    '_', 0x3a6, 0x393, 0x39b, 0x3a9, 0x3a0, 0x3a8, 0x3a3, 0x398, 0x39e, 0xc6, 0xe6, 0xdf, 0xc9, ' ',  '!',  '"',
    '#', 0xa4,  '%',   '&',   '\'',  '(',   ')',   '*',   '+',   ',',   '-',  '.',  '/',  ':',  ';',  '<',  '=',
    '>', '?',   0xa1,  0xc4,  0xd6,  0xd1,  0xdc,  0xa7,  0xbf,  0xe4,  0xf6, 0xf1, 0xfc, 0xe0,
};
static const gunichar extended[] = { '\f', '^', '{', '}', '\\', '[', '~', ']', '|', 0x20ac };

#define SEGMENT_BYTES 480 /* more than the UTF-8 of any segment */

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

/* ---------------------------------------------------------------- transliteration */

/* CLDR's Latin-ASCII: accents go, quotes and dashes become plain; other scripts stay as they are. */
static UTransliterator *latin_ascii(void)
{
    static UTransliterator *made;
    UErrorCode status = U_ZERO_ERROR;
    UChar id[32];

    if (!made)
        made = utrans_openU(u_uastrcpy(id, "NFC; Latin-ASCII"), -1, UTRANS_FORWARD, NULL, 0, NULL, &status);
    return made;
}

static void append_latin(GString *out, const char *from, size_t len)
{
    UErrorCode status = U_ZERO_ERROR;
    UChar text[64];
    char utf8[128];
    int32_t n, limit;

    u_strFromUTF8(text, G_N_ELEMENTS(text), &n, from, (int32_t)len, &status);
    limit = n;
    utrans_transUChars(latin_ascii(), text, &n, G_N_ELEMENTS(text), 0, &limit, &status);
    u_strToUTF8(utf8, sizeof utf8, NULL, text, n, &status);
    if (U_SUCCESS(status))
        g_string_append(out, utf8);
    else
        g_string_append_len(out, from, (gssize)len);
}

static void transliterate_all(GString *text)
{
    g_autofree char *composed =
        text->len > 10 * SEGMENT_BYTES ? NULL : g_utf8_normalize(text->str, -1, G_NORMALIZE_NFC);
    g_autoptr(GString) out = g_string_sized_new(text->len);

    if (!composed)
        return; /* too long to be sent anyway */
    for (const char *p = composed; *p; p = g_utf8_next_char(p)) {
        size_t len = (size_t)(g_utf8_next_char(p) - p);
        if (septets(g_utf8_get_char(p)))
            g_string_append_len(out, p, (gssize)len);
        else
            append_latin(out, p, len);
    }
    if (strcmp(sms_measure(out->str).encoding, "gsm7") == 0)
        g_string_assign(text, out->str);
}

/* ---------------------------------------------------------------- too long */

static void cut(GString *text, int segments)
{
    static const char dots[] = "...";
    size_t most = (size_t)segments * SEGMENT_BYTES;

    if (text->len > most)
        g_string_truncate(text, (size_t)(g_utf8_find_prev_char(text->str, text->str + most) - text->str));
    for (size_t end = text->len; end > 0;) {
        char *before = g_utf8_find_prev_char(text->str, text->str + end);
        char *blank = memrchr(text->str, ' ', (size_t)(before - text->str));
        /* at a word, unless a single one fills the message */
        end = (size_t)((blank && blank > text->str ? blank : before) - text->str);
        g_string_truncate(text, end);
        g_string_append(text, dots);
        if (sms_measure(text->str).segments <= segments)
            return;
        g_string_truncate(text, end);
    }
}

void sms_prepare(GString *text, bool transliterate, int cut_to)
{
    g_string_replace(text, "\xe2\x80\xaf", " ", 0);
    g_string_replace(text, "\xc2\xa0", " ", 0);
    g_strstrip(text->str);
    g_string_truncate(text, strlen(text->str));
    if (transliterate)
        transliterate_all(text);
    if (cut_to && sms_measure(text->str).segments > cut_to)
        cut(text, cut_to);
}
