/*
 * From the configuration to the policy.
 */
#ifndef DISPATCHER_POLICY_POLICY_LOAD_H
#define DISPATCHER_POLICY_POLICY_LOAD_H

#include "dispatcher/policy/policy.h"

/* policy_new: NULL with *why = "FILE:LINE: what" (to be freed). */
struct policy *policy_new(const struct config *, char **why);

#endif
