/*
 * Addresses that are left alone, in the partition of the address, and mails that
 * were refused for a while.
 */
#ifndef DISPATCHER_STORE_SUPPRESSIONS_H
#define DISPATCHER_STORE_SUPPRESSIONS_H

#include "dispatcher/store/pipeline.h"

/* Many addresses of a place, asked for together.  suppressed_place: where an address is asked for; on one server all
 * have the same.  suppressed_read: the entry of one, NULL for none; *soft becomes at least how often it was refused for
 * a while. */
int suppressed_place(const struct store *, const char *address);
struct batch *suppressed_batch(void);
void suppressed_add(struct batch *, const struct store *, const char *address);
const char *suppressed_read(const redisReply *, size_t index, int *soft);
/* store_soft_bounce: one more of those; so many, each within_ms of the last, put the entry in place for ttl_ms.
 * store_arrived: half of them are forgotten; store_forget_soft: all.  Nobody waits for these. */
void store_soft_bounce(struct store *, const char *address, const json_t *entry, int64_t ttl_ms, int64_t within_ms,
                       int max);
void store_arrived(struct store *, const char *address);
void store_forget_soft(struct store *, const char *address);

void store_suppress(struct store *, const char *address, const json_t *entry, int64_t ttl_ms, json_fn *, void *arg);
void store_unsuppress(struct store *, const char *address, json_fn *, void *arg);
void store_suppression(struct store *, const char *address, json_fn *, void *arg);
void store_suppressions(struct store *, json_fn *, void *arg);

#endif
