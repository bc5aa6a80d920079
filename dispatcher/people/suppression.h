/*
 * The list of addresses that are left alone, as the doors and the feedback of
 * relays change it.
 */
#ifndef DISPATCHER_PEOPLE_SUPPRESSION_H
#define DISPATCHER_PEOPLE_SUPPRESSION_H

#include "dispatcher/service.h"

/* suppression_add: {"reason","source","expires_at"} for a normalised address.  False with errors filled, and nothing
 * done; else fn is called once. */
bool suppression_add(struct service *, const char *address, const json_t *entry, const char *actor, json_t *errors,
                     json_fn *, void *arg);

/* suppression_remove: releases a normalised address, and what an erasure has left of it. */
void suppression_remove(struct service *, const char *address, json_fn *, void *arg);

#endif
