#include "templates/html_check.h"

#include <glib.h>
#include <libxml/HTMLparser.h>
#include <libxml/xmlerror.h>
#include <string.h>

struct checking {
    html_finding_fn *finding;
    void *arg;
};

/* ---------------------------------------------------------------- what the parser complains about */

static void on_error(void *arg, xmlErrorPtr e)
{
    const struct checking *c = arg;
    g_autofree char *text = g_strstrip(g_strdup(e->message ? e->message : ""));

    /* libxml2 knows HTML 4: <main> and its like are no fault */
    if (e->code == XML_HTML_UNKNOWN_TAG)
        return;
    bool entity = strstr(text, "EntityRef") != NULL;
    g_autofree char *what =
        entity ? g_strdup("a \"&\" that begins no entity; write &amp;") : g_strdup_printf("broken HTML: %s", text);
    c->finding(c->arg, !entity, e->line, what);
}

/* ---------------------------------------------------------------- what stands in the tree */

static void check_address(const struct checking *c, const xmlNode *node, const char *attribute)
{
    xmlChar *value = xmlGetProp((xmlNode *)node, BAD_CAST attribute);
    g_autofree char *address = value ? g_ascii_strdown((char *)value, -1) : NULL;

    if (address && g_str_has_prefix(address, "http://")) {
        g_autofree char *what = g_strdup_printf("%s=\"%s\" is not secure; use https", attribute, (char *)value);
        c->finding(c->arg, false, (int)xmlGetLineNo((xmlNode *)node), what);
    }
    if (address && (g_str_has_prefix(address, "javascript:") || g_str_has_prefix(address, "vbscript:")))
        c->finding(c->arg, true, (int)xmlGetLineNo((xmlNode *)node), "a link must not be a script");
    xmlFree(value);
}

static void check_element(const struct checking *c, const xmlNode *node)
{
    int line = (int)xmlGetLineNo((xmlNode *)node);

    check_address(c, node, "href");
    check_address(c, node, "src");
    check_address(c, node, "action");
    if (strcmp((const char *)node->name, "img") == 0 && !xmlHasProp((xmlNode *)node, BAD_CAST "alt"))
        c->finding(c->arg, true, line, "a picture without alt text; write alt=\"\" when it says nothing");
    if (strcmp((const char *)node->name, "script") == 0)
        c->finding(c->arg, true, line, "mail programs do not run scripts");
}

static void walk(const struct checking *c, const xmlNode *node, int depth)
{
    for (; node && depth < 200; node = node->next)
        if (node->type == XML_ELEMENT_NODE) {
            check_element(c, node);
            walk(c, node->children, depth + 1);
        }
}

void html_check(const char *html, size_t len, html_finding_fn *finding, void *arg)
{
    struct checking c = { finding, arg };

    xmlSetStructuredErrorFunc(&c, on_error);
    htmlDocPtr doc = htmlReadMemory(html, (int)len, NULL, "UTF-8", HTML_PARSE_RECOVER | HTML_PARSE_NONET);
    xmlSetStructuredErrorFunc(NULL, NULL);
    if (doc)
        walk(&c, xmlDocGetRootElement(doc), 0);
    xmlFreeDoc(doc);
}

/* ---------------------------------------------------------------- what stands in a template */

/* Behind a tag of the template. */
static const char *skip_mustache(const char *p)
{
    const char *close = g_str_has_prefix(p, "{{{") ? "}}}" : "}}", *end = strstr(p, close);
    return end ? end + strlen(close) : p + strlen(p);
}

/* The attribute that stands before `=` in a tag. */
static void tell_unquoted(const char *tag, const char *value, const char *source, html_finding_fn *finding, void *arg)
{
    const char *end = value, *begin;
    int line = 1;

    while (end > tag && (end[-1] == '=' || g_ascii_isspace(end[-1])))
        end--;
    for (begin = end; begin > tag && (g_ascii_isalnum(begin[-1]) || begin[-1] == '-');)
        begin--;
    for (const char *p = source; p < value; p++)
        line += *p == '\n';
    g_autofree char *what = g_strdup_printf("%.*s={{…}} needs quotation marks: a blank in the value would end it",
                                            (int)(end - begin), begin);
    finding(arg, true, line, what);
}

/* Behind an attribute's value; a value of the template in one without quotation marks is told. */
static const char *skip_value(const char *tag, const char *p, const char *source, html_finding_fn *finding, void *arg)
{
    char quote = *p == '"' || *p == '\'' ? *p++ : 0;
    bool told = false;

    for (const char *value = p; *p && (quote ? *p != quote : *p != '>' && !g_ascii_isspace(*p));) {
        bool mustache = g_str_has_prefix(p, "{{");
        if (mustache && !quote && !told && !strchr("#^/!>$<=", p[2])) {
            tell_unquoted(tag, value, source, finding, arg);
            told = true;
        }
        p = mustache ? skip_mustache(p) : p + 1;
    }
    return quote && *p ? p + 1 : p;
}

static const char *skip_tag(const char *tag, const char *source, html_finding_fn *finding, void *arg)
{
    const char *p = tag + 1;

    while (*p && *p != '>') {
        bool value = *p == '=';
        if (g_str_has_prefix(p, "{{"))
            p = skip_mustache(p);
        else
            p++;
        if (value) {
            p += strspn(p, " \t\r\n");
            p = skip_value(tag, p, source, finding, arg);
        }
    }
    return p;
}

void html_check_quotes(const char *source, html_finding_fn *finding, void *arg)
{
    for (const char *p = source; *p;) {
        if (g_str_has_prefix(p, "<!--"))
            p = strstr(p, "-->") ? strstr(p, "-->") : p + strlen(p);
        else if (g_str_has_prefix(p, "{{"))
            p = skip_mustache(p);
        else if (*p == '<' && g_ascii_isalpha(p[1]))
            p = skip_tag(p, source, finding, arg);
        else
            p++;
    }
}
