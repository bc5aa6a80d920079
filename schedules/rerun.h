/*
 * The decisions of a run, made once more from what the trace recorded (S65): each
 * wait is computed anew, each comparison made again, each deadline looked at.
 */
#ifndef SCHEDULES_RERUN_H
#define SCHEDULES_RERUN_H

#include "schedules/machine.h"

/* recipient: NULL for a run that was somebody else's when it was drawn.
 * rerun_fault: NULL when a line of the trace ([ms, run, sequence, step, what, detail, inputs]) is what this definition
 * decides; else what is different.  g_free. */
char *rerun_fault(const struct sequence *, const char *recipient, const struct almanac *, const json_t *line);

#endif
