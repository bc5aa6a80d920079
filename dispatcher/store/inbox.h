/*
 * The cards of one person.
 */
#ifndef DISPATCHER_STORE_INBOX_H
#define DISPATCHER_STORE_INBOX_H

#include "dispatcher/store/store.h"

void store_inbox_list(struct store *, const char *recipient, int limit, const char *before, const char *state,
                      json_fn *, void *arg);
/* op: read, seen, archive; id "*" for all.  {"known":bool,"unread":n,"unseen":n,"version":n} */
void store_inbox_mark(struct store *, const char *recipient, const char *op, const char *id, json_fn *, void *arg);

#endif
