/*
 * Turns: changes of one person are made one after the other, in the order in
 * which they came, so that a burst (20 lines about one customer) conflicts with
 * nobody and the last one stands.
 */
#ifndef DISPATCHER_PEOPLE_TURN_H
#define DISPATCHER_PEOPLE_TURN_H

#include "dispatcher/service.h"

typedef void turn_fn(void *arg);

/* turn_take: fn is called when those before have ended theirs: at once when there is nobody. */
void turn_take(struct service *, const char *recipient, turn_fn *, void *arg);

/* turn_end: whoever had the turn is done; the next one begins. */
void turn_end(struct service *, const char *recipient);

#endif
