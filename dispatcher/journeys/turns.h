/*
 * Turns: people whose runs have something to do get it done: a wait is over, a
 * message has ended, a profile has changed.  Claimed and leased like deliveries;
 * a bounded number at a time, so that a mass enrolment does not hold up mail.
 */
#ifndef DISPATCHER_JOURNEYS_TURNS_H
#define DISPATCHER_JOURNEYS_TURNS_H

#include "dispatcher/service.h"

struct turns;

struct turns *turns_start(struct service *);
/* turns_woken: "turn" was published: the partition and the instant, "tidings:{3}:1790000000000". */
void turns_woken(struct turns *, const char *message);
/* turns_anew: the store has been away. */
void turns_anew(struct turns *);
/* turns_stop: takes nobody more; turns_busy: how many are being seen to. */
void turns_stop(struct turns *);
int turns_busy(const struct turns *);
void turns_close(struct turns *);

#endif
