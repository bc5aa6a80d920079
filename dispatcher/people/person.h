/*
 * What the gates ask about a person, from their profile.
 */
#ifndef DISPATCHER_PEOPLE_PERSON_H
#define DISPATCHER_PEOPLE_PERSON_H

#include "dispatcher/policy/gates.h"
#include "dispatcher/service.h"

/* person_fill: zone, region, the channels they want and their pause; the category and channel of question->who stand
 * already.  Borrows from the profile, which may be NULL. */
void person_fill(struct question *, const struct service *, const json_t *profile);

/* person_role: in their account; "" for none, and for one that would break the store's lists.  person_account: theirs,
 * "" for none.  person_limit: "at most so many a week", -1 for no such wish.  Borrowed. */
const char *person_role(const json_t *profile);
const char *person_account(const json_t *profile);
int person_limit(const json_t *profile);

#endif
