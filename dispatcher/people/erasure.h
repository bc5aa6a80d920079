/*
 * Erasing a person (GDPR, Art. 17): profile, messages, traces, inbox, consents.
 *
 * What stays is a tombstone for each address that nobody else has: a keyed hash, from which nobody
 * can read the address, and which keeps it from being written to again when an
 * old list is imported.  Releasing the address takes the tombstone away.
 */
#ifndef DISPATCHER_PEOPLE_ERASURE_H
#define DISPATCHER_PEOPLE_ERASURE_H

#include "channels/address.h"
#include "dispatcher/service.h"

/* erase_person: {"erased","messages","in_flight","addresses":{"email":"suppressed"|"kept"}}: kept is the address that
 * another person has too, who goes on getting mail.  The tombstones come first, so that a crash between leaves too much
 * rather than too little. */
void erase_person(struct service *, const char *recipient, json_fn *, void *arg);

/* tombstone_of: the name under which a normalised address is suppressed after an erasure. */
void tombstone_of(const struct service *, const char *address, char out[static ADDRESS_SIZE]);

#endif
