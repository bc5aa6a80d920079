/*
 * What only a rehearsal asks of its store: when something is due next, and who is
 * there; and a part of another store, read there and written into its own, which
 * has as many partitions.
 */
#ifndef DISPATCHER_STORE_REHEARSAL_H
#define DISPATCHER_STORE_REHEARSAL_H

#include "dispatcher/store/store.h"

/* store_next: the next instant at which anything is due, -1 for never, and how many deliveries and people are in
 * somebody's hand. */
typedef void next_fn(void *arg, bool ok, int64_t next, int in_hand);
void store_next(struct store *, next_fn *, void *arg);
/* store_everybody: [recipient, …] in no order; the store is small. */
void store_everybody(struct store *, json_fn *, void *arg);

struct copy;

/* store_copy: people: ids; everything of theirs and what is pending for them.  names: [[whose, key], …]: keys in the
 * partition of a name; and of all partitions, how sequences stand, stops, and the definitions of runs.  copy NULL:
 * Redis is gone. */
typedef void copy_fn(void *arg, struct copy *copy);
void store_copy(struct store *, const json_t *people, const json_t *names, copy_fn *, void *arg);
int copy_partitions(const struct copy *);
void copy_free(struct copy *);

/* store_paste: into a store that is empty. */
void store_paste(struct store *, const struct copy *, json_fn *, void *arg);

#endif
