/*
 * All messages, page by page, with a filter.
 */
#ifndef DISPATCHER_STORE_LISTING_H
#define DISPATCHER_STORE_LISTING_H

#include "dispatcher/store/store.h"

/* Which messages are meant; each NULL for all.  tag is "key:value". */
struct message_filter {
    const char *status, *category, *template, *source, *tag;
    const char *recipient;
};
bool message_fits(const struct message_filter *, const json_t *message);
/* One page over all messages: {"messages":[…],"cursor":"…" or null}.  Its cost is bounded: a page may have less than it
 * could, even nothing, and a cursor all the same. */
typedef bool left_fn(void *arg); /* nobody waits for the page any more: what there is of it is enough; may be NULL */
void store_list(struct store *, const struct message_filter *, int limit, const char *cursor, left_fn *, json_fn *,
                void *arg);

#endif
