/*
 * How a sequence stands: running, paused, stopped.  What is answered holds in all
 * partitions: a step that was decided before is refused and decided anew.
 */
#ifndef DISPATCHER_JOURNEYS_STANDING_H
#define DISPATCHER_JOURNEYS_STANDING_H

#include "dispatcher/service.h"

/* standing_pause: {"entry": true, "messages": "hold" | "keep" | "cancel"}: nobody enters; without entry, nothing is
 * sent and no wait ends by time either; events, goals and exits go on.  standing_resume: {"waits": "keep" | "shift" |
 * "restart"}.  standing_stop: all runs end.  False with errors filled, and nothing done; else fn is called once with
 * the figures. */
bool standing_pause(struct service *, const char *sequence, const json_t *how, json_t *errors, json_fn *, void *arg);
bool standing_resume(struct service *, const char *sequence, const json_t *how, json_t *errors, json_fn *, void *arg);
bool standing_stop(struct service *, const char *sequence, const json_t *how, json_t *errors, json_fn *, void *arg);

/* standing_migrate: {"from": version, "map": {old: new}, "dry_run": true}: runs of earlier versions go on with the
 * current one: {"sequence","version","runs","migrated","stuck","due_within_hour","steps":[{"step","to","runs"}]}. */
bool standing_migrate(struct service *, const char *sequence, const json_t *how, json_t *errors, json_fn *, void *arg);

#endif
