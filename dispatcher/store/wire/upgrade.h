/*
 * What an earlier version wrote, in the form of this one.
 *
 * Done before anything else is asked of the prefix, by `tidings serve`, and only
 * while no worker of the earlier version runs.  It walks all messages, a page at a
 * time; begun again, it goes on with those that are left.
 */
#ifndef DISPATCHER_STORE_WIRE_UPGRADE_H
#define DISPATCHER_STORE_WIRE_UPGRADE_H

#include <stdint.h>

#include "dispatcher/store/wire/nodes.h"

#define SCHEMA       2 /* of what this version writes */
#define UPGRADE_FROM 1 /* the oldest one that is taken over */

struct upgrade_of {
    int from; /* the schema that it has */
    struct nodes *nodes;
    const char *prefix; /* borrowed until it is done */
    int partitions;
    int64_t retain_messages_ms, retain_events_ms;
};
/* why: a complaint for a person (borrowed), "" when Redis has gone, NULL when all is written and the schema says so. */
typedef void upgrade_fn(void *arg, const char *why);
void upgrade_run(const struct upgrade_of *, upgrade_fn *, void *arg);

#endif
