/*
 * Places of which there are only so many.  Those of a wave are kept for whoever
 * got one; the one that an account has in a group is given back.
 */
#ifndef DISPATCHER_STORE_PLACES_H
#define DISPATCHER_STORE_PLACES_H

#include "dispatcher/store/store.h"

/* owner: whose it is, and for how long (ms, real); "" and 0 where that is not asked. */
typedef void place_fn(void *arg, bool ok, bool has, const char *owner, int64_t ms);
void store_place_in_wave(struct store *, const char *sequence, const char *wave, const char *recipient, int most,
                         place_fn *, void *arg);
/* waits: who does not get it is named when it is given back. */
void store_place_take(struct store *, const char *account, const char *group, const char *recipient, bool waits,
                      place_fn *, void *arg);
/* store_place_give: tell: the answer is the list of those who wait for it, and who wait no more; else they still do. */
void store_place_give(struct store *, const char *account, const char *group, const char *recipient, bool tell,
                      json_fn *, void *arg);
/* store_place_pass: it is somebody else's now, who is the same person. */
void store_place_pass(struct store *, const char *account, const char *group, const char *owner, const char *to,
                      json_fn *, void *arg);
/* store_place_gone: somebody waits for no place of an account any more. */
void store_place_gone(struct store *, const char *account, const char *recipient);

#endif
