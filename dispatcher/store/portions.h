/*
 * Messages of a person that are walked in portions, so that nobody waits for
 * Redis long, whoever has ten thousand of them.
 */
#ifndef DISPATCHER_STORE_PORTIONS_H
#define DISPATCHER_STORE_PORTIONS_H

#include <stdbool.h>

#include <jansson.h>

#include "dispatcher/store/wire/script.h"

struct portions {
    json_t *ids; /* of messages */
    size_t next;
};

/* portions_add: a list of ids in a reply; NULL adds nothing. */
void portions_add(struct portions *, const redisReply *ids);
bool portions_left(const struct portions *);
/* portions_args: the next portion, as arguments. */
void portions_args(struct portions *, struct args *);
void portions_clear(struct portions *);

#endif
