#include "dispatcher/policy/policy.h"

bool cap_selects(const struct cap *c, const struct category *category, enum channel channel)
{
    if (!(c->kinds >> category->kind & 1) || !(c->channels >> channel & 1))
        return false;
    return !c->categories || g_strv_contains((const char *const *)c->categories, category->name);
}

/* Midnight at which the calendar window of `unit` that holds c begins, and `step` windows later. */
static int64_t window_start(const struct zone *zone, const struct civil *c, char unit, int step)
{
    struct civil start = { c->year, c->month, c->day, 0, 0, 0 };

    if (unit == 'd')
        start.day += step;
    else if (unit == 'w')
        start.day += 7 * step - civil_weekday(c); /* weeks begin on Monday (ISO 8601) */
    else
        start.day = 1, start.month += step;
    return zone_instant(zone, &start);
}

void cap_window(const struct cap *c, const struct zone *zone, int64_t now, int64_t *since, int64_t *next)
{
    struct civil local;

    if (!c->per.calendar) {
        *since = now - c->per.ms + 1; /* what was sent exactly one window ago no longer counts */
        *next = 0;
        return;
    }
    zone_local(zone, now, &local);
    *since = window_start(zone, &local, c->per.calendar, 0);
    *next = window_start(zone, &local, c->per.calendar, 1);
}
