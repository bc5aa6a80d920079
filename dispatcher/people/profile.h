/*
 * Changing a stored profile: read, merge (RFC 7396), write if nobody else has
 * written meanwhile, again if somebody has.  One way for every door.
 */
#ifndef DISPATCHER_PEOPLE_PROFILE_H
#define DISPATCHER_PEOPLE_PROFILE_H

#include "dispatcher/service.h"

enum profile_mode { PROFILE_MERGE, PROFILE_REPLACE, PROFILE_MERGE_EXISTING };
enum profile_result { PROFILE_GONE, PROFILE_MISSING, PROFILE_CREATED, PROFILE_UPDATED, PROFILE_UNCHANGED };

/* profile: JSON text as it is stored now, borrowed; NULL when the store is gone or there is none. */
typedef void profile_changed_fn(void *arg, enum profile_result, const char *profile);

/* profile_change: takes the patch, which recipient_check() has seen. */
void profile_change(struct service *, const char *recipient, json_t *patch, enum profile_mode, profile_changed_fn *,
                    void *arg);

#endif
