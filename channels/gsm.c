#include "channels/gsm.h"

#include <string.h>
#include <unicode/ubrk.h>
#include <unicode/ustring.h>
#include <unicode/utext.h>
#include <unicode/utrans.h>

#include "channels/unseen.h"

/* 3GPP TS 23.038, 6.2.1: the characters beside ASCII letters and digits. */
static const gunichar basic[] = {
    '@', 0xa3,  '$',   0xa5,  0xe8,  0xe9,  0xf9,  0xec,  0xf2,  0xc7,  '\n', 0xd8, 0xf8, '\r', 0xc5, 0xe5, 0x394,
    '_', 0x3a6, 0x393, 0x39b, 0x3a9, 0x3a0, 0x3a8, 0x3a3, 0x398, 0x39e, 0xc6, 0xe6, 0xdf, 0xc9, ' ',  '!',  '"',
    '#', 0xa4,  '%',   '&',   '\'',  '(',   ')',   '*',   '+',   ',',   '-',  '.',  '/',  ':',  ';',  '<',  '=',
    '>', '?',   0xa1,  0xc4,  0xd6,  0xd1,  0xdc,  0xa7,  0xbf,  0xe4,  0xf6, 0xf1, 0xfc, 0xe0,
};
static const gunichar extended[] = { '\f', '^', '{', '}', '\\', '[', '~', ']', '|', 0x20ac };

#define SEGMENT_BYTES 480 /* more than the UTF-8 of any segment */
#define NEAR_BYTES    30  /* a word this long is rather cut than lost */
#define DOTS          "..."

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

/* The boundaries of a kind in a text, as byte offsets, the first 0 and the last its length. */
static GArray *boundaries(const char *text, UBreakIteratorType type)
{
    GArray *list = g_array_new(FALSE, FALSE, sizeof(int32_t));
    UErrorCode status = U_ZERO_ERROR;
    UText *utf8 = utext_openUTF8(NULL, text, -1, &status);
    UBreakIterator *i = ubrk_open(type, "", NULL, 0, &status);

    ubrk_setUText(i, utf8, &status);
    for (int32_t at = U_SUCCESS(status) ? ubrk_first(i) : UBRK_DONE; at != UBRK_DONE; at = ubrk_next(i))
        g_array_append_val(list, at);
    ubrk_close(i);
    utext_close(utf8);
    return list;
}

static bool fits(const char *text, int32_t len, int segments)
{
    g_autoptr(GString) whole = g_string_new_len(text, len);

    g_strchomp(whole->str);
    g_string_truncate(whole, strlen(whole->str));
    g_string_append(whole, DOTS);
    return sms_measure(whole->str).segments <= segments;
}

/* As much as fits, up to the end of a word when that is near, and never within what is read as one character. */
static void cut(GString *text, int segments)
{
    g_autoptr(GArray) characters = boundaries(text->str, UBRK_CHARACTER), lines = boundaries(text->str, UBRK_LINE);
    guint low = 0, high = characters->len ? characters->len - 1 : 0;

    while (low < high) { /* the longest beginning that fits */
        guint middle = (low + high + 1) / 2;
        if (fits(text->str, g_array_index(characters, int32_t, middle), segments))
            low = middle;
        else
            high = middle - 1;
    }
    int32_t end = characters->len ? g_array_index(characters, int32_t, low) : 0;
    for (guint i = lines->len; i > 0; i--) {
        int32_t line = g_array_index(lines, int32_t, i - 1);
        if (line <= end) {
            end = end - line <= NEAR_BYTES ? line : end;
            break;
        }
    }
    g_string_truncate(text, (gsize)end);
    g_string_truncate(text, strlen(g_strchomp(text->str)));
    g_string_append(text, DOTS);
}

/* What a telephone cannot show, or what makes a text dear without being seen. */
static bool sms_drops(gunichar c)
{
    return c != '\n' && char_unseen(c);
}

static bool sms_blank(gunichar c)
{
    return c == '\t' || c == 0xb || c == 0xc || c == 0x85 || c == 0xa0 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 ||
           c == 0x2029 || c == 0x202f || c == 0x205f;
}

static bool is_joiner(gunichar c)
{
    return c == 0x200c || c == 0x200d;
}

static void tidy(GString *text, bool joiners)
{
    g_autofree char *from = g_utf8_make_valid(text->str, (gssize)text->len);

    g_string_truncate(text, 0);
    for (const char *p = from; *p; p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);
        if (c == '\r' && p[1] != '\n')
            c = '\n';
        if (sms_blank(c))
            g_string_append_c(text, ' ');
        else if (c == '`')
            g_string_append_c(text, '\'');
        else if (!sms_drops(c) && (joiners || !is_joiner(c)))
            g_string_append_unichar(text, c);
    }
}

void sms_clean(GString *text)
{
    tidy(text, true);
    g_autoptr(GString) plain = g_string_new(text->str);
    tidy(plain, false);
    if (plain->len < text->len && strcmp(sms_measure(plain->str).encoding, "gsm7") == 0)
        g_string_assign(text, plain->str); /* joiners belong to scripts that are no GSM 7 */
}

void sms_prepare(GString *text, bool transliterate, int cut_to)
{
    sms_clean(text);
    g_strstrip(text->str);
    g_string_truncate(text, strlen(text->str));
    size_t most = (size_t)cut_to * SEGMENT_BYTES; /* what lies beyond is cut in any case */
    if (most && text->len > most)
        g_string_truncate(text, (size_t)(g_utf8_find_prev_char(text->str, text->str + most) - text->str));
    if (transliterate)
        transliterate_all(text);
    if (cut_to && sms_measure(text->str).segments > cut_to)
        cut(text, cut_to);
}
