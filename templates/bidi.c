#include "templates/bidi.h"

#include <stdbool.h>
#include <string.h>

#define FIRST_STRONG_ISOLATE    "\u2068"
#define POP_DIRECTIONAL_ISOLATE "\u2069"

/* Three bytes each: U+202A to U+202E, embeddings and overrides, and U+2066 to U+2069, isolates. */
static bool turns(const char *p, const char *end)
{
    const unsigned char *b = (const unsigned char *)p;
    return end - p >= 3 && b[0] == 0xe2 &&
           ((b[1] == 0x80 && b[2] >= 0xaa && b[2] <= 0xae) || (b[1] == 0x81 && b[2] >= 0xa6 && b[2] <= 0xa9));
}

void bidi_strip(GString *out, size_t from)
{
    const char *end = out->str + out->len;
    char *to = out->str + from;

    for (const char *p = to; p < end;)
        if (turns(p, end))
            p += 3;
        else
            *to++ = *p++;
    g_string_truncate(out, (gsize)(to - out->str));
}

static bool stands_alone(const char *text)
{
    return text[strspn(text, "0123456789")] == '\0' || g_str_has_prefix(text, "https://") ||
           g_str_has_prefix(text, "http://");
}

void bidi_isolate(GString *out, size_t from)
{
    if (stands_alone(out->str + from))
        return;
    bidi_strip(out, from);
    g_string_insert(out, (gssize)from, FIRST_STRONG_ISOLATE);
    g_string_append(out, POP_DIRECTIONAL_ISOLATE);
}
