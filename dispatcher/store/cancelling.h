/*
 * Cancelling what has not been handed over.
 * Answers {"cancelled":[ids],"in_flight":[],"already_sent":[],"final":[],"unknown":[]}
 */
#ifndef DISPATCHER_STORE_CANCELLING_H
#define DISPATCHER_STORE_CANCELLING_H

#include "dispatcher/store/store.h"

void store_cancel_ids(struct store *, const json_t *ids, json_fn *, void *arg);
/* store_cancel_recipient: all that is pending; category NULL for any. */
void store_cancel_recipient(struct store *, const char *recipient, const char *category, json_fn *, void *arg);

#endif
