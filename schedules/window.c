#include "schedules/window.h"

#include <stdbool.h>

static bool is_open(const struct window *w, const struct civil *c)
{
    int minute = c->hour * 60 + c->minute;

    if (w->from < w->to)
        return minute >= w->from && minute < w->to && civil_day_in(w->days, c, 0);
    return (minute >= w->from && civil_day_in(w->days, c, 0)) || (minute < w->to && civil_day_in(w->days, c, -1));
}

/* When it opens on the day `days` after c; 0 when it does not, be it that a change of the clock swallows the opening.
 */
static int64_t opening(const struct window *w, const struct zone *zone, const struct civil *c, int days)
{
    struct civil from = civil_day_at(c, days, w->from), really;
    int64_t at = zone_instant(zone, &from);

    zone_local(zone, at, &really);
    return civil_day_in(w->days, c, days) && is_open(w, &really) ? at : 0;
}

int64_t window_opens(const struct window *list, int count, const struct zone *zone, int64_t now)
{
    struct civil local;
    int64_t first = -1;

    zone_local(zone, now, &local);
    for (int i = 0; i < count; i++)
        if (is_open(&list[i], &local))
            return 0;
    for (int day = 0; day <= 8 && first < 0; day++)
        for (int i = 0; i < count; i++) {
            int64_t at = opening(&list[i], zone, &local, day);
            if (at > now && (first < 0 || at < first))
                first = at;
        }
    return first;
}
