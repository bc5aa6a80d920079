/*
 * Everybody with a profile, a few at a time: each once, though a page of the store
 * may name somebody twice.
 *
 *   everybody_walk ──▶ one(arg, walk, recipient) … everybody_done(walk, ok) ──▶ end(arg, ok)
 */
#ifndef DISPATCHER_JOURNEYS_EVERYBODY_H
#define DISPATCHER_JOURNEYS_EVERYBODY_H

#include "dispatcher/service.h"

struct everybody;

/* one: whoever gets it says everybody_done once, now or later; ok false ends the walk.  end: when all are done; it may
 * be called before everybody_walk returns. */
struct everybody_fns {
    void (*one)(void *arg, struct everybody *, const char *recipient);
    void (*end)(void *arg, bool ok);
};
/* most: so many people, 0 for all. */
void everybody_walk(struct service *, int most, struct everybody_fns, void *arg);
void everybody_done(struct everybody *, bool ok);

#endif
