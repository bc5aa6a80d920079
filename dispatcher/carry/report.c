#include "dispatcher/carry/report.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void report_begin(struct report *r, int64_t now, char letter)
{
    if (!r->text)
        r->text = g_string_sized_new(512);
    g_string_printf(r->text, "[%" G_GINT64_FORMAT ",\"%c\"", now, letter);
}

void report_fact(struct report *r, const char *gate, const char *verdict, const char *detail, ...)
{
    va_list ap;

    g_string_append_printf(r->text, ",[\"%s\",\"%s\"", gate, verdict);
    if (detail) {
        g_string_append_c(r->text, ',');
        va_start(ap, detail);
        g_string_append_vprintf(r->text, detail, ap);
        va_end(ap);
    }
    g_string_append_c(r->text, ']');
}

const char *report_quoted(const char *text)
{
    static char *ring[4];
    static unsigned next;
    char **slot = &ring[next++ % 4];
    json_auto_t *string = json_string(text);

    if (!string) { /* not UTF-8: what a server said may be anything */
        g_autofree char *valid = g_utf8_make_valid(text, -1);
        string = json_string(valid);
    }
    free(*slot);
    *slot = json_dumps(string, JSON_ENCODE_ANY);
    return *slot;
}

const char *report_end(struct report *r)
{
    g_string_append_c(r->text, ']');
    return r->text->str;
}

void report_clear(struct report *r)
{
    if (r->text)
        g_string_free(r->text, TRUE);
    r->text = NULL;
}
