/*
 * Counts that somebody wants to confirm: everybody page by page, and for an hour
 * who was counted, hashed.
 */
#ifndef DISPATCHER_STORE_COUNTS_H
#define DISPATCHER_STORE_COUNTS_H

#include <glib.h>

#include "dispatcher/store/store.h"

/* store_people_page: recipients with a profile; the cursor is "0" at first, and "0" again when that was all. */
typedef void people_fn(void *arg, bool ok, const char *cursor, json_t *people);
void store_people_page(struct store *, const char *cursor, people_fn *, void *arg);

/* store_traced: who of a partition has a trace of runs, a page; for one who looks for a run. */
void store_traced_page(struct store *, int partition, const char *cursor, people_fn *, void *arg);

/* store_count_keep: a set of texts under a name.  store_count_kept: the list of them, empty when it is over. */
void store_count_keep(struct store *, const char *name, GHashTable *hashes, json_fn *, void *arg);
void store_count_kept(struct store *, const char *name, json_fn *, void *arg);

#endif
