#include "schedules/span.h"

#include <stdio.h>
#include <string.h>

#include "schedules/duration.h"

const char *span_parse(struct span *s, const char *text)
{
    static const char *const units[] = { "day", "week", "month" };
    int count;
    char unit[16], rest[2];
    int64_t ms;

    if (sscanf(text, "%d calendar %15s%1s", &count, unit, rest) == 2 && count == 1)
        for (int i = 0; i < 3; i++)
            if (strcmp(unit, units[i]) == 0) {
                *s = (struct span){ units[i][0], 0 };
                return NULL;
            }
    if (duration_parse(&ms, text) != NULL || ms < 1)
        return "is no window; write a duration like \"7d\" (rolling), or \"1 calendar day\", \"1 calendar week\", \"1 "
               "calendar month\"";
    *s = (struct span){ 0, ms };
    return NULL;
}

/* Midnight at which the calendar window of `unit` that holds c begins, and `step` windows later. */
static int64_t window_start(const struct zone *zone, const struct civil *c, char unit, int step)
{
    struct civil start = { c->year, c->month, c->day, 0, 0, 0 };

    if (unit == 'd')
        start.day += step;
    else if (unit == 'w')
        start.day += 7 * step - civil_weekday(c);
    else
        start.day = 1, start.month += step;
    return zone_instant(zone, &start);
}

void span_window(const struct span *s, const struct zone *zone, int64_t now, int64_t *since, int64_t *next)
{
    struct civil local;

    if (!s->calendar) {
        *since = now - s->ms + 1; /* what was exactly one window ago no longer counts */
        *next = 0;
        return;
    }
    zone_local(zone, now, &local);
    *since = window_start(zone, &local, s->calendar, 0);
    *next = window_start(zone, &local, s->calendar, 1);
}
