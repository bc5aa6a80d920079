/*
 * A connection that listens to what is published, kept over reconnections.
 */
#ifndef DISPATCHER_STORE_WIRE_SUBSCRIBER_H
#define DISPATCHER_STORE_WIRE_SUBSCRIBER_H

#include "dispatcher/store/wire/nodes.h"

struct subscriber;
typedef void published_fn(void *arg, const char *channel, const char *message);

/* subscriber_open: to any of the servers, for what one publishes reaches all. */
struct subscriber *subscriber_open(struct ev_loop *, struct nodes *, int count, const char **channels, published_fn *,
                                   void *arg);
/* subscriber_close: before nodes_close. */
void subscriber_close(struct subscriber *);

#endif
