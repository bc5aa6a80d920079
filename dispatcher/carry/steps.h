/*
 * The steps of a delivery; steps.c draws how they follow each other.
 */
#ifndef DISPATCHER_CARRY_STEPS_H
#define DISPATCHER_CARRY_STEPS_H

#include "dispatcher/carry/delivery.h"

void delivery_start(struct delivery *); /* claimed: ends at once, or waits in the outbox */
void delivery_admit(struct delivery *); /* has an outlet: asks the last gates */
void delivery_send(struct delivery *);  /* admitted, and the outlet has a place */
/* What the store has answered, as batch_kind->answered. */
void delivery_admitted(void *delivery, const redisReply *, size_t index);
void delivery_account_admitted(void *delivery, const redisReply *, size_t index);
void delivery_committed(void *delivery, const redisReply *, size_t index);
/* delivery_close: at the end of the worker, wherever it stands: one that is committed and was never handed over is
 * undone. */
void delivery_close(struct delivery *);

void delivery_looked(void *look, const redisReply *, size_t index);
void delivery_sent(void *delivery, const redisReply *, size_t index);
void delivery_settled(void *delivery, const redisReply *, size_t index);
/* delivery_wait: no outlet that could carry it takes it now. */
void delivery_wait(struct delivery *);
/* delivery_return: admitted, but its outlet pauses: it gives back its place and waits. */
void delivery_return(struct delivery *);

/* delivery_waits_for_outlet: in the outbox: nothing has been asked about it. */
bool delivery_waits_for_outlet(const struct delivery *);

#endif
