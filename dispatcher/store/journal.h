/*
 * Results that Redis could not take: kept on disk until it can.
 */
#ifndef DISPATCHER_STORE_JOURNAL_H
#define DISPATCHER_STORE_JOURNAL_H

#include "dispatcher/store/pipeline.h"

struct journal;
/* journal_open: below data_dir, one file a process; what dead processes left is taken over.  NULL with *why (to be
 * freed). */
struct journal *journal_open(const char *data_dir, char **why);
/* journal_add: one settlement, on disk when it returns.  False when the disk does not take it; then it is kept in
 * memory only. */
bool journal_add(struct journal *, const struct settlement *);
/* journal_replay: settles everything in it once the store is ready; called whenever it becomes so. */
void journal_replay(struct journal *, struct store *, const struct policy *);
int journal_count(const struct journal *);
void journal_close(struct journal *);

#endif
