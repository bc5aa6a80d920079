/*
 * Places of which there are only so many, as the machine asks for them (schedules/machine.h):
 * in a wave, or the one of an account in a group.
 *
 * A place is taken before the run that holds it is written.  Who dies in between
 * leaves it without a run: whoever wants it a minute later looks at its owner, and
 * takes it back.  So there are never two, and it is never lost.
 */
#ifndef DISPATCHER_JOURNEYS_PLACES_H
#define DISPATCHER_JOURNEYS_PLACES_H

#include "dispatcher/service.h"
#include "schedules/machine.h"

/* again_ms: PLACE_LINE: nobody has it, but others are before them, and must be told; else so long from now (real) it is
 * worth asking once more, for its owner may have died before using it; -1. */
#define PLACE_LINE (-2)
typedef void placed_fn(void *arg, bool ok, bool has, int64_t again_ms);
void place_ask(struct service *, const struct place *, const char *recipient, placed_fn *, void *arg);

#endif
