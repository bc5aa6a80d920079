#include "dispatcher/carry/claims.h"

#include <ev.h>
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/base/clock.h"
#include "dispatcher/base/metrics.h"
#include "dispatcher/store/pipeline.h"

#define SAFETY_NET_S  5.0 /* a partition nobody told us about is looked at this often */
#define GIVE_AGAIN_MS 50
#define YIELD_MS      500  /* what we do not know is left to the others for this long, each time it is due */
#define YIELD_FOR_S   90.0 /* longer than such a one waits from one try to the next */
#define CATCH_UP_S    0.1  /* late ones are taken up in portions of this long */

struct partition {
    int64_t next_due[CHANNEL_COUNT]; /* service time; 0: look now */
    double looked_at;                /* loop time of the last claim */
    bool claiming;
    int room[CHANNEL_COUNT], late[CHANNEL_COUNT]; /* asked for by the claim under way */
    bool late_wait[CHANNEL_COUNT];                /* late ones wait for their share */
};

struct claimer {
    struct store *store;
    struct ev_loop *loop;
    struct claim_terms terms;
    const struct claim_owner *owner;
    void *arg;
    struct partition *partitions;
    int next_partition;
    double late[CHANNEL_COUNT];  /* late ones that a channel may take now */
    double late_at;              /* loop time of that */
    int reserved[CHANNEL_COUNT]; /* asked for by claims under way */
    double yield_until;          /* loop time */
    ev_timer due;
};

static int room_for(struct claimer *w, enum channel c)
{
    int capacity = w->owner->capacity(w->arg, c), held = w->owner->held(w->arg, c),
        room = capacity - held - w->reserved[c];

    /* a claim for one or two costs as much as one for thirty: wait until there is some room, unless all is idle */
    if (room < MIN(32, capacity / 4) && held + w->reserved[c] > 0)
        return 0;
    return CLAMP(room, 0, w->terms.batch);
}

/* After an outage the backlog is worked off at a rate of its own, and what is due now goes beside it. */
static void refill_late(struct claimer *w)
{
    double now = ev_now(w->loop), gained = (now - w->late_at) * w->terms.catch_up;

    for (int c = 0; c < CHANNEL_COUNT; c++)
        w->late[c] = MIN(w->late[c] + gained, MAX(1, w->terms.catch_up * CATCH_UP_S));
    w->late_at = now;
}

static int late_room(struct claimer *w, enum channel c, int room)
{
    return w->terms.catch_up > 0 ? CLAMP((int)w->late[c], 0, room) : -1;
}

/* What was not needed of the late ones' share is there for the next claim. */
static void count_late(struct claimer *w, struct partition *p, const struct claims *claims)
{
    int64_t before = clock_now() - w->terms.late_ms;

    for (int c = 0; c < CHANNEL_COUNT; c++)
        w->late[c] += MAX(p->late[c], 0);
    for (int i = 0; i < claims->count; i++)
        if (claims->list[i].lane > LANE_HIGH && claims->list[i].due <= before)
            w->late[channel_of(claims->list[i].letter)] -= 1;
}

struct claim_job {
    struct claimer *claimer;
    int partition;
};

static void note_due(struct partition *p, enum channel c, int64_t due)
{
    if (due < p->next_due[c])
        p->next_due[c] = due;
}

static void note_due_any(struct partition *p, int64_t due)
{
    for (int c = 0; c < CHANNEL_COUNT; c++)
        note_due(p, (enum channel)c, due);
}

static void on_claims(void *arg, bool ok, const struct claims *claims)
{
    struct claim_job *job = arg;
    struct claimer *w = job->claimer;
    struct partition *p = &w->partitions[job->partition];

    p->claiming = false;
    for (int c = 0; c < CHANNEL_COUNT; c++)
        w->reserved[c] -= p->room[c];
    if (w->terms.catch_up > 0)
        count_late(w, p, claims);
    if (ok) {
        for (int c = 0; c < CHANNEL_COUNT; c++) {
            if (claims->next_due[c] >= 0)
                note_due(p, (enum channel)c, claims->next_due[c]);
            p->late_wait[c] |= claims->late_wait[c];
        }
        if (claims->next_lease >= 0) /* should its worker have died, we take it over then */
            note_due(p, CHANNEL_EMAIL,
                     clock_now() + (int64_t)((double)(claims->next_lease - clock_real() + 20) * clock_rate()));
        if (claims->reclaimed)
            metrics_add(METRIC_RECLAIMED, "", claims->reclaimed);
        for (const char *const *entry = claims->to_give; *entry; entry++)
            store_account_give(w->store, job->partition, *entry);
        if (claims->to_give[0]) /* there may be more of them */
            note_due_any(p, clock_now() + (int64_t)(GIVE_AGAIN_MS * clock_rate()));
        for (int i = 0; i < claims->count; i++)
            w->owner->taken(w->arg, job->partition, &claims->list[i]);
    }
    w->owner->look(w->arg);
    g_free(job);
}

static bool late_turn(const struct claimer *w, const struct partition *p, enum channel c)
{
    return p->late_wait[c] && w->late[c] >= 1;
}

static bool any_late_turn(const struct claimer *w, const struct partition *p)
{
    for (int c = 0; c < CHANNEL_COUNT; c++)
        if (late_turn(w, p, (enum channel)c))
            return true;
    return false;
}

/* Seconds until the late ones of a partition have a share again, in portions; a long time when none wait. */
static double late_pause(const struct claimer *w, const struct partition *p)
{
    double wait = SAFETY_NET_S;

    for (int c = 0; c < CHANNEL_COUNT; c++)
        if (p->late_wait[c])
            wait = MIN(wait, MAX(CATCH_UP_S, (1 - w->late[c]) / w->terms.catch_up));
    return wait;
}

/* Claims what is due in a partition, as far as there is room; false when there is none for what is due. */
static bool claim(struct claimer *w, int partition, int64_t now, bool stale)
{
    struct partition *p = &w->partitions[partition];
    struct claim_job *job;
    bool any = stale;

    for (int c = 0; c < CHANNEL_COUNT; c++) {
        bool due = stale || p->next_due[c] <= now || late_turn(w, p, (enum channel)c);
        p->room[c] = due ? room_for(w, (enum channel)c) : 0;
        p->late[c] = late_room(w, (enum channel)c, p->room[c]);
        any |= p->room[c] > 0;
    }
    if (!any)
        return false;
    for (int c = 0; c < CHANNEL_COUNT; c++) {
        w->reserved[c] += p->room[c];
        w->late[c] -= MAX(p->late[c], 0);
        if (p->late[c] > 0) { /* the next share is another partition's */
            p->late_wait[c] = false;
            w->next_partition = (partition + 1) % w->store->partitions;
        }
        p->next_due[c] = INT64_MAX;
    }
    p->claiming = true;
    p->looked_at = ev_now(w->loop);
    job = g_new0(struct claim_job, 1);
    *job = (struct claim_job){ w, partition };
    struct claim_limits limits = { .lease_ms = w->terms.lease_ms,
                                   .late_ms = w->terms.late_ms,
                                   .yield_ms = w->yield_until > ev_now(w->loop) ? YIELD_MS : 0 };
    memcpy(limits.room, p->room, sizeof limits.room);
    memcpy(limits.late, p->late, sizeof limits.late);
    store_claim(w->store, partition, &limits, on_claims, job);
    return true;
}

static int64_t soonest_of(const struct partition *p)
{
    int64_t soonest = INT64_MAX;

    for (int c = 0; c < CHANNEL_COUNT; c++)
        soonest = MIN(soonest, p->next_due[c]);
    return soonest;
}

/* One round over the partitions, beginning where the last one found no room. */
void claimer_round(struct claimer *w)
{
    int64_t now = clock_now(), soonest = INT64_MAX;
    int count = w->store->partitions, first = w->next_partition, first_refused = -1;
    double wait = SAFETY_NET_S;

    if (!w->store->ready)
        return;
    refill_late(w);
    for (int i = 0; i < count; i++) {
        int index = (first + i) % count;
        struct partition *p = &w->partitions[index];
        double net = p->looked_at + SAFETY_NET_S - ev_now(w->loop);
        if (p->claiming || !store_reaches(w->store, index))
            continue;
        if (soonest_of(p) > now && net > 0 && !any_late_turn(w, p)) {
            soonest = MIN(soonest, soonest_of(p));
            wait = MIN(wait, MIN(net, late_pause(w, p)));
        } else if (!claim(w, index, now, net <= 0) && first_refused < 0) {
            first_refused = index; /* places that become free bring us back */
        }
    }
    if (first_refused >= 0)
        w->next_partition = first_refused;
    if (soonest != INT64_MAX)
        wait = MIN(wait, clock_wait(soonest));
    w->due.repeat = MAX(wait, 0.0005);
    ev_timer_again(w->loop, &w->due);
}

/* The message is the partition and the instant, "tidings:{3}:1790000000000". */
void claimer_woken(struct claimer *w, const char *message)
{
    const char *brace = strchr(message, '{'), *due = strrchr(message, ':');
    int partition = brace ? atoi(brace + 1) : -1;

    if (partition < 0 || partition >= w->store->partitions || !due)
        return;
    note_due_any(&w->partitions[partition], g_ascii_strtoll(due + 1, NULL, 10));
    w->owner->look(w->arg);
}

/* ---------------------------------------------------------------- life */

static void on_due(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct claimer *w = timer->data;

    ev_timer_stop(loop, timer);
    w->owner->look(w->arg);
}

struct claimer *claimer_new(struct store *store, struct ev_loop *loop, const struct claim_terms *terms,
                            const struct claim_owner *owner, void *arg)
{
    struct claimer *w = g_new0(struct claimer, 1);

    *w = (struct claimer){ .store = store, .loop = loop, .terms = *terms, .owner = owner, .arg = arg };
    w->partitions = g_new0(struct partition, store->partitions);
    w->late_at = ev_now(loop);
    ev_timer_init(&w->due, on_due, 0, 0.001);
    w->due.data = w;
    return w;
}

void claimer_yield(struct claimer *w)
{
    w->yield_until = ev_now(w->loop) + YIELD_FOR_S;
}

void claimer_anew(struct claimer *w)
{
    for (int i = 0; i < w->store->partitions; i++)
        memset(w->partitions[i].next_due, 0, sizeof w->partitions[i].next_due);
    ev_timer_again(w->loop, &w->due);
}

void claimer_free(struct claimer *w)
{
    ev_timer_stop(w->loop, &w->due);
    g_free(w->partitions);
    g_free(w);
}
