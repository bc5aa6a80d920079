/*
 * The store: the only room that speaks Redis.
 *
 * P partitions, fixed when the prefix is first used; every key of a recipient
 * lives in the partition of its id, so every script touches one slot, and Redis
 * may be one server or a cluster.  When a server of a cluster is away, its
 * partitions wait, and the others go on.  Claims
 * are leases with a growing fence; the keys are listed in common.lua.
 *
 * Every call here is answered exactly once, from the loop.  An answer that is
 * NULL, or ok == false, means that Redis is gone and the outcome is unknown:
 * whoever asked lets go, and the lease, the retry of the caller or the journal
 * repeats it.  That is the one place where "Redis gone" is handled.
 */
#ifndef DISPATCHER_STORE_STORE_H
#define DISPATCHER_STORE_STORE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "dispatcher/base/vocab.h"
#include "dispatcher/config/config.h"
#include "dispatcher/base/ident.h"
#include "dispatcher/policy/policy.h"
#include "dispatcher/store/wire/greeting.h"
#include "dispatcher/store/wire/nodes.h"
#include "dispatcher/store/wire/script.h"

#define KEY_OUTLIVES_MS (24 * INT64_C(3600000)) /* an idempotency key lives until 24 h after the send time */
#define STORE_MESSAGES  "{*}:s:*"               /* matches the keys of all messages, behind the prefix and a colon */

struct store {
    struct ev_loop *loop;
    struct nodes *nodes;
    char *prefix;
    int partitions;
    char *secret; /* of links and tokens: from the configuration, else from Redis */
    enum durability durability;
    bool ready;    /* connected, checked, clock set; of a cluster, at least a part */
    char *fatal;   /* a complaint that no waiting mends: other partitions, eviction … */
    char *warning; /* unsafe settings, for `tidings check`; may be NULL */
    char *version; /* of the server */
    int64_t retain_messages_ms, retain_events_ms;
    int trace_lines;                         /* of a person's runs that are kept; a rehearsal sets it to all of them */
    void (*on_ready)(void *arg, bool ready); /* true again when more partitions can be reached */
    void *ready_arg;
    struct store_private *own;
};

/* store_open: connects in the background.  rate: service seconds a second to set, 0 to leave it.  takes_over: what
 * an earlier version wrote is written anew (upgrade.h).  NULL with *why (to be freed). */
struct store *store_open(struct ev_loop *, const struct config *, double rate, bool takes_over, char **why);
/* store_disconnect: answers everything that is open with NULL; nothing is asked after it.  store_close does the rest.
 */
void store_disconnect(struct store *);
void store_close(struct store *);

/* store_wait: runs the loop until ready; false with *why (to be freed) when fatal, after timeout_s, or when somebody
 * calls store_give_up meanwhile. */
bool store_wait(struct store *, double timeout_s, char **why);
void store_give_up(struct store *);

const char *store_fault(const struct store *);
/* store_reaches: the server of a partition can be used.  store_away: how many partitions cannot be reached. */
bool store_reaches(const struct store *, int partition);
int store_away(const struct store *);
const char *durability_name(enum durability);

/* store_script: a script in a partition; takes the args. */
void store_script(struct store *, int partition, const char *name, struct args *, redis_answer_fn *, void *arg);
/* store_command: one plain command, whose second word is its key; words are text, or as long as lens says. */
void store_command(struct store *, redis_answer_fn *, void *arg, int count, const char **words);
void store_command_bytes(struct store *, redis_answer_fn *, void *arg, int count, const char **words,
                         const size_t *lens);
/* store_key: "<prefix>:<name>", for what belongs to no partition.  g_free. */
char *store_key(const struct store *, const char *name);
int store_partition(const struct store *, const char *name);

/* Most answers: a result, borrowed during the call; and a word ("ok", "race" …), NULL when Redis is gone. */
typedef void json_fn(void *arg, bool ok, json_t *result);
typedef void accept_fn(void *arg, const char *answer);

/* store_subscribe: a connection of its own; fn gets channel names without the prefix. */
void store_subscribe(struct store *, int count, const char **names,
                     void (*fn)(void *arg, const char *name, const char *message), void *arg);
/* store_connection: one more connection, to the server of a key, for commands that block; closed with redis_close
 * before the store. */
struct redis *store_connection(struct store *, const char *key, double timeout_s, struct redis_events);

#endif
