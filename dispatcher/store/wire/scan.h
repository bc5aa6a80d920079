/*
 * What is asked of all servers, one after the other or together.
 */
#ifndef DISPATCHER_STORE_WIRE_SCAN_H
#define DISPATCHER_STORE_WIRE_SCAN_H

#include "dispatcher/store/wire/nodes.h"

/* scan_page: one page of the keys that match.  The cursor is "0" at first, and then what the page says, until it says
 * "0" again: it leads through all servers.  keys as SCAN has them, NULL when Redis is gone. */
typedef void scan_fn(void *arg, const char *cursor, const redisReply *keys);
void scan_page(struct nodes *, const char *match, const char *cursor, scan_fn *, void *arg);

/* flush_all: answers when all servers have done what they were told before. */
void flush_all(struct nodes *, void (*fn)(void *arg), void *arg);

#endif
