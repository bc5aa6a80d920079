/*
 * Waves at work: people are let in at their rate, gates are judged on what became
 * of them, and commands open and hold.
 *
 *   truth of the sequence ──▶ figures of all partitions ──▶ gate: hold, or the next wave
 *                                       └──▶ quota ──▶ the first at the doors are let in
 *
 * Every worker looks, and it does no harm when several do: a wave changes by
 * compare-and-set, a quota is taken in one step, and a door lets nobody in whose
 * sequence stands otherwise by then.
 */
#ifndef DISPATCHER_JOURNEYS_WAVES_H
#define DISPATCHER_JOURNEYS_WAVES_H

#include "dispatcher/journeys/standing.h"

/* wave_open, wave_hold: {"wave": NAME}, and of hold {"all": true}: messages that are enqueued wait, too.  The answer is
 * in force: {"sequence","wave","state","held": at the door,"released","in_flight","partitions","lost":[partitions that
 * did not answer: to be repeated]}. */
standing_fn wave_open, wave_hold;

/* waves_status: {"sequence","waves":[{"name","state":"closed|open|held","since","by","door","released","until" (when it
 * is another one at the end of the reading),"settled","figures":{harm: {"of","reached","rate","low","high","limit"},
 * "goal": …},"gate":"undecided|hold|open","why":[…]}],"log":[[instant,what,wave,by]]}.  False: it has none. */
bool waves_status(struct service *, const char *sequence, json_fn *, void *arg);

/* waves_start: looks for work until waves_stop. */
struct waves;
struct waves *waves_start(struct service *);
void waves_stop(struct waves *);
void waves_close(struct waves *);
/* waves_look: now; waves_busy: until false it is not done; waves_next: when it wants to look again (service time), -1
 * for never.  For rehearsals, whose time jumps. */
void waves_look(struct waves *);
bool waves_busy(const struct waves *);
int64_t waves_next(const struct waves *);

#endif
