/*
 * A progress bar with rate and time left, on a terminal; nothing without one.
 */
#ifndef DISPATCHER_CLI_PROGRESS_H
#define DISPATCHER_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
    bool shown;
    int64_t total; /* bytes; 0: not known */
    double began, drawn;
};

void progress_begin(struct progress *, int64_t total_bytes);
void progress_step(struct progress *, int64_t done_bytes, int64_t count);
void progress_end(struct progress *);

#endif
