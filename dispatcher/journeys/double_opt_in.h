/*
 * Double opt-in, the first journey: a grant by somebody else waits until the
 * person has confirmed it by POST on the page behind the link in the mail
 * "consent-confirmation", which this sends through intake like everybody.
 */
#ifndef DISPATCHER_JOURNEYS_DOUBLE_OPT_IN_H
#define DISPATCHER_JOURNEYS_DOUBLE_OPT_IN_H

#include "dispatcher/service.h"

/* opt_in_change: as consent_change(); where the grant is pending the receipt is {"pending":true,"confirmation":id},
 * with "problem" when the mail could not be accepted. */
bool opt_in_change(struct service *, const char *recipient, const json_t *entry, const char *actor, json_t *errors,
                   json_fn *, void *arg);

#endif
