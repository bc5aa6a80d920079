/*
 * The stage of a rehearsal: the service itself, with its worker and its turns, on
 * a private Redis in a folder of its own, whose clock jumps to the next thing due
 * and whose providers only say what would have been.
 *
 *   jump ──▶ everything that is due is done ──▶ the next event, or the next instant ──▶ jump …
 *
 * There is no second way to send, to decide or to wait: gates, caps, sequences and
 * scripts are those of the service.
 */
#ifndef DISPATCHER_SIMULATOR_STAGE_H
#define DISPATCHER_SIMULATOR_STAGE_H

#include "dispatcher/journeys/sequences.h"
#include "dispatcher/service.h"
#include "dispatcher/simulator/world.h"
#include "dispatcher/store/rehearsal.h"

struct stage;

/* stage_open: the service has no store yet, and gets one of its own, which begins at `from` empty, or with a part of
 * another one.  NULL with *why (to be freed).  stage_close: the folder is removed. */
struct stage *stage_open(struct service *, int64_t from_ms, const struct copy *, sequence_finding_fn *, void *arg,
                         char **why);
void stage_close(struct stage *);

/* stage_event: an event (JSON text) that comes when the clock shows `at`; they may be told in any order. */
void stage_event(struct stage *, int64_t at_ms, const char *text);

/* stage_enroll: {"recipient", …} is enrolled in a sequence then. */
void stage_enroll(struct stage *, int64_t at_ms, const char *sequence, const char *text);
/* stage_consent: {"recipient", "category", "state", …}: they say so then.  stage_wave: {"wave", "do": "open" | "hold"}.
 */
void stage_consent(struct stage *, int64_t at_ms, const char *text);
void stage_wave(struct stage *, int64_t at_ms, const char *sequence, const char *text);

/* stage_world: what providers answer and people do, between two instants; borrowed until the stage is closed. */
void stage_world(struct stage *, const struct world *, const json_t *people, int64_t from_ms, int64_t to_ms);

/* stage_play: until `to`; false with *why (to be freed) when the store is gone. */
bool stage_play(struct stage *, int64_t to_ms, char **why);

/* How many instants there were, and events that were refused: [{"event","why"}]. */
int64_t stage_jumps(const struct stage *);
const json_t *stage_refused(const struct stage *);

#endif
