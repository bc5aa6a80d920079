#include "dispatcher/policy/policy.h"

static bool named(char *const *list, const char *name)
{
    return list && g_strv_contains((const char *const *)list, name);
}

/* Any of the three lists of what is counted only, or left out. */
static bool singled_out(const struct cap_selector *s, const struct cap_subject *d)
{
    return s->kinds >> d->kind & 1 || named(s->categories, d->category) || named(s->sources, d->source);
}

/* Of an account, and of a role that the rule is about. */
static bool concerns(const struct cap *c, const struct cap_subject *d)
{
    return (!c->account || d->account) && (!c->held.roles || named(c->held.roles, d->role));
}

static bool holds(const struct cap_selector *held, const struct cap_subject *d)
{
    return held->kinds >> d->kind & 1 && held->channels >> d->channel & 1 && held->lanes >> d->lane & 1 &&
           (!held->categories || named(held->categories, d->category)) &&
           (!held->sources || named(held->sources, d->source));
}

bool cap_selects(const struct cap *c, const struct cap_subject *d)
{
    return concerns(c, d) && !singled_out(&c->also, d) && !singled_out(&c->free, d) && holds(&c->held, d);
}

bool cap_counts(const struct cap *c, const struct cap_subject *d)
{
    return concerns(c, d) && !singled_out(&c->free, d) && (singled_out(&c->also, d) || holds(&c->held, d));
}

int cap_room(const struct cap *c, enum lane lane)
{
    int room = c->max;

    for (int higher = LANE_HIGH; higher < (int)lane; higher++)
        room -= c->keep[higher];
    return room;
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
