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
