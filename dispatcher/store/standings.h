/*
 * How sequences stand: running, paused, wave by wave open or held.  One truth, in
 * the partition of the sequence's name, changed by compare-and-set; and a copy in
 * each partition, which no step overtakes: what is answered is in force.
 */
#ifndef DISPATCHER_STORE_STANDINGS_H
#define DISPATCHER_STORE_STANDINGS_H

#include "dispatcher/store/store.h"

/* The standing as it becomes, a new reference; NULL when nothing is to be changed.  was: {} for as usual.  It may be
 * called again, when somebody else has changed it meanwhile. */
typedef json_t *becomes_fn(void *arg, const json_t *was);

/* standing_change: {"partitions","lost":[partition, …]}: not in force in those that are lost, and to be
 * repeated; ok false: nothing was changed. */
void store_standing_change(struct store *, const char *sequence, becomes_fn *, json_fn *, void *arg);
/* store_standing: as it is, {} for as usual. */
void store_standing(struct store *, const char *sequence, json_fn *, void *arg);
/* store_standing_spread: into all partitions that have an older one. */
void store_standing_spread(struct store *, const char *sequence, const json_t *standing, json_fn *, void *arg);

#endif
