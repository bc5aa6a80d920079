/*
 * The gates of a message once more, offline, on the inputs that its trace has
 * recorded: expiry, consent, preference, quiet hours and caps.  The other gates
 * (address, suppression, render, provider, outcome) record what others said, and
 * are taken as they stand.
 */
#ifndef DISPATCHER_CARRY_REPLAY_H
#define DISPATCHER_CARRY_REPLAY_H

#include "dispatcher/service.h"

/* replay_message: {"id","agrees","policy":{"recorded","now"},"gates":[{"at","channel","gate","recorded","replayed"}]}
 * of a message as store_show() gives it. */
json_t *replay_message(const struct service *, const json_t *message);

#endif
