/*
 * Stops as an operator sets and lifts them (policy/stops.h): in force when they
 * are answered, with a receipt of what they hold.
 *
 *   {"category": "marketing" (or "all": true, channel, provider, template, sequence, source, tag),
 *    "reason": "wrong price", "until": RFC 3339, "waiting": "hold" | "cancel", "dry_run": false}
 *   → {"id", "category", "who", "reason", "since", "until", "held": n, "cancelled": n, "in_flight": [message ids]}
 *
 * held counts messages that wait, whose time may lie far ahead, up to 10,000 ("more":
 * true); who counts while others enqueue counts what it sees.  in_flight are those
 * that may still go out: they were past the point of no return.  Of a provider both
 * are what may be with it.  "warnings" of a name that is none.
 */
#ifndef DISPATCHER_CARRY_STOPS_H
#define DISPATCHER_CARRY_STOPS_H

#include "dispatcher/service.h"

/* stop_set: false with errors filled, and nothing done; else fn is called once.  The same property once more replaces
 * the stop that stands.  who: the caller. */
bool stop_set(struct service *, const json_t *how, const char *who, json_t *errors, json_fn *, void *arg);

/* stop_cancel: cancels what waits and has a property, and stops nothing: {"category": …} → {"waiting": n}, a count;
 * with "confirm": that count → {"cancelled": n, …}, or {"stale": true, "waiting": n} when more than a twentieth of it
 * has changed.  False with errors filled, and nothing done; else fn is called once. */
bool stop_cancel(struct service *, const json_t *how, const char *who, json_t *errors, json_fn *, void *arg);

/* stop_lift: by its id; {"id", …, "lifted": true}, or {"lifted": false} when there is none.  What was held goes on, as
 * late as it is. */
void stop_lift(struct service *, const char *id, const char *who, json_fn *, void *arg);

/* stops_list: {"stops": […]}: those that stand. */
void stops_list(struct service *, json_fn *, void *arg);

/* stop_id: of a property: "category:marketing", "all"; g_free.  NULL with errors filled unless `how` has exactly one.
 */
char *stop_id(const json_t *how, json_t *errors);

#endif
