/*
 * What each worker says of itself, for `tidings queue`: gone a few seconds after
 * the worker is.
 */
#ifndef DISPATCHER_STORE_ROSTER_H
#define DISPATCHER_STORE_ROSTER_H

#include "dispatcher/store/store.h"

/* store_worker_says: `text` is JSON; said anew each second or so. */
void store_worker_says(struct store *, const char *name, const char *text);
/* store_workers: a list of what they say, by name. */
void store_workers(struct store *, json_fn *, void *arg);

#endif
