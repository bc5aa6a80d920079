/*
 * Spans in which things are counted: rolling ("7d"), or a calendar day, week or
 * month of a zone ("1 calendar day"); weeks begin on Monday (ISO 8601).
 */
#ifndef SCHEDULES_SPAN_H
#define SCHEDULES_SPAN_H

#include "schedules/zone.h"

struct span {
    char calendar; /* 'd', 'w' or 'm'; 0: rolling */
    int64_t ms;    /* of a rolling one */
};

/* span_parse: NULL when content, else a sentence. */
const char *span_parse(struct span *, const char *text);

/* span_window: the window that holds `now`: what is at *since or later counts, and of a calendar one the next begins at
 * *next (0 for a rolling one). */
void span_window(const struct span *, const struct zone *, int64_t now, int64_t *since, int64_t *next);

#endif
