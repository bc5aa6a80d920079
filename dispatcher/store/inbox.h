/*
 * The cards of one person.
 *
 * Every answer has "unread", "unseen" and "version": absolute counts, and a number
 * that grows with each change, whatever became of the keys; and "next", when a
 * card comes back from its snooze, or leaves (ms of service time, 0 for never).  An
 * item has "id", what its card says, "at", "seen_at", "read_at", "archived_at",
 * "snoozed_until", "expires_at", "pinned", "importance" and "v", the version of its
 * last change.
 */
#ifndef DISPATCHER_STORE_INBOX_H
#define DISPATCHER_STORE_INBOX_H

#include "dispatcher/store/store.h"

struct inbox_of {
    struct store *store;
    const char *recipient;
    int64_t keep_ms;
};

void inbox_count(const struct inbox_of *, json_fn *, void *arg);
/* inbox_list: {"items", "before"}: a page of at most limit; before: of the page before, "" for the newest; state: all,
 * unread or archived. */
void inbox_list(const struct inbox_of *, int limit, const char *before, const char *state, json_fn *, void *arg);
/* inbox_since: {"resync": false, "items", "gone": [ids]}: what has changed after a version; resync: too much, or it is
 * not known any more: list again. */
void inbox_since(const struct inbox_of *, int64_t version, json_fn *, void *arg);

/* inbox_mark: op: read, unread, seen, archive, unarchive; id "*" for all that stood at version `until` (0: all).
 * inbox_snooze: hidden and not counted until then, ms of service time.  {"known", "changed": n} */
void inbox_mark(const struct inbox_of *, const char *op, const char *id, int64_t until, json_fn *, void *arg);
void inbox_snooze(const struct inbox_of *, const char *id, int64_t until_ms, json_fn *, void *arg);

/* inbox_card: a card as it was put, NULL when there is none.  inbox_answer: of a card that asks for one (JSON); the
 * last counts.  {"known", "card": its text, "answered": when}; for one that asks for none, known is false and "card"
 * "asks nothing". */
void inbox_card(const struct inbox_of *, const char *id, json_fn *, void *arg);
void inbox_answer(const struct inbox_of *, const char *id, const char *answer, json_fn *, void *arg);

/* store_ticket_put: a ticket for a person whose token holds until then (ms, 0 for ever), gone after 60 s.
 * store_ticket_take: whose it is, once: {"recipient","expires"}, or {}. */
void store_ticket_put(struct store *, const char *ticket, const char *recipient, int64_t expires_ms, json_fn *,
                      void *arg);
void store_ticket_take(struct store *, const char *ticket, json_fn *, void *arg);

#endif
