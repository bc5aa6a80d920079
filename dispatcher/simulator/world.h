/*
 * The world of a rehearsal: what relays answer, and what people do about what
 * they get.  Drawn by seed, rule and occasion, so that the same rehearsal is
 * played twice alike.
 *
 *   outcomes:   {email: {bounced: 2%, unknown: 1%}, sms: {bounced: 1%}}     the rest is sent
 *   engagement: {in_app: {read: 60%, after: {median: 4h, spread: 3}}}
 *   react:
 *     - {after: sent welcome, event: profile.completed, share: 60%, delay: {median: 20h, spread: 4}, data: {}}
 *     - {every: 9d, event: portal.signed_in, share: 70%}
 *
 * A delay is log-normal: half of them are shorter than the median, and two in
 * three lie between median / spread and median * spread.
 */
#ifndef DISPATCHER_SIMULATOR_WORLD_H
#define DISPATCHER_SIMULATOR_WORLD_H

#include "channels/channel.h"
#include "schedules/sequence.h"

struct world;

/* world_read: NULL with *why = "FILE:LINE: what" (to be freed). */
struct world *world_read(const char *file, const char *seed, char **why);
void world_free(struct world *);

/* world_outcome: what a provider of a channel answers to a parcel at an instant of the rehearsal; *o says that it was
 * sent, and may stay so. */
void world_outcome(const struct world *, const char *channel, const struct parcel *, int64_t now, struct outcome *);

/* What follows: an event (JSON text) at an instant; or, event NULL, the card is read then. */
typedef void world_follows_fn(void *arg, int64_t at, const char *event);
/* world_sent: from a message of a template that was sent at `now`.  world_every: from a person's being there, between
 * two instants. */
void world_sent(const struct world *, const char *recipient, const char *template, const char *message,
                const char *channel, int64_t now, world_follows_fn *, void *arg);
void world_every(const struct world *, const char *recipient, int64_t from, int64_t to, world_follows_fn *, void *arg);

/* world_from: such a file, from what a sequence's report (journeys/funnel.h) says people have done so far; g_free. */
char *world_from(const struct sequence *, const json_t *report);

#endif
