/*
 * How a sequence stands: running, paused, stopped.  What is answered holds in all
 * partitions: a step that was decided before is refused and decided anew.
 */
#ifndef DISPATCHER_JOURNEYS_STANDING_H
#define DISPATCHER_JOURNEYS_STANDING_H

#include "dispatcher/service.h"

/* What changes how a sequence stands. */
typedef bool standing_fn(struct service *, const char *sequence, const json_t *how, json_t *errors, json_fn *,
                         void *arg);

/* standing_pause: {"entry": true, "messages": "hold" | "keep" | "cancel"}: nobody enters; without entry, nothing is
 * sent and no wait ends by time either; events, goals and exits go on.  standing_resume: {"waits": "keep" | "shift" |
 * "restart"}.  standing_stop: all runs end.  False with errors filled, and nothing done; else fn is called once with
 * the figures. */
standing_fn standing_pause, standing_resume, standing_stop;

/* standing_migrate: {"from": version, "map": {old: new}, "dry_run": true}: runs of earlier versions go on with the
 * current one: {"sequence","version","runs","migrated","stuck","due_within_hour","steps":[{"step","to","runs"}]}. */
standing_fn standing_migrate;

/* standing_replan: everybody's runs, or those of one sequence, are planned anew by the definitions that they follow and
 * the clocks of today; what is overdue then goes at the rate of what an outage has left. */
void standing_replan(struct service *, const char *sequence, json_fn *, void *arg);

#endif
