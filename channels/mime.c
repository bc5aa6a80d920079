#include "channels/mime.h"

#include <string.h>
#include <time.h>

#define FOLD 76

static const char hex[] = "0123456789ABCDEF";

/* ---------------------------------------------------------------- headers */

static bool is_clean(const char *value)
{
    for (const char *p = value; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            return false;
    return g_utf8_validate(value, -1, NULL);
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

/* RFC 2047 words in base64, cut between characters: 45 bytes make 60 letters. */
static void append_encoded(GString *out, const char *text, size_t column)
{
    while (*text) {
        size_t room = column + 17 < FOLD ? MIN(45, (FOLD - column - 13) / 4 * 3) : 0,
               len = 0; /* " =?UTF-8?B?" and "?=" take 13 */
        while (text[len]) {
            size_t next = (size_t)(g_utf8_next_char(text + len) - text);
            if (next > room)
                break;
            len = next;
        }
        if (len == 0) { /* nothing fits behind the name of the header */
            g_string_append(out, "\r\n");
            column = 0;
            continue;
        }
        g_autofree char *base64 = g_base64_encode((const guchar *)text, len);
        g_string_append_printf(out, " =?UTF-8?B?%s?=", base64);
        text += len;
        if (*text)
            g_string_append(out, "\r\n");
        column = 0;
    }
}

static void append_text_header(GString *out, const char *name, const char *value)
{
    g_string_append_printf(out, "%s:", name);
    (can_stand_plain(value) ? append_folded : append_encoded)(out, value, strlen(name) + 1);
    g_string_append(out, "\r\n");
}

static bool is_phrase(const char *name)
{
    for (const char *p = name; *p; p++)
        if (!g_ascii_isalnum(*p) && !strchr("!#$%&'*+-/=?^_`{|}~ ", *p))
            return false;
    return can_stand_plain(name);
}

static void append_mailbox(GString *out, const char *header, const char *name, const char *address)
{
    g_string_append_printf(out, "%s:", header);
    if (!name || !*name) {
        g_string_append_printf(out, " %s\r\n", address);
        return;
    }
    if (is_phrase(name)) {
        append_folded(out, name, strlen(header) + 1);
    } else if (is_ascii(name) && strlen(name) <= 60) {
        g_string_append(out, " \"");
        for (const char *p = name; *p; p++)
            g_string_append_printf(out, *p == '"' || *p == '\\' ? "\\%c" : "%c", *p);
        g_string_append_c(out, '"');
    } else {
        append_encoded(out, name, strlen(header) + 1);
    }
    g_string_append_printf(out, "%s<%s>\r\n",
                           strlen(name) + strlen(address) + strlen(header) > 64 || !is_ascii(name) ? "\r\n " : " ",
                           address);
}

static void append_date(GString *out, int64_t ms)
{
    static const char *const days[] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
    static const char *const months[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                          "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;

    gmtime_r(&seconds, &tm);
    g_string_append_printf(out, "Date: %s, %02d %s %04d %02d:%02d:%02d +0000\r\n", days[tm.tm_wday], tm.tm_mday,
                           months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

/* ---------------------------------------------------------------- bodies */

static const char *line_end(const char *p, const char *end)
{
    while (p < end && *p != '\n' && *p != '\r')
        p++;
    return p;
}

static const char *after_line_end(const char *p, const char *end)
{
    if (p < end && *p == '\r')
        p++;
    if (p < end && *p == '\n')
        p++;
    return p;
}

static void append_qp_line(GString *out, const char *p, const char *end)
{
    int column = 0;

    for (; p < end; p++) {
        unsigned char c = (unsigned char)*p;
        bool last = p + 1 == end;
        /* a blank at the end of a line would be lost; a dot or "From " at its start might be changed */
        bool plain = c > ' ' && c < 0x7f && c != '=' &&
                     !(column == 0 && (c == '.' || (c == 'F' && end - p > 4 && memcmp(p, "From ", 5) == 0)));
        plain |= (c == ' ' || c == '\t') && !last;
        int width = plain ? 1 : 3;
        if (column + width > FOLD - 1) {
            g_string_append(out, "=\r\n");
            column = 0;
            if (plain && c == '.')
                plain = false, width = 3;
        }
        if (plain) {
            g_string_append_c(out, (char)c);
        } else {
            char code[3] = { '=', hex[c >> 4], hex[c & 15] };
            g_string_append_len(out, code, 3);
        }
        column += width;
    }
    g_string_append(out, "\r\n");
}

static void append_qp(GString *out, const char *text, size_t len)
{
    for (const char *p = text, *end = text + len; p < end;) {
        const char *eol = line_end(p, end);
        append_qp_line(out, p, eol);
        p = after_line_end(eol, end);
    }
}

static void append_base64(GString *out, const char *text, size_t len)
{
    g_autoptr(GString) canonical = g_string_sized_new(len + len / 32);

    for (const char *p = text, *end = text + len; p < end;) {
        const char *eol = line_end(p, end);
        g_string_append_len(canonical, p, eol - p);
        g_string_append(canonical, "\r\n");
        p = after_line_end(eol, end);
    }
    for (size_t i = 0; i < canonical->len; i += 57) {
        g_autofree char *line = g_base64_encode((guchar *)canonical->str + i, MIN(57, canonical->len - i));
        g_string_append(out, line);
        g_string_append(out, "\r\n");
    }
}

static void append_part(GString *out, const char *type, const char *language, const char *text)
{
    size_t len = strlen(text), high = 0;

    for (size_t i = 0; i < len; i++)
        high += (text[i] & 0x80) != 0;
    bool base64 = high * 6 > len; /* quoted-printable would be larger, and nobody could read it anyway */
    g_string_append_printf(out, "Content-Type: %s; charset=utf-8\r\nContent-Transfer-Encoding: %s\r\n", type,
                           base64 ? "base64" : "quoted-printable");
    if (language)
        g_string_append_printf(out, "Content-Language: %s\r\n", language);
    g_string_append(out, "\r\n");
    (base64 ? append_base64 : append_qp)(out, text, len);
}

static void append_body(GString *out, const struct mail *m)
{
    g_autofree char *seed = NULL;

    g_string_append(out, "MIME-Version: 1.0\r\n");
    if (!m->text || !m->html) {
        append_part(out, m->html ? "text/html" : "text/plain", m->language, m->html ? m->html : m->text);
        return;
    }
    /* "=_" can stand neither in quoted-printable nor in base64, so no body holds it */
    seed = g_compute_checksum_for_string(G_CHECKSUM_SHA256, m->message_id, -1);
    seed[24] = '\0';
    g_string_append_printf(out, "Content-Type: multipart/alternative; boundary=\"=_%s\"\r\n\r\n--=_%s\r\n", seed, seed);
    append_part(out, "text/plain", m->language, m->text);
    g_string_append_printf(out, "\r\n--=_%s\r\n", seed);
    append_part(out, "text/html", m->language, m->html);
    g_string_append_printf(out, "\r\n--=_%s--\r\n", seed);
}

const char *mime_compose(const struct mail *m, GString *out)
{
    if (!is_clean(m->subject))
        return "the subject holds a line break or a control character";
    if (!*m->subject)
        return "the subject is empty";
    if ((m->from_name && !is_clean(m->from_name)) || (m->to_name && !is_clean(m->to_name)))
        return "a name holds a line break or a control character";
    if (m->list_unsubscribe &&
        (!is_clean(m->list_unsubscribe) || strpbrk(m->list_unsubscribe, "<> ") || strlen(m->list_unsubscribe) > 900))
        return "the unsubscribe link is no usable address";
    append_date(out, m->date_ms);
    append_mailbox(out, "From", m->from_name, m->from);
    append_mailbox(out, "To", m->to_name, m->to);
    append_text_header(out, "Subject", m->subject);
    g_string_append_printf(out, "Message-ID: <%s>\r\n", m->message_id);
    if (m->auto_generated)
        g_string_append(out, "Auto-Submitted: auto-generated\r\n");
    if (m->list_unsubscribe)
        g_string_append_printf(out, "List-Unsubscribe: <%s>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n",
                               m->list_unsubscribe);
    append_body(out, m);
    return NULL;
}
