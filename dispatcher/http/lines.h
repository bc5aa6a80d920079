/*
 * Many at once: a body of lines (application/x-ndjson), one answer line for each,
 * in their order.
 */
#ifndef DISPATCHER_HTTP_LINES_H
#define DISPATCHER_HTTP_LINES_H

#include "dispatcher/http/http.h"

struct line; /* waits for its answer */

/* Begins the work for a line; line_answer() ends it, at once or from the loop. */
typedef void line_fn(struct request *, const char *text, size_t len, struct line *);

void answer_lines(struct request *, line_fn *);
/* line_answer: takes the answer. */
void line_answer(struct line *, json_t *answer);

#endif
