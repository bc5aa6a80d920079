/*
 * A readable plain text from an HTML part, for mails that bring none: headings,
 * paragraphs, lists, table cells, links as "text (address)", entities, wrapped
 * at 76 columns.  The HTML parser is libxml2's, which takes what browsers take.
 */
#ifndef TEMPLATES_HTML_TEXT_H
#define TEMPLATES_HTML_TEXT_H

#include <glib.h>

/* html_text: appends the text of an HTML document. */
void html_text(const char *html, size_t len, GString *out);

#endif
