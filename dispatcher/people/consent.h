/*
 * Consent as the doors change it: one check for HTTP, command line, import and
 * the links in mails.
 */
#ifndef DISPATCHER_PEOPLE_CONSENT_H
#define DISPATCHER_PEOPLE_CONSENT_H

#include "dispatcher/service.h"

/* consent_change: {"category","channel","state","source","evidence","at"} for a recipient.  False with errors filled,
 * and nothing done; else fn is called once with the receipt.  A grant of a double opt-in category is only recorded as
 * pending, unless the actor is "recipient", who follows a link that only the mail has: journeys/double_opt_in.h sends
 * that mail, and is what doors for others than the person call. */
bool consent_change(struct service *, const char *recipient, const json_t *entry, const char *actor, json_t *errors,
                    json_fn *, void *arg);

/* consent_check: what consent_change() would complain of. */
bool consent_check(const struct service *, const json_t *entry, const char *actor, json_t *errors);

#endif
