/*
 * Where in HTML that is being written something is about to stand.
 */
#ifndef TEMPLATES_HTML_PLACE_H
#define TEMPLATES_HTML_PLACE_H

#include <stdbool.h>
#include <stddef.h>

enum html_place {
    HTML_TEXT, /* running text, a title */
    HTML_CODE, /* <style>, <script> */
    HTML_TAG,  /* inside a tag: mostly the value of an attribute */
    HTML_LINK, /* at the beginning of an attribute that holds an address */
};

/* html_place: behind the first `at` bytes. */
enum html_place html_place(const char *html, size_t at);
/* html_link_runs: an address that runs a script or brings its own content, as browsers read it: blanks and letter case
 * do not matter.  Pictures may come as data. */
bool html_link_runs(const char *address);

#endif
