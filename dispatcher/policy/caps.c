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

void cap_window(const struct cap *c, const struct zone *zone, int64_t now, int64_t *since, int64_t *next)
{
    span_window(&c->per, zone, now, since, next);
}
