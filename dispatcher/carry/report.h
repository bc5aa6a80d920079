/*
 * The trace of one attempt: which gate said what, and on which inputs.
 *
 * Kept as one compact JSON text, [at, letter, [gate, verdict, {detail}], …], which
 * the store keeps as it is and show() spells out.
 */
#ifndef DISPATCHER_CARRY_REPORT_H
#define DISPATCHER_CARRY_REPORT_H

#include <glib.h>
#include <stdint.h>

struct report {
    GString *text;
};

void report_begin(struct report *, int64_t now, char letter);
/* report_fact: detail is a JSON object as a printf format, or NULL. */
void report_fact(struct report *, const char *gate, const char *verdict, const char *detail, ...)
    __attribute__((format(printf, 4, 5)));
/* report_quoted: a text as a JSON string, to stand in a detail; valid until the next call but three. */
const char *report_quoted(const char *text);
/* report_end: the text, borrowed until report_clear. */
const char *report_end(struct report *);
void report_clear(struct report *);

#endif
