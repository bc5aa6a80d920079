/*
 * What could not be accepted or delivered.
 */
#ifndef DISPATCHER_STORE_DEAD_H
#define DISPATCHER_STORE_DEAD_H

#include "dispatcher/store/store.h"

/* What could not be accepted: its bytes and the reason. */
void store_bury(struct store *, const char *source, const char *reason, const char *bytes, size_t len, json_fn *,
                void *arg);
/* [{"id","at","kind":"ingest"|"delivery","reason","detail"}] */
void store_dead_list(struct store *, int limit, json_fn *, void *arg);
/* One buried entry with its bytes, or null. */
void store_dead_show(struct store *, const char *id, json_fn *, void *arg);
/* store_dead_erase: forgets every buried entry that holds one of the texts. */
void store_dead_erase(struct store *, const GPtrArray *texts, json_fn *, void *arg);
void store_dead_forget(struct store *, const char *id, json_fn *, void *arg);
void store_dead_redrive(struct store *, const char *delivery, json_fn *, void *arg);

#endif
