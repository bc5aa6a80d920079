/*
 * The program that writes a text: made by html_walk.c from a document in which
 * marks stand for values, run by html_text.c.
 */
#ifndef TEMPLATES_HTML_TEXT_OWN_H
#define TEMPLATES_HTML_TEXT_OWN_H

#include "templates/html_text.h"

/* A mark is MARK_OPEN, the number of the value, MARK_CLOSE: letters of nobody's (U+F8F0, U+F8F1). */
#define MARK_OPEN  "\xef\xa3\xb0"
#define MARK_CLOSE "\xef\xa3\xb1"

/* html_marks: how many there are in a text. */
size_t html_marks(const char *text);

struct text_op {
    enum {
        TEXT_LITERAL,    /* text, len */
        TEXT_VALUE,      /* number */
        TEXT_FLUSH,      /* a line ends */
        TEXT_GAP,        /* an empty line is due before what comes */
        TEXT_MARGIN,     /* text: stands before each line from here on */
        TEXT_MARGIN_END, /* number: so many bytes of it end */
        TEXT_BULLET,     /* text: in the margin of the next line; "" takes it back */
        TEXT_PRE,        /* blanks and lines stay as they are */
        TEXT_PRE_END,
        TEXT_RULE,
        TEXT_SPACE, /* if the line has begun */
        TEXT_LINK,  /* what comes is its text, then … */
        TEXT_HREF,  /* … its address … */
        TEXT_LINK_END,
    } kind;
    int number;
    const char *text;
    size_t len;
};

struct text_program {
    GArray *ops; /* struct text_op */
    GStringChunk *strings;
};

/* html_compile: NULL when the text depends on the values in another way than by standing there.  values: how many marks
 * there are, each of which the document has once. */
struct text_program *html_compile(const char *html, size_t len, size_t values);
void text_program_free(struct text_program *);

#endif
