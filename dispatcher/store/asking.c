#include "dispatcher/store/asking.h"

#include <glib.h>
#include <string.h>

struct asking *asking_new(json_t *(*read)(const redisReply *, struct asking *), json_fn *fn, void *arg)
{
    struct asking *a = g_new0(struct asking, 1);
    a->read = read;
    a->fn = fn;
    a->arg = arg;
    return a;
}

void on_asked(void *arg, const redisReply *reply)
{
    struct asking *a = arg;
    json_auto_t *result = reply ? a->read(reply, a) : NULL;

    a->fn(a->arg, reply != NULL, result);
    g_free(a);
}

json_t *read_nothing(const redisReply *reply, struct asking *a)
{
    return json_null();
}

json_t *read_texts(const redisReply *reply, struct asking *a)
{
    json_t *list = json_array();

    for (size_t i = 0; i < reply->elements; i++)
        json_array_append_new(list, json_string(reply_text(reply, i) + strlen(a->name)));
    return list;
}

struct gather *gather_new(json_t *result, json_fn *fn, void *arg)
{
    struct gather *g = g_new0(struct gather, 1);
    *g = (struct gather){ .open = 1, .result = result, .fn = fn, .arg = arg };
    return g;
}

void gather_done(struct gather *g)
{
    if (--g->open > 0)
        return;
    g->fn(g->arg, !g->lost, g->lost ? NULL : g->result);
    json_decref(g->result);
    g_free(g);
}
