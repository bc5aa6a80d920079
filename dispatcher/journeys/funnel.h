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
 *    "lift_low","lift_high","time_to_goal":{"of","median","p90"} (seconds) or null,"holdout_time_to_goal",
 *    "not_enrolled":{why:n},"left":{reason:n},"steps":{step:{"send":n,"ended sent":n,…}},"time_in_step":{step:{as to
 * the goal}},"answers":{step:{"of","mean","scores":{score:n}}},"versions":{v:n}}
 *
 * Rates are of runs; low and high are the bounds of 95 % (Wilson; of the lift, Newcombe). */
json_t *funnel_make(const char *sequence, const json_t *counted, const char *version);

#endif
