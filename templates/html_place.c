#include "templates/html_place.h"

#include <glib.h>
#include <string.h>

static const char *const link_attributes[] = { "href", "src", "action", "background", "poster", "cite", "data", NULL };

static const char *skip_back(const char *from, const char *p)
{
    while (p > from && g_ascii_isspace(p[-1]))
        p--;
    return p;
}

/* … href = " */
static bool begins_link(const char *html, size_t at)
{
    const char *p = skip_back(html, html + at);

    if (p > html && (p[-1] == '"' || p[-1] == '\''))
        p = skip_back(html, p - 1);
    if (p == html || p[-1] != '=')
        return false;
    p = skip_back(html, p - 1);
    for (const char *const *name = link_attributes; *name; name++) {
        size_t len = strlen(*name);
        if ((size_t)(p - html) > len && g_ascii_strncasecmp(p - len, *name, len) == 0)
            return true;
    }
    return false;
}

enum html_place html_place(const char *html, size_t at)
{
    const char *open = memrchr(html, '<', at), *close = memrchr(html, '>', at);

    if (!open || !(g_ascii_isalpha(open[1]) || open[1] == '/'))
        return HTML_TEXT;
    if (!close || close < open)
        return begins_link(html, at) ? HTML_LINK : HTML_TAG;
    return g_ascii_strncasecmp(open, "<style", 6) == 0 || g_ascii_strncasecmp(open, "<script", 7) == 0 ? HTML_CODE
                                                                                                       : HTML_TEXT;
}

bool html_link_runs(const char *address)
{
    char scheme[24];
    size_t n = 0;

    for (const char *p = address; *p && n < sizeof scheme - 1; p++)
        if ((unsigned char)*p > ' ')
            scheme[n++] = g_ascii_tolower(*p);
    scheme[n] = '\0';
    return g_str_has_prefix(scheme, "javascript:") || g_str_has_prefix(scheme, "vbscript:") ||
           (g_str_has_prefix(scheme, "data:") && !g_str_has_prefix(scheme, "data:image/"));
}
