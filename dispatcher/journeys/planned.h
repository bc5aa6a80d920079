/*
 * What is planned for a person in their sequences: the forecast, as the timeline
 * shows it.
 */
#ifndef DISPATCHER_JOURNEYS_PLANNED_H
#define DISPATCHER_JOURNEYS_PLANNED_H

#include "dispatcher/service.h"

/* planned_list: [{"forecast": true, "at", "sequence", "step", "run", "template", "channels"}], assuming that nobody
 * reacts; quiet hours and caps may still move it. */
void planned_list(struct service *, const char *recipient, json_fn *, void *arg);

#endif
