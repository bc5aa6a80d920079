/*
 * The report of a sequence, from its counters: how many came to each step, and
 * what became of them; goals with and without holdout.
 */
#ifndef DISPATCHER_JOURNEYS_FUNNEL_H
#define DISPATCHER_JOURNEYS_FUNNEL_H

#include <jansson.h>

/* funnel_make: of what store_counted says; version: only of that one, NULL for all.
 *
 *   {"sequence","enrolled","goal":{"of","reached","rate","low","high"},"holdout":{the same} or null,"lift": or null,
 *    "not_enrolled":{why:n},"left":{reason:n},"steps":[{"step","what":{"send":n,"ended sent":n,…}}],"versions":{v:n}}
 *
 * Rates are of runs; low and high are the bounds of 95 % (Wilson). */
json_t *funnel_make(const char *sequence, const json_t *counted, const char *version);

#endif
