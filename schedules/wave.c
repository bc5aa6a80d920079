#include "schedules/wave.h"

#include <string.h>

#include "schedules/duration.h"
#include "schedules/quiet.h"
#include "schedules/share.h"

#define SETTLE_MS  (72 * HOUR_MS)
#define LEAST      30
#define DAY_CLOSES 1440

const char *const harm_names[] = { "bounced", "complained", "opted_out", "failed", NULL };

/* ---------------------------------------------------------------- reading */

/* "500/h": ms between two of them. */
static double read_gap(struct complaints *c, const char *at, const json_t *from)
{
    static const struct {
        const char *unit;
        int64_t ms;
    } units[] = { { "s", SECOND_MS }, { "min", MINUTE_MS }, { "m", MINUTE_MS }, { "h", HOUR_MS }, { "d", DAY_MS } };
    const char *text = text_of(c, at, from, "rate");
    char *end = NULL;
    double n = text ? g_ascii_strtod(text, &end) : 0;

    for (size_t i = 0; text && n > 0 && *end == '/' && i < G_N_ELEMENTS(units); i++)
        if (strcmp(end + 1, units[i].unit) == 0)
            return (double)units[i].ms / n;
    if (text)
        complain(c, at, "rate", "must be people in a time, like 500/h; units are s, min, h and d");
    return 0;
}

static void read_window(struct complaints *c, const char *at, const json_t *from, struct wave *w)
{
    static const char *const known[] = { "at", "until", "only", NULL };
    const json_t *window = json_object_get(from, "window");
    g_autofree char *place = path_to(at, "window");
    json_auto_t *moment = json_object();

    w->until = DAY_CLOSES;
    if (!window)
        return;
    complain_unknown(c, place, window, known);
    const char *until = text_of(c, place, window, "until"), *why = until ? quiet_clock(&w->until, until) : NULL;
    json_object_set(moment, "at", json_object_get(window, "at"));
    if (json_object_get(window, "only"))
        json_object_set(moment, "only", json_object_get(window, "only"));
    w->window = moment_read(c, place, moment, false);
    if (why)
        complain(c, place, "until", "%s", why);
    else if (w->until <= w->window->at)
        complain(c, place, "until", "must be later on the same day than at");
}

struct wave *wave_read(struct complaints *c, const char *at, const json_t *from)
{
    static const char *const known[] = { "name", "where", "share", "most", "rate", "window", NULL };
    struct wave *w = g_new0(struct wave, 1);
    const json_t *share = json_object_get(from, "share");
    g_autofree char *where = path_to(at, "where");

    complain_unknown(c, at, from, known);
    w->name = g_strdup(text_of(c, at, from, "name"));
    if (!w->name || strspn(w->name, "abcdefghijklmnopqrstuvwxyz0123456789_-") != strlen(w->name) ||
        strlen(w->name) > 32)
        complain(c, at, "name", "must be 1 to 32 of a-z, 0-9, _ and -");
    if (!json_object_get(from, "where"))
        complain(c, at, "where", "is required: a condition, or always");
    else
        w->where = condition_read(c, where, json_object_get(from, "where"));
    w->share = share ? (int)(percent_of(c, at, "share", share) * 10000 + 0.5) : 10000;
    if (w->share == 0)
        complain(c, at, "share", "lets nobody in");
    w->most = count_of(c, at, from, "most", 1, 100000000, 0);
    w->gap = read_gap(c, at, from);
    read_window(c, at, from, w);
    return w;
}

static void read_hold(struct complaints *c, const char *at, const json_t *from, struct gate *g)
{
    const json_t *hold = json_object_get(from, "hold");
    g_autofree char *place = path_to(at, "hold");

    complain_unknown(c, place, hold, harm_names);
    for (int i = 0; i < HARMS; i++) {
        const json_t *limit = json_object_get(hold, harm_names[i]);
        g->hold[i] = limit ? percent_of(c, place, harm_names[i], limit) : -1;
    }
}

static void read_score(struct complaints *c, const char *at, const json_t *from, struct gate *g)
{
    static const char *const known[] = { "event", "of", "field", "mean_above", NULL };
    const json_t *score = json_object_get(from, "answered_score");
    g_autofree char *place = path_to(at, "answered_score");

    if (!score)
        return;
    complain_unknown(c, place, score, known);
    g->event = event_read(c, place, score);
    g->field = g_strdup(text_of(c, place, score, "field"));
    g->mean_above = json_number_value(json_object_get(score, "mean_above"));
    if (!g->event)
        complain(c, place, "event", "is required");
    if (!g->field || !g_str_has_prefix(g->field, "event."))
        complain(c, place, "field", "must be a path in the event's data, like event.score");
    if (!json_is_number(json_object_get(score, "mean_above")))
        complain(c, place, "mean_above", "must be a number");
}

static void read_open(struct complaints *c, const char *at, const json_t *from, struct gate *g)
{
    static const char *const known[] = { "goal", "answered_score", "approve", NULL }, *const above[] = { "above",
                                                                                                         NULL };
    const json_t *open = json_object_get(from, "open"), *goal = json_object_get(open, "goal");
    g_autofree char *place = path_to(at, "open"), *of_goal = path_to(place, "goal");

    g->opens = open != NULL;
    g->goal_above = -1;
    if (!open)
        return;
    complain_unknown(c, place, open, known);
    complain_unknown(c, of_goal, goal, above);
    if (goal)
        g->goal_above = percent_of(c, of_goal, "above", json_object_get(goal, "above"));
    g->approve = truth_of(c, place, open, "approve", false);
    read_score(c, place, open, g);
    if (!goal && !g->event && !g->approve)
        complain(c, place, NULL, "needs goal, answered_score or approve: without one it would open at once");
}

struct gate *gate_read(struct complaints *c, const char *at, const json_t *from)
{
    static const char *const known[] = { "settle", "least", "hold", "open", NULL };
    struct gate *g = g_new0(struct gate, 1);

    complain_unknown(c, at, from, known);
    g->settle = duration_of(c, at, from, "settle", SETTLE_MS);
    g->least = count_of(c, at, from, "least", 1, 10000000, LEAST);
    read_hold(c, at, from, g);
    read_open(c, at, from, g);
    return g;
}

void wave_free(void *wave)
{
    struct wave *w = wave;

    g_free(w->name);
    condition_free(w->where);
    moment_free(w->window);
    g_free(w);
}

void gate_free(struct gate *g)
{
    if (!g)
        return;
    g_free(g->event);
    g_free(g->field);
    g_free(g);
}

/* ---------------------------------------------------------------- when */

int64_t wave_opens_at(const struct wave *w, const struct zone *zone, const struct almanac *almanac, int64_t now)
{
    struct civil local;
    int64_t yesterday, opens;

    if (!w->window)
        return now;
    zone_local(zone, now, &local);
    /* the opening of today, when today has one, is the first behind last midnight */
    struct civil midnight = civil_day_at(&local, 0, 0);
    yesterday = zone_instant(zone, &midnight) - 1;
    opens = moment_due(w->window, yesterday, zone, almanac, NULL);
    struct civil closing = civil_day_at(&local, 0, w->until);
    if (opens <= now && now < zone_instant(zone, &closing))
        return now;
    return opens > now ? opens : moment_due(w->window, now, zone, almanac, NULL);
}

/* ---------------------------------------------------------------- the gate */

static void say(json_t *reasons, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(json_t *reasons, const char *format, ...)
{
    va_list rest;

    va_start(rest, format);
    g_autofree char *text = g_strdup_vprintf(format, rest);
    va_end(rest);
    json_array_append_new(reasons, json_string(text));
}

static bool does_harm(const struct gate *g, const struct wave_figures *f, json_t *reasons)
{
    bool harm = false;

    for (int i = 0; i < HARMS && f->released >= g->least; i++) {
        struct share s = share_of(f->harmed[i], f->released);
        if (g->hold[i] < 0 || s.low <= g->hold[i])
            continue;
        harm = true;
        say(reasons, "%s: %lld of %lld, at least %.1f %%, above %.1f %%", harm_names[i], (long long)s.reached,
            (long long)s.of, 100 * s.low, 100 * g->hold[i]);
    }
    return harm;
}

static bool lacks_goals(const struct gate *g, const struct wave_figures *f, json_t *reasons)
{
    struct share s = share_of(f->goals, f->settled);

    if (g->goal_above < 0 || s.low > g->goal_above)
        return false;
    say(reasons, "goal: %lld of %lld, at least %.1f %%, must lie above %.1f %%", (long long)s.reached, (long long)s.of,
        100 * s.low, 100 * g->goal_above);
    return true;
}

static bool lacks_score(const struct gate *g, const struct wave_figures *f, json_t *reasons)
{
    double mean = f->answered ? f->answers / (double)f->answered : 0;

    if (!g->event || (f->answered && mean > g->mean_above))
        return false;
    if (f->answered)
        say(reasons, "%s: %.2f in the mean of %lld, must lie above %g", g->field, mean, (long long)f->answered,
            g->mean_above);
    else
        say(reasons, "%s: nobody has answered yet", g->field);
    return true;
}

enum verdict gate_judge(const struct gate *g, const struct wave_figures *f, json_t *reasons)
{
    if (does_harm(g, f, reasons))
        return VERDICT_HOLD;
    if (!g->opens) {
        say(reasons, "nothing in the gate opens the next wave; a command does");
        return VERDICT_UNDECIDED;
    }
    bool few = f->settled < g->least;
    if (few)
        say(reasons, "%lld have settled, and %d must have", (long long)f->settled, g->least);
    bool goals = lacks_goals(g, f, reasons), score = lacks_score(g, f, reasons);
    return few || goals || score ? VERDICT_UNDECIDED : VERDICT_OPEN;
}
