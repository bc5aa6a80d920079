/*
 * What many ask of one partition, asked together: a script costs little more for
 * sixty than for one.  Knows neither who asks nor what.
 *
 *   batch_join ──▶ (kind, partition) ──▶ batches_run ──▶ one script ──▶ answered, each
 *
 * A batch that is full runs at once, from inside batch_join; answers come later,
 * from the loop, each member's exactly once.  When a script throws an error over
 * one member, each is asked singly, so that the others go on.
 */
#ifndef DISPATCHER_STORE_BATCHES_H
#define DISPATCHER_STORE_BATCHES_H

#include "dispatcher/store/store.h"

#define BATCH_TURN (-1.0)

struct batch_kind {
    struct batch *(*make)(void *arg);
    void (*add)(struct batch *, void *member);
    /* reply is NULL when the store is gone or the script failed (script_failed()); else the member's stands at index.
     */
    void (*answered)(void *member, const redisReply *reply, size_t index);
    double delay_s; /* it runs by itself so long after its first member; 0: by batches_run; BATCH_TURN: at the end of
                       the turn of the loop */
};

struct batches;

/* batches_new: kinds are borrowed; arg is what make() gets. */
struct batches *batches_new(struct store *, struct ev_loop *, const struct batch_kind *kinds, int count, void *arg);
/* batches_free: members that wait are forgotten.  batches_refuse: they are answered with NULL, and so is who still
 * joins; for the end. */
void batches_refuse(struct batches *);
void batches_free(struct batches *);
void batch_join(struct batches *, int kind, int partition, void *member);
/* batches_store: whom they ask. */
const struct store *batches_store(const struct batches *);
/* batches_run: all of the kinds that have no delay.  batches_flush: all there are. */
void batches_run(struct batches *);
void batches_flush(struct batches *);

#endif
