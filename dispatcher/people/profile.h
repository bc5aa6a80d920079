/*
 * Changing a stored profile: read, merge (RFC 7396), write if nobody else has
 * written meanwhile, again if somebody has.  One way for every door.
 */
#ifndef DISPATCHER_PEOPLE_PROFILE_H
#define DISPATCHER_PEOPLE_PROFILE_H

#include "dispatcher/people/turn.h"
#include "dispatcher/service.h"

enum profile_mode {
    PROFILE_MERGE,          /* by the company, in part */
    PROFILE_IMPORT,         /* the same, with many others */
    PROFILE_REPLACE,        /* by the company, as a whole */
    PROFILE_MERGE_EXISTING, /* field by field, of somebody who is known */
    PROFILE_PERSON,         /* by the person */
};
enum profile_result {
    PROFILE_GONE,
    PROFILE_CONFLICT,
    PROFILE_MISSING,
    PROFILE_CREATED,
    PROFILE_UPDATED,
    PROFILE_UNCHANGED
};

/* profile: JSON text as it is stored now, borrowed; NULL when the store is gone or there is none. */
typedef void profile_changed_fn(void *arg, enum profile_result, const char *profile);

/* profile_change: takes the patch, which recipient_check() has seen. */
void profile_change(struct service *, const char *recipient, json_t *patch, enum profile_mode, profile_changed_fn *,
                    void *arg);

/* profile_change_in_turn: the same, by whoever has the person's turn, and keeps it. */
void profile_change_in_turn(struct service *, const char *recipient, json_t *patch, enum profile_mode,
                            profile_changed_fn *, void *arg);

/* profile_claim_addresses: notes whose addresses these are, and to whose account they belong, before the profile is
 * stored; `was` may be "". */
void profile_claim_addresses(struct service *, const char *recipient, const char *was, const char *now);

/* profile_replan: messages whose time was given in the person's local time follow a zone that has changed; then fn is
 * called, at once when there is nothing to do. */
void profile_replan(struct service *, const char *recipient, const char *was, const char *now, turn_fn *, void *arg);

#endif
