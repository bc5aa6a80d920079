/*
 * The cohort of a rehearsal, taken from a store in earnest: people whom a condition
 * meets, with their consents, histories, runs, and what is pending for them from
 * whomever.  Nothing is changed there.
 */
#ifndef DISPATCHER_SIMULATOR_COHORT_H
#define DISPATCHER_SIMULATOR_COHORT_H

#include "dispatcher/service.h"
#include "dispatcher/store/rehearsal.h"

/* cohort_take: where: a condition on the recipient.  False with errors filled; else fn is called once. */
bool cohort_take(struct service *, const json_t *where, json_t *errors, copy_fn *, void *arg);

#endif
