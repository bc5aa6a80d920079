/*
 * What the store is asked about a delivery: its consent and the caps that count
 * it, as a row of an admit batch, and, where rules of accounts count it too, as a
 * row of an account batch.
 */
#ifndef DISPATCHER_CARRY_ADMISSION_H
#define DISPATCHER_CARRY_ADMISSION_H

#include "dispatcher/carry/delivery.h"

/* admission_ask: from here on delivery->policy is the one that question and verdict are about, and delivery->account
 * the one whose caps are to be asked behind the person's, "" for none. */
void admission_ask(struct delivery *, struct batch *);
void admission_ask_account(struct delivery *, struct batch *);

#endif
