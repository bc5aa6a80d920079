/*
 * What a rehearsal has shown, as one JSON value:
 *
 *   {"from","to","people","instants","refused":[…],
 *    "messages": {"sent","email","sms","in_app","by_template":{…},"not_sent":{"reason":n},"deferred":{"reason":n},
 *                 "per_person":{"max","mean"},"per_day":{"max"},"weekend","night"},
 *    "sequences": {name: {"enrolled","not_enrolled":{why:n},"left":{reason:n},"goal","steps":{id: people who came to
 * it}}}, "calendar": {"2026-12-01": {"email":3}}, "hours": [24 figures], "timeline":
 * [{"recipient","timezone","entries":[{"at","local","sequence","step","what","detail"}]}]}
 *
 * Days and hours are those of each person's own clock; night is from 21:00 to 8:00.
 */
#ifndef DISPATCHER_SIMULATOR_REPORT_H
#define DISPATCHER_SIMULATOR_REPORT_H

#include "dispatcher/service.h"

/* report_make: of everybody on the stage; ok false: the store has gone. */
void report_make(struct service *, int64_t from_ms, int64_t to_ms, json_fn *, void *arg);

/* report_expects: "messages.per_person.max <= 6": NULL when it holds, else a sentence (to be freed). */
char *report_expects(const json_t *report, const char *expectation);

/* report_compare: [{"recipient","change":"new"|"gone"|"moved","sequence","step","template","was","is"}]: what is sent
 * otherwise than in another rehearsal of the same people. */
json_t *report_compare(const json_t *was, const json_t *is);

#endif
