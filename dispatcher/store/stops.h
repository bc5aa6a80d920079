/*
 * The list of stops in the store, and what waits.
 *
 * A stop is in force when store_stop_put answers: the list was written with a
 * number, and every partition knows the number; whoever admits or commits there by
 * an earlier list is sent back to read it (admit.lua, commit.lua).
 */
#ifndef DISPATCHER_STORE_STOPS_H
#define DISPATCHER_STORE_STOPS_H

#include "dispatcher/store/store.h"

/* store_stops: {id: {…}, …, "*": number}; least: what its number must be, as somebody was told. */
void store_stops(struct store *, int64_t least, json_fn *, void *arg);
/* store_stop_put: stop NULL: it is lifted.  {"number": n, "flying": [message, …], "in_hand": [message, …]}: what may
 * still go out by the list of before, and what else workers have; ok false: it may be in force in a part of the
 * partitions, and is in all of them when it is repeated.  All who go by the list hear of it. */
void store_stop_put(struct store *, const char *id, const json_t *stop, json_fn *, void *arg);

/* store_waiting_page: messages of which something waits: {"ids": […], "next": cursor or ""}; the cursor "" at first.
 * One may come twice, and what comes or goes meanwhile may be missed. */
void store_waiting_page(struct store *, const char *cursor, json_fn *, void *arg);

#endif
