#include "channels/transfer.h"

#include <stdint.h>
#include <string.h>

#define ONES    UINT64_C(0x0101010101010101)
#define COLUMNS 75 /* before a soft line break, which takes one more */

static const char hex[] = "0123456789ABCDEF";

/* What stands for itself inside a line: printable ASCII but "=", blank and tab. */
static const bool is_plain[256] = { ['\t'] = true, [' ' ... '<'] = true, ['>' ... '~'] = true };

/* ---------------------------------------------------------------- lines */

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

/* ---------------------------------------------------------------- quoted-printable */

static char *put_code(char *to, unsigned char c)
{
    *to++ = '=';
    *to++ = hex[c >> 4];
    *to++ = hex[c & 15];
    return to;
}

/* A dot could end the mail, "From " could get a ">" on its way. */
static bool start_is_unsafe(const char *p, const char *end)
{
    return *p == '.' || (*p == 'F' && end - p > 4 && memcmp(p, "From ", 5) == 0);
}

/* One line without its end; `to` has room for four bytes of each of its bytes, and more. */
static char *put_line(char *to, const char *p, const char *end)
{
    bool blank_last = p < end && (end[-1] == ' ' || end[-1] == '\t'); /* it would be lost */
    const char *stop = end - blank_last;
    int column = 0;

    while (p < end) {
        bool code = p == stop || !is_plain[(unsigned char)*p] || (column == 0 && start_is_unsafe(p, end));
        if (column + (code ? 3 : 1) > COLUMNS) {
            memcpy(to, "=\r\n", 3);
            to += 3;
            column = 0;
            continue;
        }
        if (code) {
            to = put_code(to, (unsigned char)*p++);
            column += 3;
            continue;
        }
        const char *from = p, *room = p + MIN(COLUMNS - column, stop - p);
        do
            *to++ = *p++;
        while (p < room && is_plain[(unsigned char)*p]);
        column += (int)(p - from);
    }
    return to;
}

static void append_lines(GString *out, const char *text, size_t len)
{
    for (const char *p = text, *end = text + len; p < end;) {
        const char *eol = line_end(p, end);
        size_t before = out->len;
        g_string_set_size(out, before + (size_t)(eol - p) * 4 + 16);
        char *to = put_line(out->str + before, p, eol);
        if (eol < end) {
            memcpy(to, "\r\n", 2);
            to += 2;
        }
        g_string_truncate(out, (size_t)(to - out->str));
        p = after_line_end(eol, end);
    }
}

/* The lines that lie whole in a text: `skip` bytes before them, `len` bytes of them, and their encoding. */
struct qp_literal {
    size_t skip, len;
    GString *encoded;
};

struct qp_literal *qp_literal_new(const char *text, size_t len)
{
    struct qp_literal *l = g_new0(struct qp_literal, 1);
    const char *first = memchr(text, '\n', len), *last = memrchr(text, '\n', len);

    l->encoded = g_string_new(NULL);
    if (first && last > first) {
        l->skip = (size_t)(first + 1 - text);
        l->len = (size_t)(last - first);
        append_lines(l->encoded, first + 1, l->len);
    }
    return l;
}

void qp_literal_free(struct qp_literal *l)
{
    if (l)
        g_string_free(l->encoded, TRUE);
    g_free(l);
}

void transfer_qp(GString *out, const char *text, size_t len, const struct qp_span *spans, size_t count)
{
    size_t done = 0;

    for (size_t i = 0; i < count; i++) {
        const struct qp_literal *l = spans[i].literal;
        if (l->len == 0)
            continue;
        append_lines(out, text + done, spans[i].at + l->skip - done); /* ends with a line: the literal's lines begin */
        g_string_append_len(out, l->encoded->str, (gssize)l->encoded->len);
        done = spans[i].at + l->skip + l->len;
    }
    append_lines(out, text + done, len - done);
}

/* ---------------------------------------------------------------- base64 */

void transfer_base64(GString *out, const void *bytes, size_t len)
{
    const guchar *p = bytes;

    for (size_t i = 0; i < len; i += 57) {
        char line[76 + 8];
        gint state = 0, save = 0;
        size_t n = g_base64_encode_step(p + i, MIN(57, len - i), FALSE, line, &state, &save);
        n += g_base64_encode_close(FALSE, line + n, &state, &save);
        memcpy(line + n, "\r\n", 2);
        g_string_append_len(out, line, (gssize)n + 2);
    }
}

void transfer_base64_text(GString *out, const char *text, size_t len)
{
    g_autoptr(GString) canonical = g_string_sized_new(len + len / 32);

    for (const char *p = text, *end = text + len; p < end;) {
        const char *eol = line_end(p, end);
        g_string_append_len(canonical, p, eol - p);
        if (eol < end)
            g_string_append(canonical, "\r\n");
        p = after_line_end(eol, end);
    }
    transfer_base64(out, canonical->str, canonical->len);
}

bool transfer_prefers_base64(const char *text, size_t len)
{
    size_t high = 0, i = 0;

    for (uint64_t eight; i + sizeof eight <= len; i += sizeof eight) {
        memcpy(&eight, text + i, sizeof eight);
        high += (size_t)((eight >> 7 & ONES) * ONES >> 56); /* the sum of the top bits */
    }
    for (; i < len; i++)
        high += (unsigned char)text[i] >> 7;
    return high * 6 > len; /* three bytes for each of them, against four for three of all */
}
