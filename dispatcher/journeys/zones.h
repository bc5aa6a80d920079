/*
 * The rules of time zones change, and come with a new tzdata: then everybody who
 * waits for a time of day is planned anew, once, by whoever starts first.
 */
#ifndef DISPATCHER_JOURNEYS_ZONES_H
#define DISPATCHER_JOURNEYS_ZONES_H

#include "dispatcher/service.h"

/* zones_check: looks whether the rules are others than those that the store's people were last planned by. */
void zones_check(struct service *);

#endif
