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
/* journal_add: one settlement, which outlives this process when it returns and the host as soon as the disk has it:
 * that is waited for in a thread.  False when the disk does not take it, or has not taken an earlier one; then it is
 * kept in memory. */
bool journal_add(struct journal *, const struct settlement *);
/* journal_replay: settles everything in it once the store is ready; called whenever it becomes so. */
void journal_replay(struct journal *, struct store *, const struct policy *);
int journal_count(const struct journal *);
void journal_close(struct journal *);

#endif
