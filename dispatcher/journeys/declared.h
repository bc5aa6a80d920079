/*
 * What a definition names, beside what is declared and what has come.
 * schedules/events.yaml declares which events there are, and of what types their
 * data is.  Where the file is, `check` knows a misspelt name.
 *
 *   events:
 *     customer.signed_up: {data: {kind: string, plan: string}}
 *     contract.signed: {of: account, data: {contract: string, value: number, ends: date}}
 *     ticket.solved:
 */
#ifndef DISPATCHER_JOURNEYS_DECLARED_H
#define DISPATCHER_JOURNEYS_DECLARED_H

#include "schedules/complaints.h"

#define DECLARED_FILE "events.yaml"

/* declared_read: of the file as JSON: name → {"of","data"}; names of accounts' events as the machine has them
 * (ACCOUNT_EVENT before them).  A new reference; complaints name what is wrong. */
json_t *declared_read(struct complaints *, const json_t *file);

/* declared_check: a definition that names an event which is not declared is wrong; one that looks at a field which the
 * event has not, or compares it with what it can never be, is warned of. */
void declared_check(struct complaints *, const json_t *declared, const json_t *definition);

/* declared_compare: warns of what a definition names and has never come: events, attributes of people; and of events
 * that come so that they can not be known again.  facts: {"heard": {event: {"unnamed": [source that gives neither id
 * nor time]}}, "sampled": how many people, "attributes": {DECLARED_ATTRIBUTES "PATH": true}}. */
#define DECLARED_ATTRIBUTES "recipient.attributes."
void declared_compare(struct complaints *, const json_t *facts, const json_t *definition);

#endif
