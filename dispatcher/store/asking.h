/*
 * One call to the store whose answer becomes JSON, and several calls whose answers
 * become one.
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
/* read_nothing: that it was done is all there is to say. */
json_t *read_nothing(const redisReply *, struct asking *);
/* read_texts: a list of texts, each without its beginning, which is the asking's name. */
json_t *read_texts(const redisReply *, struct asking *);

/* Collects the answers of several calls and hands over the whole when the last has come; when one was lost, nothing. */
struct gather {
    int open; /* calls under way, and one for whoever still makes them */
    bool lost;
    json_t *result;
    json_fn *fn;
    void *arg;
};

/* gather_new: takes the result. */
struct gather *gather_new(json_t *result, json_fn *fn, void *arg);
/* gather_done: one of `open` has ended. */
void gather_done(struct gather *);

#endif
