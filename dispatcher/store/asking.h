/*
 * One call to the store whose answer becomes JSON.
 */
#ifndef DISPATCHER_STORE_ASKING_H
#define DISPATCHER_STORE_ASKING_H

#include "dispatcher/store/store.h"

struct asking {
    json_t *(*read)(const redisReply *reply, struct asking *);
    json_fn *fn;
    void *arg;
    char name[400]; /* what is asked about, for read(); may stay "" */
};

struct asking *asking_new(json_t *(*read)(const redisReply *, struct asking *), json_fn *fn, void *arg);
/* on_asked: the answer of a script or command whose argument is the asking: reads it, answers, frees. */
void on_asked(void *asking, const redisReply *);

#endif
