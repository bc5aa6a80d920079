/*
 * What sentinels say of a master: where it is, and how many replicas of it are
 * well.  Asked each second, of one after the other when one does not answer.
 */
#ifndef DISPATCHER_STORE_WIRE_SENTINEL_H
#define DISPATCHER_STORE_WIRE_SENTINEL_H

#include "dispatcher/store/wire/redis.h"

struct sentinel;
typedef void named_fn(void *arg, const struct redis_place *, int replicas);

/* sentinel_open: the address is borrowed; fn runs with each answer, from the loop. */
struct sentinel *sentinel_open(struct ev_loop *, const struct redis_address *, double timeout_s, named_fn *, void *arg);
void sentinel_close(struct sentinel *);
/* sentinel_fault: why there is no answer, "" when there is. */
const char *sentinel_fault(const struct sentinel *);

#endif
