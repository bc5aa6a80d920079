/*
 * Consent and suppression as the doors change them: one check for HTTP, command
 * line and the links in mails.
 */
#ifndef DISPATCHER_PEOPLE_CONSENT_H
#define DISPATCHER_PEOPLE_CONSENT_H

#include "dispatcher/service.h"

/* consent_change: {"category","channel","state","source","evidence","at"} for a recipient.  False with errors filled,
 * and nothing done; else fn is called once with the receipt.  A grant of a double opt-in category is pending, and the
 * confirmation mail goes out, unless the actor is "recipient": who follows a link that only the mail has. */
bool consent_change(struct service *, const char *recipient, const json_t *entry, const char *actor, json_t *errors,
                    json_fn *, void *arg);

/* suppression_add: {"reason","source","expires_at"} for a normalised address. */
bool suppression_add(struct service *, const char *address, const json_t *entry, const char *actor, json_t *errors,
                     json_fn *, void *arg);

/* suppression_remove: releases a normalised address, and what an erasure has left of it. */
void suppression_remove(struct service *, const char *address, json_fn *, void *arg);

#endif
