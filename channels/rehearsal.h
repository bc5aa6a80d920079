/*
 * A provider for rehearsals: nothing leaves the process.  It sends whatever it is
 * given, unless whoever rehearses says otherwise.
 */
#ifndef CHANNELS_REHEARSAL_H
#define CHANNELS_REHEARSAL_H

#include "channels/channel.h"

/* The outcome stands as sent, and may be changed. */
typedef void rehearsal_outcome_fn(void *arg, const char *channel, const struct parcel *, struct outcome *);

/* rehearsal_open: for a channel, by name (borrowed for ever).  fn may be NULL. */
struct provider *rehearsal_open(struct ev_loop *, const char *channel, rehearsal_outcome_fn *, void *arg);

#endif
