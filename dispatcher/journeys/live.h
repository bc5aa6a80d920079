/*
 * What has come: names of events, and attributes of people; for `sequence check
 * --live`, which holds definitions against it (declared.h).
 */
#ifndef DISPATCHER_JOURNEYS_LIVE_H
#define DISPATCHER_JOURNEYS_LIVE_H

#include "dispatcher/service.h"
#include "dispatcher/store/store.h"

/* live_facts: {"heard": {event: {"unnamed": [source that sent it with neither id nor time]}}, "sampled": people,
 * "attributes": {"recipient.attributes.PATH": true}}. */
void live_facts(struct service *, json_fn *, void *arg);

/* live_note: an event has come from a source, anonymous with neither id nor time; the store is told what is new to this
 * process. */
void live_note(struct service *, const char *event, const char *source, bool anonymous);

#endif
