/*
 * Reading answers of Redis: text is "" and numbers are 0 where something else stands.
 */
#ifndef DISPATCHER_STORE_WIRE_REPLY_H
#define DISPATCHER_STORE_WIRE_REPLY_H

#include <hiredis/hiredis.h>
#include <stdint.h>

const char *reply_text(const redisReply *, size_t i);
int64_t reply_int(const redisReply *, size_t i);
/* reply_at: NULL where there is none. */
const redisReply *reply_at(const redisReply *, size_t i);

#endif
