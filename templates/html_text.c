#include "templates/html_text.h"

#include <libxml/HTMLparser.h>
#include <stdbool.h>
#include <string.h>

#define COLUMNS   76
#define MAX_DEPTH 200

struct writer {
    GString *out;
    GString *line; /* the paragraph so far, blanks collapsed */
    int indent;
    const char *bullet; /* goes before the first line of a list item */
    bool gap;           /* an empty line is due before the next paragraph */
};

static const struct {
    const char *name;
    enum { SKIP = 1, BLOCK = 2, PARAGRAPH = 4, ITEM = 8 } how;
} elements[] = {
    { "head", SKIP },     { "style", SKIP },   { "script", SKIP },      { "template", SKIP },
    { "p", PARAGRAPH },   { "h1", PARAGRAPH }, { "h2", PARAGRAPH },     { "h3", PARAGRAPH },
    { "h4", PARAGRAPH },  { "ul", PARAGRAPH }, { "ol", PARAGRAPH },     { "table", BLOCK },
    { "tr", BLOCK },      { "div", BLOCK },    { "li", ITEM },          { "blockquote", PARAGRAPH },
    { "section", BLOCK }, { "header", BLOCK }, { "footer", PARAGRAPH }, { "hr", PARAGRAPH },
};

static int element_kind(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(elements); i++)
        if (strcmp(elements[i].name, name) == 0)
            return (int)elements[i].how;
    return 0;
}

static void line_flush(struct writer *w)
{
    /* libxml2 lets bytes through that are no UTF-8 */
    g_autofree char *valid = g_utf8_make_valid(w->line->str, (gssize)w->line->len);
    const char *p = valid;
    bool first = true;

    while (*p == ' ')
        p++;
    if (*p && w->gap && w->out->len)
        g_string_append_c(w->out, '\n');
    if (*p)
        w->gap = false;
    while (*p) {
        glong columns = 0, room = COLUMNS - w->indent;
        const char *cut = NULL, *q = p;
        for (; *q && (columns < room || !cut); q = g_utf8_next_char(q), columns++)
            if (*q == ' ')
                cut = q;
        if (!*q || !cut)
            cut = q;
        int lead = w->indent;
        if (first && w->bullet)
            lead -= 2;
        g_string_append_printf(w->out, "%*s%s%.*s", lead, "", first && w->bullet ? w->bullet : "", (int)(cut - p), p);
        while (w->out->len && w->out->str[w->out->len - 1] == ' ')
            g_string_truncate(w->out, w->out->len - 1);
        g_string_append_c(w->out, '\n');
        for (p = cut; *p == ' '; p++)
            ;
        if (first)
            w->bullet = NULL;
        first = false;
    }
    g_string_truncate(w->line, 0);
}

static void text_add(struct writer *w, const char *text)
{
    for (; *text; text++) {
        bool blank = strchr(" \t\r\n", *text) != NULL;
        if (blank && (w->line->len == 0 || w->line->str[w->line->len - 1] == ' '))
            continue;
        g_string_append_c(w->line, blank ? ' ' : *text);
    }
}

static bool is_hidden(xmlNode *node)
{
    xmlChar *style = xmlGetProp(node, BAD_CAST "style");
    xmlChar *flat = style;
    bool hidden = false;

    if (flat) {
        g_autofree char *text = g_strdup((char *)flat);
        char *to = text;
        for (const char *p = text; *p; p++)
            if (*p != ' ')
                *to++ = *p;
        *to = '\0';
        hidden = strstr(text, "display:none") != NULL;
    }
    xmlFree(style);
    return hidden;
}

static void walk(struct writer *, xmlNode *, int depth);

static void walk_link(struct writer *w, xmlNode *node, int depth)
{
    size_t before = w->line->len;
    xmlChar *href = xmlGetProp(node, BAD_CAST "href");

    walk(w, node->children, depth + 1);
    if (href && *href && *href != '#' && w->line->len > before && strcmp(w->line->str + before, (char *)href) != 0)
        g_string_append_printf(w->line, " (%s)", href);
    else if (href && w->line->len == before && (g_str_has_prefix((char *)href, "http")))
        text_add(w, (char *)href);
    xmlFree(href);
}

static void walk_block(struct writer *w, xmlNode *node, int kind, int depth)
{
    line_flush(w);
    w->gap |= kind == PARAGRAPH;
    if (kind == ITEM) {
        w->indent += 2;
        w->bullet = "- ";
    }
    walk(w, node->children, depth + 1);
    line_flush(w);
    w->gap |= kind == PARAGRAPH;
    if (kind == ITEM) {
        w->indent -= 2;
        w->bullet = NULL;
    }
}

static void walk_element(struct writer *w, xmlNode *node, int depth)
{
    const char *name = (const char *)node->name;
    int kind = element_kind(name);

    if (kind == SKIP || is_hidden(node))
        return;
    if (strcmp(name, "br") == 0) {
        line_flush(w);
    } else if (strcmp(name, "a") == 0) {
        walk_link(w, node, depth);
    } else if (strcmp(name, "img") == 0) {
        xmlChar *alt = xmlGetProp(node, BAD_CAST "alt");
        if (alt)
            text_add(w, (char *)alt);
        xmlFree(alt);
    } else if (kind) {
        walk_block(w, node, kind, depth);
    } else {
        walk(w, node->children, depth + 1);
        if (strcmp(name, "td") == 0 || strcmp(name, "th") == 0)
            text_add(w, " ");
    }
}

static void walk(struct writer *w, xmlNode *node, int depth)
{
    if (depth > MAX_DEPTH)
        return;
    for (; node; node = node->next) {
        if (node->type == XML_TEXT_NODE)
            text_add(w, (const char *)node->content);
        else if (node->type == XML_ELEMENT_NODE)
            walk_element(w, node, depth);
    }
}

void html_text(const char *html, size_t len, GString *out)
{
    htmlDocPtr doc = htmlReadMemory(html, (int)len, NULL, "UTF-8",
                                    HTML_PARSE_RECOVER | HTML_PARSE_NOERROR | HTML_PARSE_NOWARNING | HTML_PARSE_NONET);
    struct writer w = { .out = out, .line = g_string_new(NULL) };

    if (doc) {
        walk(&w, xmlDocGetRootElement(doc), 0);
        line_flush(&w);
        xmlFreeDoc(doc);
    }
    g_string_free(w.line, TRUE);
}
