/*
 * Merging: two recipients turn out to be one person.  What the one who goes has
 * withdrawn holds for the one who stays; their runs go on there, and what happens
 * to them from then on is handed on.
 */
#ifndef DISPATCHER_JOURNEYS_MERGE_H
#define DISPATCHER_JOURNEYS_MERGE_H

#include "dispatcher/intake/intake.h"

/* merge_people: {"into": id}.  Answers once: 200 {"recipient","into","did":[what became of runs]}, the
 * same when it is repeated; or an RFC 9457 problem: 404 when one of them is not there, 409 when the one who goes has
 * gone elsewhere, or the other one has come from there. */
void merge_people(struct service *, const char *recipient, const json_t *how, intake_fn *, void *arg);

/* merge_withdraw: what somebody withdrew before ("category", channel letter or '*', when) holds for who they are now.
 * False, and nothing done: its category asks for no consent any more. */
bool merge_withdraw(struct service *, const char *person, const char *category, char channel, int64_t at, json_fn *,
                    void *arg);

#endif
