/*
 * Waves in the store: who stands at their doors, and what became of those who were
 * let in.  A door is in the partition of its people; how fast one opens is
 * measured in the partition of the sequence's name.
 */
#ifndef DISPATCHER_STORE_WAVES_H
#define DISPATCHER_STORE_WAVES_H

#include "dispatcher/store/store.h"
#include "schedules/wave.h"

struct wave_look {
    const char *name;
    int64_t from;      /* what did harm counts for who were let in at or after it */
    bool asks_answers; /* figures of answers are wanted: they are dear */
    int64_t door;      /* filled: how many stand there */
    int64_t released;  /* and have been let in since the wave is there */
    struct wave_figures figures;
    GArray *heads; /* struct at_door: the first of each partition; NULL when none were asked for */
};
struct at_door {
    int partition;
    int64_t since;
    char *member; /* "rid|run" */
};

/* store_waves: fills the looks (count of them), which must stay until the answer; heads: how many of the first; settled
 * before: who was let in by then.  The answer: {"behind": a partition has an older standing than `number`}.  Sums over
 * partitions that are read one after the other: each figure only grows. */
void store_waves(struct store *, const char *sequence, int64_t number, struct wave_look *, int count, int heads,
                 int64_t settled_before, json_fn *, void *arg);
void wave_look_clear(struct wave_look *);

/* store_wave_release: lets people of one partition in; the answer is how many, or -1 when the sequence stands otherwise
 * than its number says. */
typedef void count_fn(void *arg, bool ok, int64_t count);
void store_wave_release(struct store *, int partition, const char *sequence, const char *wave, int64_t number,
                        const char *const *members, int count, count_fn *, void *arg);

/* store_wave_quota: how many may be let in now when one may each `gap` ms, of so many that would; hiccup: ms that are
 * made up for when nobody looked; next: when one more may. */
typedef void quota_fn(void *arg, bool ok, int64_t may, int64_t next);
void store_wave_quota(struct store *, const char *sequence, const char *wave, double gap, int wish, double hiccup,
                      quota_fn *, void *arg);

#endif
