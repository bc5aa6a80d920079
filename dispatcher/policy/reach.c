#include "dispatcher/policy/reach.h"

#include <string.h>

#define MAX_STEPS 400

static struct day_list day_list_of(const GPtrArray *days)
{
    return (struct day_list){ days ? (const char **)days->pdata : NULL, days ? (int)days->len : 0 };
}

void policy_days(const struct policy *p, const char *region, struct day_list *holidays, struct day_list *blackout)
{
    const GPtrArray *own = region ? g_hash_table_lookup(p->holidays, region) : NULL;

    *holidays = own ? day_list_of(own) : p->quiet.holidays;
    *blackout = p->quiet.blackout;
}

static int64_t quiet_ends(const struct policy *p, const struct reach *r, int64_t at, const char **cause)
{
    static const char *const names[] = { "", "hours", "holiday", "blackout" };
    struct quiet quiet = p->quiet;
    enum quiet_cause why;

    if (!p->has_quiet || !(p->quiet_channels >> r->channel & 1))
        return 0;
    policy_days(p, r->region, &quiet.holidays, &quiet.blackout);
    int64_t until = quiet_until(&quiet, r->zone, at, &why);
    if (until)
        *cause = names[why];
    return until;
}

static int64_t window_begins(const struct policy *p, const struct reach *r, int64_t at)
{
    g_autofree struct window *list = g_new(struct window, p->n_windows + 1);
    int n = 0;

    for (int i = 0; i < p->n_windows; i++)
        if (p->windows[i].kinds >> r->category->kind & 1 && p->windows[i].channels >> r->channel & 1)
            list[n++] = p->windows[i].window;
    return n ? window_opens(list, n, r->zone, at) : 0;
}

int64_t policy_reach(const struct policy *p, const struct reach *r, int64_t now, const char **cause)
{
    int64_t at = now, next;
    const char *here = NULL;

    *cause = NULL;
    if (r->category->quiet == QUIET_IGNORE)
        return 0;
    for (int steps = 0; steps < MAX_STEPS; steps++) {
        next = quiet_ends(p, r, at, &here);
        if (!next && (next = window_begins(p, r, at)))
            here = "window";
        if (!next)
            return at == now ? 0 : at;
        *cause = *cause ? *cause : here;
        at = next;
    }
    return -1;
}

static bool opens_at(const struct policy *p, const struct reach *r, int64_t at)
{
    const char *cause;
    return policy_reach(p, r, at, &cause) == 0 && policy_reach(p, r, at - 1, &cause) != 0;
}

/* The soonest of the instants at which something ends or begins on the day `days` after c: midnight, the end of quiet
 * hours, windows. */
static int64_t opening_on(const struct policy *p, const struct reach *r, const struct civil *c, int days, int64_t now)
{
    int64_t first = INT64_MAX;

    for (int i = -2; i < p->n_windows; i++) {
        int minutes = i == -2 ? 0 : i == -1 ? p->quiet.to : p->windows[i].window.from;
        struct civil clock = civil_day_at(c, days, minutes);
        int64_t at = zone_instant(r->zone, &clock);
        if (at > now && at < first && opens_at(p, r, at))
            first = at;
    }
    return first;
}

/* Today at the clock time of `planned`, or tomorrow when that is over. */
static int64_t same_clock(const struct zone *zone, int64_t now, int64_t planned)
{
    struct civil today, then;
    int64_t at = 0;

    zone_local(zone, now, &today);
    zone_local(zone, planned, &then);
    for (int days = 0; days < 3 && at <= now; days++) {
        struct civil clock = civil_day_at(&today, days, then.hour * 60 + then.minute);
        clock.second = then.second;
        at = zone_instant(zone, &clock);
    }
    return at;
}

int64_t policy_opening(const struct policy *p, const struct reach *r, int64_t now, int64_t planned)
{
    struct civil today;
    const char *cause;
    int64_t at = policy_reach(p, r, now, &cause);

    if (at > 0)
        return at;
    zone_local(r->zone, now, &today);
    for (int days = 0; days <= 8; days++)
        if ((at = opening_on(p, r, &today, days, now)) != INT64_MAX)
            return at;
    return same_clock(r->zone, now, planned);
}

int64_t policy_spread(const struct policy *p, const struct reach *r, int64_t opening, enum lane lane, const char *id)
{
    int64_t third = p->spread_ms / LANES, after = 0;
    const char *cause;

    if (third)
        after = third * lane + (int64_t)(g_str_hash(id) % (guint64)third);
    while (after > 0 && policy_reach(p, r, opening + after, &cause) != 0)
        after /= 2; /* it closes before: earlier then, in the same order */
    return opening + after;
}
