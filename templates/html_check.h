/*
 * What is wrong with an HTML part as it would be sent: tags that do not match,
 * pictures without alt text, links that are not secure.  The parser is libxml2's.
 */
#ifndef TEMPLATES_HTML_CHECK_H
#define TEMPLATES_HTML_CHECK_H

#include <stdbool.h>
#include <stddef.h>

/* line: of the HTML, from 1. */
typedef void html_finding_fn(void *arg, bool error, int line, const char *what);
/* html_check_quotes: of a template: a value is an attribute without quotation marks, which the first blank ends. */
void html_check_quotes(const char *source, html_finding_fn *, void *arg);
void html_check(const char *html, size_t len, html_finding_fn *, void *arg);

#endif
