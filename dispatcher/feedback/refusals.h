/*
 * What a relay's word means for an address: refused for good, and nobody tries it
 * again; refused for a while through all attempts, and that counts; taken, and
 * half of what counted is forgotten.  The settings are email.suppress and
 * email.soft_bounces; what is not said of the recipient (RFC 3463) means nothing.
 */
#ifndef DISPATCHER_FEEDBACK_REFUSALS_H
#define DISPATCHER_FEEDBACK_REFUSALS_H

#include "dispatcher/service.h"

/* All three: address: a mail address as a profile has it; line: the relay's, beginning with its code.  Nobody waits for
 * what they write. */
void refusal_final(struct service *, const char *address, const char *line);
void refusal_for_a_while(struct service *, const char *address, const char *line);
void refusal_forgotten(struct service *, const char *address);

#endif
