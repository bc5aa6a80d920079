/*
 * What waves.c (the work), wave_change.c (open and hold) and wave_status.c (what a
 * person reads) share.
 */
#ifndef DISPATCHER_JOURNEYS_WAVES_OWN_H
#define DISPATCHER_JOURNEYS_WAVES_OWN_H

#include "dispatcher/journeys/waves.h"
#include "dispatcher/store/journeys.h"
#include "dispatcher/store/waves.h"
#include "schedules/run.h"
#include "schedules/sequence.h"

/* wave_change: judged: the number of the standing on which a gate has decided: if it is another one by now, or somebody
 * has opened or held the wave that it would open, nothing is changed; -1: a command. */
void wave_change(struct service *, const char *sequence, const char *wave, bool opens, bool all, int64_t judged,
                 json_fn *, void *arg);

/* What a look at the waves of a sequence is made of. */
struct survey {
    struct service *service;
    const struct sequence *sequence; /* borrowed: definitions stay */
    json_t *standing;
    struct wave_look *looks; /* by place in the order */
    bool behind;
};
/* survey_make: heads: how many of the first at the doors; more than 0 is from whoever has work to do, and where no wave
 * has ever been opened the figures stay empty then.  fn gets NULL when Redis is gone, else the survey, to be freed with
 * survey_free. */
typedef void survey_fn(void *arg, struct survey *);
void survey_make(struct service *, const struct sequence *, int heads, survey_fn *, void *arg);
void survey_free(struct survey *);

/* survey_wave: how a wave stands: {} for closed.  survey_state: "closed", "open" or "held". */
const json_t *survey_wave(const struct survey *, guint i);
const char *survey_state(const struct survey *, guint i);

#endif
