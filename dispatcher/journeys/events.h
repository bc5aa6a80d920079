/*
 * Events, as the doors bring them: checked, and then applied to the runs of their
 * person at once; the answer says what they did.
 *
 *   {"recipient": id or {…}, "name": "customer.signed_up", "at": RFC 3339, "data": {…}, "id": …, "backfill": false}
 *   {"account": "acme", …} instead of a recipient: it has happened to all of them
 *
 * An id counts once for a person, as long as events are kept.  Without one, time
 * and words are the id, when `at` is given; with neither, each arrival is new.
 */
#ifndef DISPATCHER_JOURNEYS_EVENTS_H
#define DISPATCHER_JOURNEYS_EVENTS_H

#include "dispatcher/intake/intake.h"

/* event_text: one event as JSON text; the answer comes from the loop, once: 202 {"id","status":"taken|known|kept",
 * "did":[…]}, replayed when it is known; or an RFC 9457 problem. */
void event_text(struct service *, const char *text, size_t len, const struct intake_origin *, intake_fn *, void *arg);

/* event_of_account: one that has been checked, as kept (schedules/run.h), taken: everybody who belongs to the account
 * is told, and the answer comes when all have been. */
void event_of_account(struct service *, const char *account, json_t *event, intake_fn *, void *arg);

/* event_enroll: {"recipient", "data", "id"} for one sequence: the same answer; 404 when there is no such sequence.
 * again: whoever has been in it may enter again. */
void event_enroll(struct service *, const char *sequence, const char *text, size_t len, bool again,
                  const struct intake_origin *, intake_fn *, void *arg);

/* event_leave: ends the runs of a person in a sequence: 200 {"did":[…]}. */
void event_leave(struct service *, const char *sequence, const char *recipient, intake_fn *, void *arg);

#endif
