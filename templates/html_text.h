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
 *
 * The mails of a template differ in their values alone, as a rule.  What stands
 * around the values, a shape, is parsed once and becomes a program that writes
 * the text from values; a template has as many shapes as ways through its
 * sections.  The text is the same, byte for byte.
 */
#ifndef TEMPLATES_HTML_TEXT_H
#define TEMPLATES_HTML_TEXT_H

#include <glib.h>
#include <stdbool.h>

/* html_text: appends the text of an HTML document. */
void html_text(const char *html, size_t len, GString *out);

/* Where in the document a value stands, escaped; raw: it may hold markup. */
struct html_value {
    size_t from, to;
    bool raw;
};

struct html_shapes;
struct html_shapes *html_shapes_new(void);
void html_shapes_free(struct html_shapes *);
/* html_text_by_shape: the same as html_text(); the values in their order. */
void html_text_by_shape(struct html_shapes *, const GString *html, const struct html_value *, size_t count,
                        GString *out);

#endif
