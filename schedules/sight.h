/*
 * Sight: what a condition, or a path in a definition, can see.
 *
 *   event.kind                  data of the event at hand
 *   trigger.data.contract       data of the event that began the run
 *   recipient.role              profile; recipient.attributes.name, recipient.id
 *   steps.answer.event.score    what became of a step: status, reason, message, matched, event.*, part
 *   run.key  run.started        of the run itself
 *   now.date now.time now.weekday   on the person's wall clock
 */
#ifndef SCHEDULES_SIGHT_H
#define SCHEDULES_SIGHT_H

#include <jansson.h>

#include "schedules/run.h"
#include "schedules/zone.h"

struct sight {
    int64_t now; /* ms */
    const struct zone *zone;
    const char *recipient;
    const json_t *profile; /* NULL: unknown */
    const json_t *event;   /* its data, NULL where there is none at hand */
    const struct run *run; /* NULL before there is one */
    const json_t *trigger; /* data of the event that begins it, where there is no run yet; else NULL */
    const json_t *kept;    /* kept events (run.h), oldest first */
    /* "granted", "withdrawn" or NULL; the function may be NULL: nothing is known. */
    const char *(*consent)(void *arg, const char *category, const char *channel);
    void *arg;
};

/* sight_find: what stands at a path, a new reference; NULL for nothing, also for null. */
json_t *sight_find(const struct sight *, const char *path);

/* sight_path_fault: NULL, or what is wrong with a path, whatever there may be at it. */
const char *sight_path_fault(const char *path);

#endif
