/*
 * The gates of one delivery, in the order of contract 5: what each of them asks
 * of message, person and policy, and the entry that it leaves in the trace.
 *
 * gate_*() answer from what is at hand; consent, caps and suppression are the
 * store's to answer, and stand in delivery->verdict when it has.  fact_*() write
 * down a verdict with every input that a replay needs.
 */
#ifndef DISPATCHER_CARRY_GATES_H
#define DISPATCHER_CARRY_GATES_H

#include "dispatcher/carry/delivery.h"

bool gate_expired(const struct delivery *);
/* gate_late: later than its category allows, after an outage say. */
bool gate_late(const struct delivery *);
/* gate_opening: when a late one goes, by the category's rule; 0: never. */
int64_t gate_opening(const struct delivery *);
/* gate_preferred: the person's own list of channels, when there is one, names this one. */
bool gate_preferred(const struct delivery *);
/* gate_pause: until when the person wants to hear nothing that can wait, 0 for now. */
int64_t gate_pause(const struct delivery *);
/* gate_quiet: as policy_reach. */
int64_t gate_quiet(const struct delivery *, const char **cause);
/* gate_spread: when after an opening it goes. */
int64_t gate_spread(const struct delivery *, int64_t opening);
/* gate_admission: what the store decides on, as a row of an admit batch.  From here on delivery->policy is the one that
 * question and verdict are about. */
void gate_admission(struct delivery *, struct batch *);
/* gate_account_admission: what the caps of delivery->account decide on, likewise as a row of an account batch. */
void gate_account_admission(struct delivery *, struct batch *);
/* gate_counted: keeps what the rules of delivery->verdict had counted, for fact_caps. */
void gate_counted(struct delivery *);

void fact_expiry(struct delivery *);
void fact_consent(struct delivery *, const char *verdict);
/* fact_caps: over and until are of the rule that had no room, NULL and 0 for none. */
void fact_caps(struct delivery *, const char *verdict, const char *over, int64_t until);
/* fact_preference: with the person's own list of channels and pause, as far as there are any. */
void fact_preference(struct delivery *, const char *verdict);
void fact_quiet(struct delivery *, const char *verdict, int64_t until, const char *cause);
/* fact_passed: consent, preference and quiet hours had nothing against it. */
void fact_passed(struct delivery *);
void fact_outcome(struct delivery *, const char *verdict, const struct outcome *);

#endif
