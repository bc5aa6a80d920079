#include "schedules/moment.h"

#include <glib.h>
#include <string.h>

#include "schedules/duration.h"

#define WORKDAYS  0x1fu
#define ALL_DAYS  0x7fu
#define LOOK_DAYS 400 /* a list of holidays cannot hold a wait longer than that */

static const char *const day_names[] = { "mon", "tue", "wed", "thu", "fri", "sat", "sun", NULL };

/* ---------------------------------------------------------------- reading */

static void read_only(struct complaints *c, const char *at, const json_t *from, struct moment *m)
{
    const json_t *only = json_object_get(from, "only");
    json_t *item;
    size_t i;

    m->only = ALL_DAYS;
    m->workdays = only && json_is_string(only) && strcmp(json_string_value(only), "workdays") == 0;
    if (m->workdays)
        m->only = WORKDAYS;
    if (!only || m->workdays)
        return;
    m->only = 0;
    json_array_foreach ((json_t *)only, i, item) {
        unsigned day = 0;
        for (int d = 0; day_names[d]; d++)
            day |= json_is_string(item) && strcmp(day_names[d], json_string_value(item)) == 0 ? 1u << d : 0;
        if (!day)
            complain(c, at, "only", "names a day that is none; there are mon, tue, wed, thu, fri, sat and sun");
        m->only |= day;
    }
    if (!m->only)
        complain(c, at, "only", "must be workdays, or a list of days like [mon, tue]");
}

static void read_clock(struct complaints *c, const char *at, const json_t *from, struct moment *m)
{
    const char *text = text_of(c, at, from, "at"), *why = text ? quiet_clock(&m->at, text) : NULL;

    if (why)
        complain(c, at, "at", "%s", why);
}

static void read_calendar(struct complaints *c, const char *at, const json_t *from, struct moment *m)
{
    static const char *const known[] = { "days", "at", "only", NULL };

    m->kind = MOMENT_CALENDAR;
    complain_unknown(c, at, from, known);
    m->days = count_of(c, at, from, "days", 0, 3650, 0);
    if (m->at < 0 && !json_object_get(from, "at"))
        complain(c, at, NULL, "needs at: a time of day like \"09:00\"; for elapsed time write \"2d\"");
}

/* before: 3d is a shift of minus three days. */
static void read_shift(struct complaints *c, const char *at, const json_t *from, struct moment *m)
{
    bool before = json_object_get(from, "before"), after = json_object_get(from, "after");
    const char *key = before ? "before" : "after";
    int64_t ms = duration_of(c, at, from, key, 0);

    if (before && after)
        complain(c, at, "after", "stands beside before; write one of them");
    if (m->at >= 0 && ms % DAY_MS != 0)
        complain(c, at, key, "must be whole days where a time of day is given");
    m->ms = before ? -ms : ms;
    m->days = (int)(m->ms / DAY_MS);
}

static void read_until(struct complaints *c, const char *at, const json_t *from, struct moment *m)
{
    static const char *const known[] = { "until", "before", "after", "at", "only", "past", NULL };
    const char *past = text_of(c, at, from, "past");

    m->kind = MOMENT_UNTIL;
    complain_unknown(c, at, from, known);
    m->path = g_strdup(text_of(c, at, from, "until"));
    read_shift(c, at, from, m);
    m->past = !past || strcmp(past, "go") == 0 ? PAST_GO : strcmp(past, "exit") == 0 ? PAST_EXIT : PAST_STEP;
    if (m->past == PAST_STEP)
        m->past_step = g_strdup(past);
    if (m->only != ALL_DAYS && m->at < 0)
        complain(c, at, "only", "needs a time of day (at) beside it");
}

static void read_elapsed(struct complaints *c, const char *at, const json_t *from, struct moment *m)
{
    const char *why = duration_parse(&m->ms, json_string_value(from));

    m->kind = MOMENT_ELAPSED;
    if (why)
        complain(c, at, NULL, "%s", why);
    else if (m->ms == 0)
        complain(c, at, NULL, "is no time at all");
}

struct moment *moment_read(struct complaints *c, const char *at, const json_t *from, bool allows_until)
{
    struct moment *m = g_new0(struct moment, 1);

    m->at = -1;
    m->only = ALL_DAYS;
    if (json_is_string(from)) {
        read_elapsed(c, at, from, m);
        return m;
    }
    if (!json_is_object(from)) {
        complain(c, at, NULL, "must be a duration like \"2d\", or {days: 1, at: \"09:00\"}");
        return m;
    }
    read_clock(c, at, from, m);
    read_only(c, at, from, m);
    if (!json_object_get(from, "until"))
        read_calendar(c, at, from, m);
    else if (allows_until)
        read_until(c, at, from, m);
    else
        complain(c, at, "until", "is for wait; here write a duration, or {days: 1, at: \"09:00\"}");
    return m;
}

void moment_free(struct moment *m)
{
    if (!m)
        return;
    g_free(m->path);
    g_free(m->past_step);
    g_free(m);
}

bool moment_is_local(const struct moment *m)
{
    return m->kind != MOMENT_ELAPSED;
}

/* ---------------------------------------------------------------- instants */

static bool is_allowed(const struct moment *m, const struct almanac *almanac, const struct civil *day)
{
    return civil_day_in(m->only, day, 0) &&
           !(m->workdays && (day_list_has(&almanac->holidays, day) || day_list_has(&almanac->blackout, day)));
}

/* The clock time on the first allowed day, `days` from the day of `from` on, that lies behind `after`. */
static int64_t clock_on(const struct moment *m, const struct civil *from, int days, int64_t after,
                        const struct zone *zone, const struct almanac *almanac)
{
    int64_t at = -1;

    for (int i = 0; i < LOOK_DAYS; i++) {
        struct civil day = civil_day_at(from, days + i, m->at);
        if (!is_allowed(m, almanac, &day))
            continue;
        at = zone_instant(zone, &day);
        if (at > after)
            break;
    }
    return at;
}

bool time_read(int64_t *ms, const json_t *value, const struct zone *zone)
{
    const char *text = json_string_value(value);
    struct civil day;

    if (!text)
        return false;
    if (instant_parse(ms, text) == NULL)
        return true;
    g_autofree char *midnight = g_strconcat(text, "T00:00", NULL);
    if (strchr(text, 'T') || civil_parse(&day, midnight) != NULL)
        return false;
    *ms = zone_instant(zone, &day);
    return true;
}

static int64_t due_of_value(const struct moment *m, const struct zone *zone, const struct almanac *almanac,
                            const json_t *value)
{
    struct civil day;
    int64_t at;

    if (!time_read(&at, value, zone))
        return -1;
    if (m->at < 0)
        return at + m->ms;
    zone_local(zone, at, &day);
    return clock_on(m, &day, m->days, INT64_MIN, zone, almanac);
}

int64_t moment_due(const struct moment *m, int64_t entered, const struct zone *zone, const struct almanac *almanac,
                   const json_t *value)
{
    struct civil local;

    if (m->kind == MOMENT_ELAPSED)
        return entered + m->ms;
    if (m->kind == MOMENT_UNTIL)
        return due_of_value(m, zone, almanac, value);
    zone_local(zone, entered, &local);
    return clock_on(m, &local, m->days, entered, zone, almanac);
}

int64_t moment_longest(const struct moment *m)
{
    if (m->kind == MOMENT_ELAPSED)
        return m->ms;
    /* a day list may hold it a week longer; more than that is an exception, not a plan */
    return m->kind == MOMENT_CALENDAR ? (m->days + 1 + (m->only == ALL_DAYS ? 0 : 7 - 1)) * DAY_MS : -1;
}
