/*
 * Stops: what an operator has halted, by one property of a message each.
 *
 *   all | channel | provider | category | template | sequence | source | tag ("key:value", or "key")
 *
 * What is halted waits, whoever sends it, until the stop is lifted or its time is
 * over.  Pure: the list comes from the store, with a number that grows with each
 * change.
 */
#ifndef DISPATCHER_POLICY_STOPS_H
#define DISPATCHER_POLICY_STOPS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum stop_by {
    STOP_ALL,
    STOP_CHANNEL,
    STOP_PROVIDER,
    STOP_CATEGORY,
    STOP_TEMPLATE,
    STOP_SEQUENCE,
    STOP_SOURCE,
    STOP_TAG,
    STOP_BYS
};
extern const char *const stop_bys[STOP_BYS + 1]; /* NULL at the end */

struct stop {
    char *id, *value; /* value "" for all */
    enum stop_by by;
    char *who, *reason;   /* who set it, and why */
    int64_t since, until; /* ms of service time; until 0: until it is lifted */
};

/* stop_read: {"category": "marketing", "who", "reason", "since", "until"}, as the store keeps it; NULL for none.
 * stop_json: the same, with "id", and instants as RFC 3339. */
struct stop *stop_read(const char *id, const json_t *);
json_t *stop_json(const struct stop *);
void stop_free(struct stop *);

/* What is known of a delivery.  provider NULL: it has none yet; sequence "" for none. */
struct stoppable {
    const char *channel, *category, *template, *source, *sequence, *provider;
    const json_t *tags;
};
bool stop_covers(const struct stop *, const struct stoppable *);

struct stops;

/* stops_read: {id: {…}, …, "*": number}. */
struct stops *stops_read(const json_t *);
void stops_free(struct stops *);
int64_t stops_number(const struct stops *);
/* stops_find: the first that covers it now, NULL for none.  stops_have: one by this very value stands.  stops_each:
 * those that stand. */
const struct stop *stops_find(const struct stops *, const struct stoppable *, int64_t now);
bool stops_have(const struct stops *, enum stop_by, const char *value, int64_t now);
void stops_each(const struct stops *, int64_t now, void (*fn)(void *arg, const struct stop *), void *arg);

/* tag_fits: "key:value", or "key" for any value. */
bool tag_fits(const char *tag, const json_t *tags);

#endif
