/*
 * A readable plain text from an HTML part, for mails that bring none:
 *
 *   headings and paragraphs apart, lists with dashes or numbers, quotations
 *   behind "> ", rows of data tables on one line, rules, links as
 *   "text (address)", pictures as their alt text; wrapped at 76 columns, of
 *   which a Chinese or Japanese character takes two.
 *
 * What is hidden on the screen (a preheader, say) is left out.  The HTML parser
 * is libxml2's, which takes what browsers take.
 */
#ifndef TEMPLATES_HTML_TEXT_H
#define TEMPLATES_HTML_TEXT_H

#include <glib.h>

/* html_text: appends the text of an HTML document. */
void html_text(const char *html, size_t len, GString *out);

#endif
