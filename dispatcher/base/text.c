#include "dispatcher/base/text.h"

#include <glib.h>
#include <string.h>

void text_cut(char *to, size_t size, const char *from, size_t most)
{
    g_autofree char *valid = g_utf8_make_valid(from, -1);
    const char *end = valid;

    for (size_t n = 0; *end && n < most; n++) {
        const char *next = g_utf8_next_char(end);
        if ((size_t)(next - valid) >= size)
            break;
        end = next;
    }
    memcpy(to, valid, (size_t)(end - valid));
    to[end - valid] = '\0';
}

bool text_too_deep(const char *text, size_t len)
{
    int depth = 0;
    bool in_string = false;

    for (size_t i = 0; i < len; i++) {
        if (in_string) {
            if (text[i] == '\\')
                i++;
            else if (text[i] == '"')
                in_string = false;
        } else if (text[i] == '"') {
            in_string = true;
        } else if ((text[i] == '{' || text[i] == '[') && ++depth > TEXT_MAX_DEPTH) {
            return true;
        } else if (text[i] == '}' || text[i] == ']') {
            depth--;
        }
    }
    return false;
}
