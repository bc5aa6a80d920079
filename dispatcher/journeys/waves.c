#include "dispatcher/journeys/waves_own.h"

#include <ev.h>
#include <string.h>

#include "dispatcher/base/clock.h"
#include "dispatcher/journeys/sequences.h"
#include "dispatcher/policy/reach.h"
#include "dispatcher/store/standings.h"
#include "schedules/duration.h"

#define LOOK_S    1.0 /* at least so often */
#define SOON_S    0.02
#define AT_ONCE_S 0.0005
#define HICCUP_MS 100
#define HEADS     128     /* of each partition, let in at a time */
#define IDLE_MS   HOUR_MS /* what has settled meanwhile is looked at so often when time jumps */

struct waves {
    struct service *service;
    int open; /* rounds under way */
    bool stopped;
    int64_t next; /* service time; INT64_MAX: nobody knows */
    bool at_once; /* there is more to do */
    ev_timer timer;
};

/* A look at one sequence, and what follows. */
struct round {
    struct waves *waves;
    struct survey *survey;
    int open;
};

static void plan(struct waves *w)
{
    double wait = !w->at_once ? LOOK_S : w->service->rehearsal ? AT_ONCE_S : SOON_S;

    if (w->next != INT64_MAX)
        wait = CLAMP(clock_wait(w->next), SOON_S, wait);
    w->timer.repeat = wait;
    if (!w->stopped)
        ev_timer_again(w->service->loop, &w->timer);
}

static void round_done(struct round *r)
{
    struct waves *w = r->waves;

    if (--r->open > 0)
        return;
    if (r->survey)
        survey_free(r->survey);
    g_free(r);
    if (--w->open == 0)
        plan(w);
}

static void note_next(struct waves *w, int64_t at)
{
    w->next = MIN(w->next, at);
}

/* ---------------------------------------------------------------- letting in */

struct letting_in {
    struct round *round;
    guint wave;
};

static gint by_turn(gconstpointer a, gconstpointer b)
{
    const struct at_door *x = a, *y = b;
    return x->since != y->since ? (x->since < y->since ? -1 : 1) : strcmp(x->member, y->member);
}

static void on_released(void *arg, bool ok, int64_t count)
{
    round_done(arg);
}

/* The first `may` of all partitions. */
static void let_in(struct round *r, guint i, int64_t may)
{
    struct survey *s = r->survey;
    GArray *heads = s->looks[i].heads;
    guint most = (guint)MIN(may, (int64_t)heads->len);
    g_autofree const char **members = g_new(const char *, most);

    for (int p = 0; p < s->service->store->partitions; p++) {
        int n = 0;
        for (guint k = 0; k < most; k++)
            if (g_array_index(heads, struct at_door, k).partition == p)
                members[n++] = g_array_index(heads, struct at_door, k).member;
        if (n == 0)
            continue;
        r->open++;
        store_wave_release(s->service->store, p, s->sequence->name, s->looks[i].name, kept_time(s->standing, "n"),
                           members, n, on_released, r);
    }
    if (most > 0)
        r->waves->at_once |= s->looks[i].door > most && !((const struct wave *)s->sequence->waves->pdata[i])->gap;
}

static void on_quota(void *arg, bool ok, int64_t may, int64_t next)
{
    struct letting_in *job = arg;
    struct round *r = job->round;

    if (ok && may > 0)
        let_in(r, job->wave, may);
    if (ok && may < r->survey->looks[job->wave].door)
        note_next(r->waves, next);
    g_free(job);
    round_done(r);
}

static void open_door(struct round *r, guint i)
{
    struct survey *s = r->survey;
    const struct wave *w = s->sequence->waves->pdata[i];
    GArray *heads = s->looks[i].heads;
    struct almanac almanac;
    int64_t now = clock_now(), opens;

    if (heads->len == 0)
        return;
    policy_days(s->service->policy, NULL, &almanac.holidays, &almanac.blackout);
    opens = wave_opens_at(w, s->sequence->zone ? s->sequence->zone : s->service->default_zone, &almanac, now);
    if (opens > now) {
        note_next(r->waves, opens);
        return;
    }
    g_array_sort(heads, by_turn);
    if (!w->gap) {
        let_in(r, i, heads->len);
        return;
    }
    struct letting_in *job = g_new(struct letting_in, 1);
    *job = (struct letting_in){ r, i };
    r->open++;
    store_wave_quota(s->service->store, s->sequence->name, w->name, w->gap, (int)heads->len, HICCUP_MS * clock_rate(),
                     on_quota, job);
}

/* ---------------------------------------------------------------- the gate */

static void on_changed(void *arg, bool ok, json_t *figures)
{
    struct round *r = arg;

    r->waves->at_once |= ok;
    round_done(r);
}

static void change(struct round *r, guint i, bool opens)
{
    r->open++;
    wave_change(r->survey->service, r->survey->sequence->name, r->survey->looks[i].name, opens, false,
                kept_time(r->survey->standing, "n"), on_changed, r);
}

/* S57.  True when the wave is to be held. */
static bool judge(struct round *r, guint i)
{
    struct survey *s = r->survey;
    const struct gate *gate = s->sequence->gate;
    json_auto_t *why = json_array();
    bool last = i + 1 == s->sequence->waves->len, closed = !last && strcmp(survey_state(s, i + 1), "closed") == 0;

    if (!gate)
        return false;
    switch (gate_judge(gate, &s->looks[i].figures, why)) {
    case VERDICT_HOLD: change(r, i, false); return true;
    case VERDICT_OPEN:
        if (closed && (!gate->approve || s->service->rehearsal))
            change(r, i + 1, true);
        break;
    case VERDICT_UNDECIDED:
        if (closed && s->looks[i].figures.released > 0)
            note_next(r->waves, clock_now() + IDLE_MS);
        break;
    }
    return false;
}

static void on_spread(void *arg, bool ok, json_t *result)
{
    round_done(arg);
}

static void on_survey(void *arg, struct survey *s)
{
    struct round *r = arg;

    r->survey = s;
    if (s && s->behind) { /* who changed it has died on the way */
        r->open++;
        store_standing_spread(s->service->store, s->sequence->name, s->standing, on_spread, r);
    }
    for (guint i = 0; s && !s->behind && !r->waves->stopped && i < s->sequence->waves->len; i++)
        if (strcmp(survey_state(s, i), "open") == 0 && !judge(r, i))
            open_door(r, i);
    round_done(r);
}

/* ---------------------------------------------------------------- looking */

static void begin(struct waves *w, const struct sequence *q)
{
    struct round *r = g_new0(struct round, 1);

    *r = (struct round){ .waves = w, .open = 1 };
    w->open++;
    survey_make(w->service, q, HEADS, on_survey, r);
}

void waves_look(struct waves *w)
{
    const GPtrArray *current = sequences_current(w->service->sequences);

    if (w->stopped || w->open > 0 || !w->service->store->ready)
        return;
    w->next = INT64_MAX;
    w->at_once = false;
    for (guint i = 0; i < current->len; i++)
        if (((const struct sequence *)current->pdata[i])->waves->len)
            begin(w, current->pdata[i]);
}

static void on_time(struct ev_loop *loop, ev_timer *t, int revents)
{
    waves_look(t->data);
}

bool waves_busy(const struct waves *w)
{
    return w->open > 0 || w->at_once;
}

int64_t waves_next(const struct waves *w)
{
    return w->next == INT64_MAX ? -1 : w->next;
}

struct waves *waves_start(struct service *s)
{
    struct waves *w = g_new0(struct waves, 1);

    w->service = s;
    w->next = INT64_MAX;
    ev_timer_init(&w->timer, on_time, 0, LOOK_S);
    w->timer.data = w;
    ev_timer_again(s->loop, &w->timer);
    return w;
}

void waves_stop(struct waves *w)
{
    w->stopped = true;
    ev_timer_stop(w->service->loop, &w->timer);
}

void waves_close(struct waves *w)
{
    if (!w)
        return;
    waves_stop(w);
    g_free(w);
}
