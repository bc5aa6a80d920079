/*
 * What people choose for themselves: channels and their order, categories, a
 * pause, at most so many a week.  The same for the API and for the page behind
 * the link in a mail.
 *
 *   {"channels":["email"],"categories":{"marketing":false},"pause_until":"2027-01-01T00:00:00Z","max_per_week":2}
 */
#ifndef DISPATCHER_PEOPLE_PREFERENCES_H
#define DISPATCHER_PEOPLE_PREFERENCES_H

#include "dispatcher/service.h"

/* preferences_read: answers the above, with all categories that ask for consent; result is borrowed. */
void preferences_read(struct service *, const char *recipient, json_fn *, void *arg);

/* preferences_change: what is not named stays.  False with errors filled, and nothing done; else fn is called once. */
bool preferences_change(struct service *, const char *recipient, const json_t *wish, const char *source, json_t *errors,
                        json_fn *, void *arg);

/* preferences_want: whether somebody with this list of channels wants to be reached by one; without a list, by all. */
bool preferences_want(const json_t *channels, char letter);

/* preferences_entry: the newest entry of a ledger that covers a category on all channels, or NULL. */
const json_t *preferences_entry(const json_t *ledger, const char *category);

/* preferences_pause: until when (ms) somebody wants to hear nothing, 0 for no pause. */
int64_t preferences_pause(const json_t *profile);

#endif
