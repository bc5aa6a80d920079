#include "dispatcher/store/wire/reply.h"

#include <glib.h>

const redisReply *reply_at(const redisReply *reply, size_t i)
{
    return reply && reply->type == REDIS_REPLY_ARRAY && i < reply->elements ? reply->element[i] : NULL;
}

const char *reply_text(const redisReply *reply, size_t i)
{
    const redisReply *r = reply_at(reply, i);
    return r && (r->type == REDIS_REPLY_STRING || r->type == REDIS_REPLY_STATUS) ? r->str : "";
}

int64_t reply_int(const redisReply *reply, size_t i)
{
    const redisReply *r = reply_at(reply, i);

    if (r && r->type == REDIS_REPLY_INTEGER)
        return r->integer;
    return r && r->type == REDIS_REPLY_STRING ? g_ascii_strtoll(r->str, NULL, 10) : 0;
}
