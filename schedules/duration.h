/*
 * Elapsed time as people write it: "2d", "36h", "90s", "1d12h".
 *
 * Units are w d h m s (and ms); they may be joined, each at most once and in
 * falling order.  A day here is always 24 hours: calendar days belong to zone.h.
 */
#ifndef SCHEDULES_DURATION_H
#define SCHEDULES_DURATION_H

#include <stdint.h>

#define SECOND_MS INT64_C(1000)
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS   (60 * MINUTE_MS)
#define DAY_MS    (24 * HOUR_MS)
#define WEEK_MS   (7 * DAY_MS)

/* duration_parse: milliseconds from text.  NULL when content, else a sentence;
 * *ms is untouched on complaint.  At most ten years. */
const char *duration_parse(int64_t *ms, const char *text);

/* duration_format: the shortest joined form, "1d12h"; buf of 48 bytes is always enough. */
const char *duration_format(char buf[static 48], int64_t ms);

#endif
