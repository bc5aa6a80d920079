/*
 * Rows of a file of any size through the store, many at a time, answers in the
 * order of the rows.
 */
#ifndef DISPATCHER_CLI_STREAM_H
#define DISPATCHER_CLI_STREAM_H

#include "dispatcher/cli/cli.h"

struct stream;
struct stream_line; /* one row that waits for its answer */

struct stream_options {
    bool quiet;    /* a summary instead of the answers */
    bool silent;   /* only the answers of what was refused, on standard error */
    bool numbered; /* each answer says the line on which its row begins */
};

/* Begins the work for a line; stream_answer() ends it, from the loop. */
typedef void stream_fn(struct cli *, const char *text, size_t len, struct stream_line *, void *arg);

/* stream_run: file NULL or "-" is standard input.  Prints each answer as a line; the exit status is 1 when one failed.
 */
int stream_run(struct cli *, const char *file, const struct stream_options *, stream_fn *, void *arg);

/* stream_open, stream_row, stream_close: the same for whoever finds the rows itself.  stream_row waits while many are
 * open; done: bytes read so far, for the progress bar.  stream_close waits for all and gives the exit status. */
struct stream *stream_open(struct cli *, const struct stream_options *, int64_t size);
struct stream_line *stream_row(struct stream *, int64_t number, int64_t done);
int stream_close(struct stream *);

/* stream_number: the line on which the row begins. */
int64_t stream_number(const struct stream_line *);

/* stream_answer: takes the answer; good says whether the row was done. */
void stream_answer(struct stream_line *, json_t *answer, bool good);

#endif
