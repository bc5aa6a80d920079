#include "templates/html_text.h"

#include <libxml/HTMLparser.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS   76
#define MAX_DEPTH 200

/* Inside a list, or nothing. */
struct list {
    int number; /* of the next item; 0 in a list of dashes */
};

struct writer {
    GString *out;
    GString *line;   /* the paragraph so far, blanks collapsed */
    GString *margin; /* stands before each line: "> ", or blanks below a bullet */
    char bullet[16]; /* goes into the margin of the first line of an item */
    struct list list;
    bool gap; /* an empty line is due before the next paragraph */
    bool preformatted;
};

static const struct element {
    const char *name;
    enum { INLINE, SKIP, BLOCK, PARAGRAPH, LIST, ITEM, QUOTE, PRE, RULE, BREAK, LINK, IMAGE, CELL } how;
} elements[] = {
    { "head", SKIP },         { "style", SKIP },    { "script", SKIP },  { "template", SKIP },    { "p", PARAGRAPH },
    { "h1", PARAGRAPH },      { "h2", PARAGRAPH },  { "h3", PARAGRAPH }, { "h4", PARAGRAPH },     { "h5", PARAGRAPH },
    { "h6", PARAGRAPH },      { "ul", LIST },       { "ol", LIST },      { "li", ITEM },          { "table", BLOCK },
    { "tr", BLOCK },          { "td", CELL },       { "th", CELL },      { "caption", BLOCK },    { "div", BLOCK },
    { "section", BLOCK },     { "article", BLOCK }, { "header", BLOCK }, { "footer", PARAGRAPH }, { "main", BLOCK },
    { "center", BLOCK },      { "dl", PARAGRAPH },  { "dt", BLOCK },     { "dd", BLOCK },         { "pre", PRE },
    { "blockquote", QUOTE },  { "hr", RULE },       { "br", BREAK },     { "a", LINK },           { "img", IMAGE },
    { "address", PARAGRAPH },
};

static int element_kind(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(elements); i++)
        if (strcmp(elements[i].name, name) == 0)
            return (int)elements[i].how;
    return INLINE;
}

/* ---------------------------------------------------------------- lines */

static int columns_of(gunichar c)
{
    return g_unichar_iszerowidth(c) ? 0 : g_unichar_iswide(c) ? 2 : 1;
}

/* Between two wide characters a line may end, but not before a closing mark. */
static bool may_break(gunichar before, const char *after)
{
    gunichar next = *after ? g_utf8_get_char(after) : 0;
    GUnicodeType type = next ? g_unichar_type(next) : 0;

    return g_unichar_iswide(before) && next && type != G_UNICODE_CLOSE_PUNCTUATION &&
           type != G_UNICODE_FINAL_PUNCTUATION && type != G_UNICODE_OTHER_PUNCTUATION &&
           type != G_UNICODE_MODIFIER_LETTER && type != G_UNICODE_NON_SPACING_MARK;
}

/* Where the line that begins at p ends: before a blank, between wide characters, or else after the word. */
static const char *line_cut(const char *p, int room)
{
    const char *cut = NULL;
    int columns = 0;

    for (const char *q = p; *q; q = g_utf8_next_char(q)) {
        gunichar c = g_utf8_get_char(q);
        if (*q == ' ')
            cut = q;
        columns += columns_of(c);
        if (columns > room && cut)
            return cut;
        if (may_break(c, g_utf8_next_char(q)) && columns <= room)
            cut = g_utf8_next_char(q);
    }
    return p + strlen(p);
}

static void line_put(struct writer *w, const char *from, const char *to)
{
    size_t bullet = strlen(w->bullet);

    if (bullet && w->margin->len >= bullet)
        g_string_append_len(w->out, w->margin->str, (gssize)(w->margin->len - bullet));
    else
        g_string_append(w->out, w->margin->str);
    g_string_append(w->out, w->bullet);
    w->bullet[0] = '\0';
    g_string_append_len(w->out, from, to - from);
    while (w->out->len && w->out->str[w->out->len - 1] == ' ')
        g_string_truncate(w->out, w->out->len - 1);
    g_string_append_c(w->out, '\n');
}

static void gap_put(struct writer *w)
{
    if (w->gap && w->out->len)
        g_string_append_c(w->out, '\n');
    w->gap = false;
}

static void line_flush(struct writer *w)
{
    /* libxml2 lets bytes through that are no UTF-8 */
    g_autofree char *valid = g_utf8_make_valid(w->line->str, (gssize)w->line->len);
    int room = COLUMNS - (int)w->margin->len;

    g_string_truncate(w->line, 0);
    for (const char *p = valid + strspn(valid, " "); *p; p += strspn(p, " ")) {
        const char *cut = line_cut(p, MAX(room, 20));
        gap_put(w);
        line_put(w, p, cut);
        p = cut;
    }
}

static void text_add(struct writer *w, const char *text)
{
    for (; *text; text++) {
        bool blank = strchr(" \t\r\n", *text) != NULL;
        if (w->preformatted && *text == '\n') {
            g_autofree char *valid = g_utf8_make_valid(w->line->str, (gssize)w->line->len);
            gap_put(w);
            line_put(w, valid, valid + strlen(valid));
            g_string_truncate(w->line, 0);
        } else if (w->preformatted) {
            g_string_append_c(w->line, *text);
        } else if (!blank || (w->line->len && w->line->str[w->line->len - 1] != ' ')) {
            g_string_append_c(w->line, blank ? ' ' : *text);
        }
    }
}

/* ---------------------------------------------------------------- elements */

static bool is_hidden(xmlNode *node)
{
    xmlChar *style = xmlGetProp(node, BAD_CAST "style"), *hidden = xmlGetProp(node, BAD_CAST "hidden");
    g_autofree char *flat = g_ascii_strdown(style ? (char *)style : "", -1);
    char *to = flat;

    for (const char *p = flat; *p; p++)
        if (!g_ascii_isspace(*p))
            *to++ = *p;
    *to = '\0';
    bool is = hidden || strstr(flat, "display:none") != NULL;
    xmlFree(style);
    xmlFree(hidden);
    return is;
}

static void walk(struct writer *, xmlNode *, int depth);

static void walk_link(struct writer *w, xmlNode *node, int depth)
{
    size_t before = w->line->len;
    xmlChar *href = xmlGetProp(node, BAD_CAST "href");
    const char *to = href ? (char *)href : "";

    walk(w, node->children, depth + 1);
    to += g_str_has_prefix(to, "mailto:") ? 7 : 0;
    bool worth_telling = *to && *to != '#' && strcmp(w->line->str + MIN(before, w->line->len), to) != 0;
    if (worth_telling && w->line->len > before)
        g_string_append_printf(w->line, " (%s)", to);
    else if (worth_telling && g_str_has_prefix(to, "http"))
        text_add(w, to);
    xmlFree(href);
}

static void walk_image(struct writer *w, xmlNode *node)
{
    xmlChar *alt = xmlGetProp(node, BAD_CAST "alt");

    if (alt)
        text_add(w, (char *)alt);
    xmlFree(alt);
}

static void walk_block(struct writer *w, xmlNode *node, bool paragraph, int depth)
{
    line_flush(w);
    w->gap |= paragraph;
    walk(w, node->children, depth + 1);
    line_flush(w);
    w->gap |= paragraph;
}

/* A list inside a list stands close to its item. */
static void walk_list(struct writer *w, xmlNode *node, int depth)
{
    struct list outer = w->list;
    bool inner = w->margin->len > 0;

    xmlChar *start = xmlGetProp(node, BAD_CAST "start");
    bool numbered = strcmp((char *)node->name, "ol") == 0;
    w->list = (struct list){ !numbered ? 0 : start ? CLAMP(atoi((char *)start), 1, 9999) : 1 };
    xmlFree(start);
    walk_block(w, node, !inner, depth);
    w->list = outer;
}

static void walk_within(struct writer *w, xmlNode *node, const char *margin, bool paragraph, int depth)
{
    size_t before = w->margin->len;

    line_flush(w);
    w->gap |= paragraph;
    g_string_append(w->margin, margin);
    walk(w, node->children, depth + 1);
    line_flush(w);
    g_string_truncate(w->margin, before);
    w->gap |= paragraph;
}

static void walk_item(struct writer *w, xmlNode *node, int depth)
{
    char bullet[16] = "- ";

    line_flush(w);
    if (w->list.number)
        g_snprintf(bullet, sizeof bullet, "%d. ", w->list.number++);
    g_strlcpy(w->bullet, bullet, sizeof w->bullet);
    g_autofree char *margin = g_strnfill(strlen(bullet), ' ');
    walk_within(w, node, margin, false, depth);
    w->bullet[0] = '\0';
}

static void walk_pre(struct writer *w, xmlNode *node, int depth)
{
    line_flush(w);
    w->gap = true;
    w->preformatted = true;
    walk(w, node->children, depth + 1);
    if (w->line->len)
        text_add(w, "\n");
    w->preformatted = false;
    w->gap = true;
}

static void put_rule(struct writer *w)
{
    static const char rule[] = "----------------------------------------";

    line_flush(w);
    w->gap = true;
    gap_put(w);
    line_put(w, rule, rule + strlen(rule));
    w->gap = true;
}

static void walk_element(struct writer *w, xmlNode *node, int depth)
{
    int kind = element_kind((const char *)node->name);

    if (kind == SKIP || is_hidden(node))
        return;
    switch (kind) {
    case BREAK: line_flush(w); break;
    case RULE: put_rule(w); break;
    case LINK: walk_link(w, node, depth); break;
    case IMAGE: walk_image(w, node); break;
    case BLOCK:
    case PARAGRAPH: walk_block(w, node, kind == PARAGRAPH, depth); break;
    case LIST: walk_list(w, node, depth); break;
    case ITEM: walk_item(w, node, depth); break;
    case QUOTE: walk_within(w, node, "> ", true, depth); break;
    case PRE: walk_pre(w, node, depth); break;
    case CELL:
        walk(w, node->children, depth + 1);
        if (w->line->len)
            text_add(w, " ");
        break;
    default: walk(w, node->children, depth + 1);
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
    struct writer w = { .out = out, .line = g_string_new(NULL), .margin = g_string_new(NULL) };

    if (doc) {
        walk(&w, xmlDocGetRootElement(doc), 0);
        line_flush(&w);
        xmlFreeDoc(doc);
    }
    g_string_free(w.line, TRUE);
    g_string_free(w.margin, TRUE);
}
