/*
 * Lines of a file of any size through the store, many at a time, answers in the
 * order of the lines.
 */
#ifndef DISPATCHER_CLI_STREAM_H
#define DISPATCHER_CLI_STREAM_H

#include "dispatcher/cli/cli.h"

struct stream_line; /* one line that waits for its answer */

/* Begins the work for a line; stream_answer() ends it, from the loop. */
typedef void stream_fn(struct cli *, const char *text, size_t len, struct stream_line *, void *arg);

/* stream_run: file NULL or "-" is standard input.  Prints each answer as a line; the exit status is 1 when one failed.
 */
int stream_run(struct cli *, const char *file, stream_fn *, void *arg);

/* stream_answer: takes the answer; good says whether the line was done. */
void stream_answer(struct stream_line *, json_t *answer, bool good);

#endif
