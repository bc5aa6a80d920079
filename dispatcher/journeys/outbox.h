/*
 * The outbox of a partition: what its runs have to say to others, each at least
 * once: events of an account, places that are free again, and who is erased
 * together with somebody.
 */
#ifndef DISPATCHER_JOURNEYS_OUTBOX_H
#define DISPATCHER_JOURNEYS_OUTBOX_H

#include "dispatcher/service.h"

/* outbox_say: JSON, as store/common.lua lists it at qo; ok: it has been said, and what
 * follows has happened. */
typedef void said_fn(void *arg, bool ok);
void outbox_say(struct service *, const char *what, said_fn *, void *arg);

#endif
