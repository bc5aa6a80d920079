/*
 * The cards of one person.
 */
#ifndef DISPATCHER_STORE_INBOX_H
#define DISPATCHER_STORE_INBOX_H

#include "dispatcher/store/store.h"

void store_inbox_list(struct store *, const char *recipient, int limit, const char *before, const char *state,
                      json_fn *, void *arg);
/* store_inbox_card: a card as it was put, NULL when there is none. */
void store_inbox_card(struct store *, const char *recipient, const char *id, json_fn *, void *arg);
/* store_inbox_answer: of a card that asks for one (JSON); the last counts.  The same as below, and "card": its text;
 * for one that asks for none, known is false and "card" "asks nothing". */
void store_inbox_answer(struct store *, const char *recipient, const char *id, const char *answer, json_fn *,
                        void *arg);
/* op: read, seen, archive; id "*" for all.  {"known":bool,"unread":n,"unseen":n,"version":n} */
void store_inbox_mark(struct store *, const char *recipient, const char *op, const char *id, json_fn *, void *arg);

#endif
