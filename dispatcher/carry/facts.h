/*
 * What each gate said of a delivery, as the trace keeps it: the verdict with
 * every input that a replay needs.
 */
#ifndef DISPATCHER_CARRY_FACTS_H
#define DISPATCHER_CARRY_FACTS_H

#include "dispatcher/carry/delivery.h"

void fact_expiry(struct delivery *, const struct question *, const struct answer *);
void fact_consent(struct delivery *, const char *verdict);
/* fact_counted: keeps what the rules of delivery->verdict had counted, for fact_caps. */
void fact_counted(struct delivery *);
/* fact_caps: over and until are of the rule that had no room, NULL and 0 for none. */
void fact_caps(struct delivery *, const char *verdict, const char *over, int64_t until);
/* fact_preference: with the person's own list of channels and pause, as far as there are any. */
void fact_preference(struct delivery *, const struct answer *);
void fact_quiet(struct delivery *, const struct question *, const struct answer *);
/* fact_passed: consent, preference and quiet hours had nothing against it. */
void fact_passed(struct delivery *);
void fact_outcome(struct delivery *, const char *verdict, const struct outcome *);

#endif
