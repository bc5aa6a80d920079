/*
 * The worker: claims what is due, carries each delivery through its steps
 * (steps.h), and keeps its leases.
 */
#ifndef DISPATCHER_CARRY_WORKER_H
#define DISPATCHER_CARRY_WORKER_H

#include "dispatcher/intake/ingest.h"
#include "dispatcher/service.h"

struct worker;

/* worker_start: events that come over the stream go to the door that is given. */
struct worker *worker_start(struct service *, ingest_door_fn *events, char **why);
/* worker_drain: claims nothing more, gives back what has not begun, and calls on_drained once the rest has ended or the
 * drain timeout is over. */
void worker_drain(struct worker *, void (*on_drained)(void *arg), void *arg);
void worker_close(struct worker *);
/* worker_time_jumped: time has jumped: everything is looked at anew.  worker_busy: deliveries in hand. */
void worker_time_jumped(struct worker *);
int worker_busy(const struct worker *);
/* worker_woken: "wake" was published: something earlier than known is due in a partition. */
void worker_woken(struct worker *, const char *message);
/* worker_stops_changed: the list of stops is another one. */
void worker_stops_changed(struct worker *);
/* worker_store_ready: the store came or went. */
void worker_store_ready(struct worker *, bool ready);

#endif
