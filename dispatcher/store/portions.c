#include "dispatcher/store/portions.h"

#define PORTION 100

void portions_add(struct portions *p, const redisReply *ids)
{
    if (!p->ids)
        p->ids = json_array();
    for (size_t i = 0; ids && i < ids->elements; i++)
        json_array_append_new(p->ids, json_string(reply_text(ids, i)));
}

bool portions_left(const struct portions *p)
{
    return p->next < json_array_size(p->ids);
}

void portions_args(struct portions *p, struct args *a)
{
    for (int i = 0; i < PORTION && portions_left(p); i++)
        args_text(a, json_string_value(json_array_get(p->ids, p->next++)));
}

void portions_clear(struct portions *p)
{
    json_decref(p->ids);
    *p = (struct portions){ 0 };
}
