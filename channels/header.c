#include "channels/header.h"

#include <string.h>
#include <time.h>

#include "channels/unseen.h"

#define FIRST_STRONG_ISOLATE    0x2068
#define POP_DIRECTIONAL_ISOLATE 0x2069

#define FOLD 76

bool header_clean(const char *value)
{
    for (const char *p = value; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            return false;
    return g_utf8_validate(value, -1, NULL);
}

static bool is_blank(gunichar c)
{
    return c == ' ' || (c >= '\t' && c <= '\r') || c == 0x85 || c == 0x2028 || c == 0x2029;
}

static bool is_unseen(gunichar c)
{
    return char_unseen(c) || (c >= 0xfff9 && c <= 0xfffb) || (c >= 0xe0000 && c <= 0xe007f);
}

/* An isolate that is closed again turns nothing outside itself. */
static bool keeps_isolate(gunichar c, const char *rest, bool *open)
{
    bool was_open = *open;

    *open = c == FIRST_STRONG_ISOLATE ? strstr(rest, "\u2069") != NULL : *open && c != POP_DIRECTIONAL_ISOLATE;
    return (c == FIRST_STRONG_ISOLATE && !was_open && *open) || (c == POP_DIRECTIONAL_ISOLATE && was_open);
}

void header_tidy(GString *value)
{
    g_autofree char *valid = g_utf8_make_valid(value->str, (gssize)value->len);
    bool blank = false, open = false;

    g_string_truncate(value, 0);
    for (const char *p = valid; *p; p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);
        if (is_blank(c)) {
            blank = value->len > 0;
        } else if (keeps_isolate(c, p, &open) || !is_unseen(c)) {
            if (blank)
                g_string_append_c(value, ' ');
            blank = false;
            g_string_append_unichar(value, c);
        }
    }
}

static bool is_ascii(const char *text)
{
    for (; *text; text++)
        if (*text & 0x80)
            return false;
    return true;
}

/* Plain when ASCII, with no word too long for a line and nothing that reads as an encoded word. */
static bool can_stand_plain(const char *text)
{
    size_t word = 0;

    if (!is_ascii(text) || strstr(text, "=?") || strstr(text, "  ") || g_str_has_prefix(text, " ") ||
        g_str_has_suffix(text, " "))
        return false;
    for (; *text; text++)
        if ((word = *text == ' ' ? 0 : word + 1) > 60)
            return false;
    return true;
}

/* `column` is where the value begins; words are separated by single spaces. */
static void append_folded(GString *out, const char *text, size_t column)
{
    while (*text) {
        size_t word = strcspn(text, " ");
        if (column + 1 + word > FOLD && column > 1) {
            g_string_append(out, "\r\n");
            column = 0;
        }
        g_string_append_c(out, ' ');
        g_string_append_len(out, text, (gssize)word);
        column += 1 + word;
        text += word;
        while (*text == ' ')
            text++;
    }
}

static void append_base64_word(GString *out, const char *text, size_t len)
{
    char base64[64];
    gint state = 0, save = 0;
    gsize n = g_base64_encode_step((const guchar *)text, len, FALSE, base64, &state, &save);

    n += g_base64_encode_close(FALSE, base64 + n, &state, &save);
    g_string_append(out, " =?UTF-8?B?");
    g_string_append_len(out, base64, (gssize)n);
    g_string_append(out, "?=");
}

static void append_quoted_word(GString *out, const char *text, size_t len)
{
    g_string_append(out, " =?UTF-8?Q?");
    for (size_t i = 0; i < len; i++)
        g_string_append_printf(out, "=%02X", (unsigned char)text[i]);
    g_string_append(out, "?=");
}

/* How many bytes go into the next word: all that is left, or whole characters that make a multiple of three, because
 * some readers join the base64 of neighbouring words and stop at padding between them.  0: there is no such cut. */
static size_t word_length(const char *text, size_t room)
{
    size_t len = 0, aligned = 0;

    while (text[len]) {
        size_t next = (size_t)(g_utf8_next_char(text + len) - text);
        if (next > room)
            return aligned;
        len = next;
        aligned = len % 3 ? aligned : len;
    }
    return len;
}

/* RFC 2047 words, cut between characters: 45 bytes make 60 letters.  Without an aligned cut one character goes ahead.
 */
static void append_encoded(GString *out, const char *text, size_t column)
{
    while (*text) {
        size_t room = column + 25 < FOLD ? MIN(45, (FOLD - column - 13) / 4 * 3) : 0; /* " =?UTF-8?B?" and "?=": 13 */
        size_t len = room ? word_length(text, room) : 0;
        if (!room) { /* too little is left behind the name of the header */
            g_string_append(out, "\r\n");
            column = 0;
            continue;
        }
        if (len)
            append_base64_word(out, text, len);
        else
            append_quoted_word(out, text, len = (size_t)(g_utf8_next_char(text) - text));
        text += len;
        if (*text)
            g_string_append(out, "\r\n");
        column = 0;
    }
}

static void append_name(GString *out, const char *name)
{
    g_string_append(out, name);
    g_string_append_c(out, ':');
}

void header_text(GString *out, const char *name, const char *value)
{
    append_name(out, name);
    (can_stand_plain(value) ? append_folded : append_encoded)(out, value, strlen(name) + 1);
    g_string_append(out, "\r\n");
}

void header_raw(GString *out, const char *name, const char *value)
{
    append_name(out, name);
    g_string_append_c(out, ' ');
    g_string_append(out, value);
    g_string_append(out, "\r\n");
}

static bool is_phrase(const char *name)
{
    for (const char *p = name; *p; p++)
        if (!g_ascii_isalnum(*p) && !strchr("!#$%&'*+-/=?^_`{|}~ ", *p))
            return false;
    return can_stand_plain(name);
}

static void append_quoted(GString *out, const char *text)
{
    g_string_append_c(out, '"');
    for (const char *p = text; *p; p++) {
        if (*p == '"' || *p == '\\')
            g_string_append_c(out, '\\');
        g_string_append_c(out, *p);
    }
    g_string_append_c(out, '"');
}

void header_mailbox(GString *out, const char *name, const char *display, const char *address)
{
    append_name(out, name);
    if (!display || !*display) {
        g_string_append_c(out, ' ');
        g_string_append(out, address);
        g_string_append(out, "\r\n");
        return;
    }
    if (is_phrase(display)) {
        append_folded(out, display, strlen(name) + 1);
    } else if (is_ascii(display) && strlen(display) <= 60 &&
               !strstr(display, "=?")) { /* some decode even what is quoted */
        g_string_append_c(out, ' ');
        append_quoted(out, display);
    } else {
        append_encoded(out, display, strlen(name) + 1);
    }
    bool fold = strlen(display) + strlen(address) + strlen(name) > 64 || !is_ascii(display);
    g_string_append(out, fold ? "\r\n <" : " <");
    g_string_append(out, address);
    g_string_append(out, ">\r\n");
}

/* Two digits. */
static void append_number(GString *out, const char *before, int number)
{
    g_string_append(out, before);
    g_string_append_c(out, (char)('0' + number / 10 % 10));
    g_string_append_c(out, (char)('0' + number % 10));
}

void header_date(GString *out, int64_t ms)
{
    static const char *const days[] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
    static const char *const months[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                          "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;

    gmtime_r(&seconds, &tm);
    g_string_append(out, "Date: ");
    g_string_append(out, days[tm.tm_wday]);
    append_number(out, ", ", tm.tm_mday);
    g_string_append_c(out, ' ');
    g_string_append(out, months[tm.tm_mon]);
    append_number(out, " ", (tm.tm_year + 1900) / 100);
    append_number(out, "", tm.tm_year % 100);
    append_number(out, " ", tm.tm_hour);
    append_number(out, ":", tm.tm_min);
    append_number(out, ":", tm.tm_sec);
    g_string_append(out, " +0000\r\n");
}

/* RFC 2231: numbered pieces of percent-encoded UTF-8, each on its own line and whole characters. */
static void append_extended(GString *out, const char *name, const char *value)
{
    for (int piece = 0; *value; piece++) {
        g_string_append_printf(out, ";\r\n %s*%d*=%s", name, piece, piece ? "" : "UTF-8''");
        for (size_t column = 0; *value && column < 48;) {
            const char *next = g_utf8_next_char(value);
            for (; value < next; value++) {
                bool plain = g_ascii_isalnum(*value) || strchr("-._", *value);
                g_string_append_printf(out, plain ? "%c" : "%%%02X", (unsigned char)*value);
                column += plain ? 1 : 3;
            }
        }
    }
}

void header_parameter(GString *out, const char *name, const char *value)
{
    if (!is_ascii(value) || strlen(value) > 60) {
        append_extended(out, name, value);
        return;
    }
    g_string_append(out, ";\r\n ");
    g_string_append(out, name);
    g_string_append_c(out, '=');
    append_quoted(out, value);
}
