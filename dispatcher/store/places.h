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
/* waits: who does not get it is named when it is given back, in their order. */
void store_place_take(struct store *, const char *account, const char *group, const char *recipient, const char *run,
                      bool waits, place_fn *, void *arg);
/* store_place_give: the answer lists those who might have it now, the next one first; also when it is told again.
 * store_place_owner: {"owner": recipient, "" for nobody}. */
void store_place_give(struct store *, const char *account, const char *group, const char *recipient, const char *run,
                      json_fn *, void *arg);
void store_place_owner(struct store *, const char *account, const char *group, json_fn *, void *arg);
/* store_place_free: somebody does not use it: who has had it for so long (real ms) has it no more. */
void store_place_free(struct store *, const char *account, const char *group, const char *recipient, int64_t ms,
                      json_fn *, void *arg);
/* store_place_pass: it is the other one's now. */
struct place_owner {
    const char *recipient, *run;
};
void store_place_pass(struct store *, const char *account, const char *group, struct place_owner from,
                      struct place_owner to, json_fn *, void *arg);
/* store_place_gone: somebody waits for no place of an account any more, or not for that of a group ("" for all). */
void store_place_gone(struct store *, const char *account, const char *recipient, const char *group);

#endif
