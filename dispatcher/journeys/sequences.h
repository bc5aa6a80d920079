/*
 * The sequences of a service: the files of its folder as definitions, and those
 * that runs under way still go by.
 *
 * A run keeps the definition with which it began: its version names it, and the
 * store has its text, so that any process can go on with any run, also when the
 * file has changed or is gone.
 */
#ifndef DISPATCHER_JOURNEYS_SEQUENCES_H
#define DISPATCHER_JOURNEYS_SEQUENCES_H

#include "dispatcher/service.h"
#include "dispatcher/store/journeys.h"
#include "schedules/sequence.h"

struct sequences;

/* A finding is an error or a warning; place is "FILE:LINE".  NULL: nobody is told. */
typedef void sequence_finding_fn(void *arg, bool error, const char *place, const char *what);

/* sequences_open: reads the folder; files that are wrong are told and left out.  A folder that is not there has none.
 * sequences_reload: reads it anew; of a file that is wrong the old definition stays. */
struct sequences *sequences_open(struct service *, sequence_finding_fn *, void *arg);
void sequences_reload(struct sequences *, sequence_finding_fn *, void *arg);
void sequences_free(struct sequences *);

/* sequences_only: of what is current, those that are named stay. */
void sequences_only(struct sequences *, const char *const *names);

/* sequences_current: struct sequence, by name: what may begin.  sequences_find: by version, of any; version NULL: the
 * current one of a name.  NULL when there is none. */
const GPtrArray *sequences_current(const struct sequences *);
const struct sequence *sequences_find(const struct sequences *, const char *name, const char *version);

/* sequences_json: [{"name","title","version","running","longest_days","longest_messages"}], from how many runs each
 * has; one that has only runs, and no file, has no version. */
json_t *sequences_json(const struct sequences *, const json_t *running);

/* sequences_declare: an event is declared (declared.h), or none is. */
bool sequences_declare(const struct sequences *, const char *event);

/* sequences_compare: from the next reload on definitions are held against what has come, too (declared.h).
 * sequences_heard: what this process has noted of it, a set of texts. */
void sequences_compare(struct sequences *, const json_t *facts);
GHashTable *sequences_heard(struct sequences *);

/* sequences_ask_accounts: some definition looks at what happens to accounts. */
bool sequences_ask_accounts(const struct sequences *);

/* sequences_learn: a definition from the store, JSON, "" for one that the store does not have. */
void sequences_learn(struct sequences *, const char *version, const char *text);
/* sequences_knows: it has been looked for, whether there was one or not. */
bool sequences_knows(const struct sequences *, const char *version);

/* sequences_keep: calls fn when the store has all that are current; at once, when it has them already.  ok false: Redis
 * is gone. */
/* sequences_keep_again: the store may have lost them. */
void sequences_keep_again(struct sequences *);
typedef void sequences_kept_fn(void *arg, bool ok);
void sequences_keep(struct sequences *, sequences_kept_fn *, void *arg);

#endif
