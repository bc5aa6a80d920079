#include "templates/html_text_own.h"

#include <libxml/HTMLparser.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH 200

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

struct walker {
    struct text_program *p;
    int number;   /* of the next item of the list; 0 in a list of dashes */
    int margin;   /* bytes of it */
    bool marked;  /* there are marks: else their letters are letters */
    size_t found; /* marks that stand where a value can stand */
    bool depends; /* on more of a value than that it stands there */
};

static int element_kind(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(elements); i++)
        if (strcmp(elements[i].name, name) == 0)
            return (int)elements[i].how;
    return INLINE;
}

/* ---------------------------------------------------------------- operations */

static void put(struct walker *w, struct text_op op)
{
    if (op.text)
        op.text = g_string_chunk_insert_len(w->p->strings, op.text, (gssize)op.len);
    g_array_append_val(w->p->ops, op);
}

static void put_kind(struct walker *w, int kind)
{
    put(w, (struct text_op){ .kind = kind });
}

static void put_text(struct walker *w, int kind, const char *text)
{
    put(w, (struct text_op){ .kind = kind, .text = text, .len = strlen(text) });
}

/* Text and the marks in it. */
static void put_pieces(struct walker *w, const char *text)
{
    const char *mark;

    for (; w->marked && (mark = strstr(text, MARK_OPEN)); text = strstr(mark, MARK_CLOSE) + strlen(MARK_CLOSE)) {
        if (mark > text)
            put(w, (struct text_op){ .kind = TEXT_LITERAL, .text = text, .len = (size_t)(mark - text) });
        put(w, (struct text_op){ .kind = TEXT_VALUE, .number = atoi(mark + strlen(MARK_OPEN)) });
    }
    if (*text)
        put_text(w, TEXT_LITERAL, text);
}

/* ---------------------------------------------------------------- elements */

static bool has_mark(const xmlChar *text)
{
    return text && strstr((const char *)text, MARK_OPEN);
}

size_t html_marks(const char *text)
{
    size_t n = 0;

    for (; (text = strstr(text, MARK_OPEN)); text++)
        n++;
    return n;
}

static bool is_hidden(struct walker *w, xmlNode *node)
{
    xmlChar *style = xmlGetProp(node, BAD_CAST "style"), *hidden = xmlGetProp(node, BAD_CAST "hidden");
    g_autofree char *flat = g_ascii_strdown(style ? (char *)style : "", -1);
    char *to = flat;

    for (const char *p = flat; *p; p++)
        if (!g_ascii_isspace(*p))
            *to++ = *p;
    *to = '\0';
    bool is = hidden || strstr(flat, "display:none") != NULL;
    w->depends |= has_mark(style);
    xmlFree(style);
    xmlFree(hidden);
    return is;
}

static void walk(struct walker *, xmlNode *, int depth);

static void walk_link(struct walker *w, xmlNode *node, int depth)
{
    xmlChar *href = xmlGetProp(node, BAD_CAST "href");

    put_kind(w, TEXT_LINK);
    walk(w, node->children, depth + 1);
    put_kind(w, TEXT_HREF);
    put_pieces(w, href ? (char *)href : "");
    put_kind(w, TEXT_LINK_END);
    xmlFree(href);
}

static void walk_image(struct walker *w, xmlNode *node)
{
    xmlChar *alt = xmlGetProp(node, BAD_CAST "alt");

    if (alt)
        put_pieces(w, (char *)alt);
    xmlFree(alt);
}

static void put_edge(struct walker *w, bool paragraph)
{
    put_kind(w, TEXT_FLUSH);
    if (paragraph)
        put_kind(w, TEXT_GAP);
}

static void walk_block(struct walker *w, xmlNode *node, bool paragraph, int depth)
{
    put_edge(w, paragraph);
    walk(w, node->children, depth + 1);
    put_edge(w, paragraph);
}

/* A list inside a list stands close to its item. */
static void walk_list(struct walker *w, xmlNode *node, int depth)
{
    int outer = w->number;
    xmlChar *start = xmlGetProp(node, BAD_CAST "start");
    bool numbered = strcmp((char *)node->name, "ol") == 0;

    w->number = !numbered ? 0 : start ? CLAMP(atoi((char *)start), 1, 9999) : 1;
    w->depends |= has_mark(start);
    xmlFree(start);
    walk_block(w, node, w->margin == 0, depth);
    w->number = outer;
}

static void walk_within(struct walker *w, xmlNode *node, const char *margin, bool paragraph, int depth)
{
    int len = (int)strlen(margin);

    put_edge(w, paragraph);
    put_text(w, TEXT_MARGIN, margin);
    w->margin += len;
    walk(w, node->children, depth + 1);
    put_kind(w, TEXT_FLUSH);
    put(w, (struct text_op){ .kind = TEXT_MARGIN_END, .number = len });
    w->margin -= len;
    if (paragraph)
        put_kind(w, TEXT_GAP);
}

static void walk_item(struct walker *w, xmlNode *node, int depth)
{
    char bullet[16] = "- ";

    put_kind(w, TEXT_FLUSH);
    if (w->number)
        g_snprintf(bullet, sizeof bullet, "%d. ", w->number++);
    put_text(w, TEXT_BULLET, bullet);
    g_autofree char *margin = g_strnfill(strlen(bullet), ' ');
    walk_within(w, node, margin, false, depth);
    put_text(w, TEXT_BULLET, "");
}

static void walk_pre(struct walker *w, xmlNode *node, int depth)
{
    put_edge(w, true);
    put_kind(w, TEXT_PRE);
    walk(w, node->children, depth + 1);
    put_kind(w, TEXT_PRE_END);
    put_kind(w, TEXT_GAP);
}

static void walk_element(struct walker *w, xmlNode *node, int depth)
{
    int kind = element_kind((const char *)node->name);

    if (kind == SKIP || is_hidden(w, node))
        return;
    switch (kind) {
    case BREAK: put_kind(w, TEXT_FLUSH); break;
    case RULE: put_kind(w, TEXT_RULE); break;
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
        put_kind(w, TEXT_SPACE);
        break;
    default: walk(w, node->children, depth + 1);
    }
}

static void walk(struct walker *w, xmlNode *node, int depth)
{
    if (depth > MAX_DEPTH)
        return;
    for (; node; node = node->next) {
        if (node->type == XML_TEXT_NODE)
            put_pieces(w, (const char *)node->content);
        else if (node->type == XML_ELEMENT_NODE)
            walk_element(w, node, depth);
    }
}

/* Marks in running text, in what is not shown and in values of attributes; what is part of a name is none of these. */
static void find_marks(struct walker *w, xmlNode *node, int depth)
{
    for (; node && depth <= 4 * MAX_DEPTH; node = node->next) {
        if (node->type != XML_ELEMENT_NODE && node->content)
            w->found += html_marks((const char *)node->content);
        for (xmlAttr *a = node->type == XML_ELEMENT_NODE ? node->properties : NULL; a; a = a->next) {
            xmlChar *value = xmlNodeListGetString(node->doc, a->children, 1);
            w->found += value ? html_marks((const char *)value) : 0;
            xmlFree(value);
        }
        if (node->type == XML_ELEMENT_NODE)
            find_marks(w, node->children, depth + 1);
    }
}

/* ---------------------------------------------------------------- the program */

struct text_program *html_compile(const char *html, size_t len, size_t values)
{
    htmlDocPtr doc = htmlReadMemory(html, (int)len, NULL, "UTF-8",
                                    HTML_PARSE_RECOVER | HTML_PARSE_NOERROR | HTML_PARSE_NOWARNING | HTML_PARSE_NONET);
    struct text_program *p = g_new0(struct text_program, 1);
    struct walker w = { .p = p, .marked = values > 0 };

    p->ops = g_array_new(FALSE, FALSE, sizeof(struct text_op));
    p->strings = g_string_chunk_new(1024);
    if (doc) {
        if (values)
            find_marks(&w, xmlDocGetRootElement(doc), 0);
        walk(&w, xmlDocGetRootElement(doc), 0);
        xmlFreeDoc(doc);
    }
    put_kind(&w, TEXT_FLUSH);
    if (w.found == values && !w.depends)
        return p;
    text_program_free(p);
    return NULL;
}

void text_program_free(struct text_program *p)
{
    if (!p)
        return;
    g_array_unref(p->ops);
    g_string_chunk_free(p->strings);
    g_free(p);
}
