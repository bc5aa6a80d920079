/*
 * What is due, and who takes it: partitions, the instants at which something is
 * due in them, leases, and the share of what comes late after an outage.  Knows
 * not what becomes of what it has claimed.
 *
 *   next_due of each partition ──▶ claim ──▶ taken, each
 *          ▲        ▲                │
 *   wake (published) └── each claim says when the next one is due
 */
#ifndef DISPATCHER_CARRY_CLAIMS_H
#define DISPATCHER_CARRY_CLAIMS_H

#include "dispatcher/store/store.h"
#include "dispatcher/store/pipeline.h"

struct claim_terms {
    int64_t lease_ms; /* real time */
    int64_t late_ms;  /* service time after which something is late */
    double catch_up;  /* late ones a second that a channel takes up; 0: no limit */
    int batch;        /* taken by one claim and channel at most */
};

/* All are called from the loop, never from inside a call of ours but claimer_round. */
struct claim_owner {
    int (*capacity)(void *arg, enum channel); /* how many it could have in hand */
    int (*held)(void *arg, enum channel);     /* how many it has */
    void (*taken)(void *arg, int partition, const struct claimed *);
    void (*look)(void *arg); /* something may be due: a round is worth while */
};

struct claimer;

/* claimer_new: the owner is borrowed. */
struct claimer *claimer_new(struct store *, struct ev_loop *, const struct claim_terms *, const struct claim_owner *,
                            void *arg);
void claimer_free(struct claimer *);
/* claimer_round: claims what is due, as far as there is room, and sees to it that look() comes when more is. */
void claimer_round(struct claimer *);
/* claimer_woken: "wake" was published: the partition and the instant, "tidings:{3}:1790000000000". */
void claimer_woken(struct claimer *, const char *message);
/* claimer_yield: it has given back what it does not know: for a while, others are the first to take such. */
void claimer_yield(struct claimer *);
/* claimer_anew: nothing is known any more: the store was away. */
void claimer_anew(struct claimer *);

#endif
