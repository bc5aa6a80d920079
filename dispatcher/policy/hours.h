/*
 * Quiet hours, holidays, blackout days, windows and the zones of accounts, as
 * the configuration says them; policy/reach.h answers from them.
 */
#ifndef DISPATCHER_POLICY_HOURS_H
#define DISPATCHER_POLICY_HOURS_H

#include "dispatcher/policy/policy.h"

/* hours_load: fills in its part of a policy.  NULL when content, else a complaint (to be freed). */
char *hours_load(struct policy *, const struct config *);

#endif
