#include "dispatcher/journeys/turns.h"

#include <ev.h>
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/base/clock.h"
#include "dispatcher/base/metrics.h"
#include "dispatcher/config/settings.h"
#include "dispatcher/journeys/actor.h"
#include "dispatcher/journeys/outbox.h"

#define SAFETY_NET_S 5.0 /* a partition nobody told us about is looked at this often */
#define BATCH        32
#define AGAIN_MS     1000
#define SHARE_S      0.1 /* late ones are taken up in portions of this long */
#define MOST         64  /* people being seen to */

struct lot {
    int64_t next; /* service time; 0: look now, INT64_MAX: nothing known */
    double looked_at;
    bool asking;
    bool late_wait; /* for their share */
    int late;       /* asked for, of the share */
};

struct turns {
    struct service *service;
    struct lot *lots; /* by partition */
    int64_t lease_ms, late_ms;
    double catch_up, share, share_at; /* late ones a second (0: no limit), those that may go now, loop time of that */
    int busy, first;
    bool stopped;
    GHashTable *saying; /* what is being said to accounts */
    ev_timer due;
};

static void look(struct turns *t);

/* ---------------------------------------------------------------- one person */

static void come_free(struct turns *t)
{
    if (!t->stopped)
        ev_feed_event(t->service->loop, &t->due, EV_TIMER);
}

static void on_acted(void *arg, enum act_result result, const json_t *did)
{
    struct turns *t = arg;

    t->busy--; /* of one that failed the lease runs out */
    come_free(t);
}

static void take(struct turns *t, const struct turn *turn)
{
    for (size_t i = 0; i < turn->count; i++) {
        t->busy++;
        actor_act(t->service, &(struct act){ .kind = ACT_TURN, .recipient = turn->people[i].recipient },
                  &turn->people[i], on_acted, t);
    }
}

/* ---------------------------------------------------------------- what runs say to accounts */

struct saying {
    struct turns *turns;
    int partition;
    char *what;
};

static void note_next(struct lot *lot, int64_t at)
{
    lot->next = MIN(lot->next, at);
}

static void on_said(void *arg, bool ok)
{
    struct saying *job = arg;
    struct turns *t = job->turns;

    t->busy--;
    if (ok) /* else it is said again */
        store_said(t->service->store, job->partition, job->what);
    g_hash_table_remove(t->saying, job->what);
    /* there may be more; what could not be said now is no reason to ask at once */
    note_next(&t->lots[job->partition], ok ? 0 : clock_now() + (int64_t)(AGAIN_MS * clock_rate()));
    g_free(job->what);
    g_free(job);
    come_free(t);
}

static void say(struct turns *t, int partition, const char *what)
{
    struct saying *job;

    if (g_hash_table_contains(t->saying, what))
        return; /* each turn shows it again, until it has been said */
    job = g_new0(struct saying, 1);
    *job = (struct saying){ t, partition, g_strdup(what) };
    g_hash_table_add(t->saying, g_strdup(what));
    t->busy++;
    outbox_say(t->service, what, on_said, job);
}

/* ---------------------------------------------------------------- asking */

struct asking {
    struct turns *turns;
    int partition;
};

static void on_turn(void *arg, const struct turn *turn)
{
    struct asking *job = arg;
    struct turns *t = job->turns;
    struct lot *lot = &t->lots[job->partition];

    lot->asking = false;
    lot->late_wait = turn && turn->late_wait;
    t->share += lot->late - (turn ? turn->late : 0);
    if (turn && turn->next_due >= 0)
        note_next(lot, turn->next_due);
    if (turn && turn->next_lease >= 0)
        note_next(lot, clock_now() + (int64_t)((double)(turn->next_lease - clock_real() + 20) * clock_rate()));
    for (size_t i = 0; turn && turn->said && i < turn->said->elements; i++)
        say(t, job->partition, reply_text(turn->said, i));
    if (turn)
        take(t, turn);
    g_free(job);
    look(t);
}

static void ask(struct turns *t, int partition)
{
    struct asking *job = g_new0(struct asking, 1);
    struct lot *lot = &t->lots[partition];

    *job = (struct asking){ t, partition };
    lot->asking = true;
    lot->next = INT64_MAX;
    lot->looked_at = ev_now(t->service->loop);
    lot->late = t->catch_up > 0 ? CLAMP((int)t->share, 0, BATCH) : 0;
    t->share -= lot->late;
    store_turn(t->service->store, partition, t->lease_ms, BATCH, clock_now() - t->late_ms,
               t->catch_up > 0 ? lot->late : -1, on_turn, job);
}

/* ---------------------------------------------------------------- all of them */

/* Seconds since the oldest turn that is known to be due. */
static double lag(const struct turns *t)
{
    int64_t now = clock_now(), oldest = now;

    for (int i = 0; i < t->service->store->partitions; i++)
        if (t->lots[i].next > 0)
            oldest = MIN(oldest, t->lots[i].next);
    return (double)(now - oldest) / 1000;
}

/* After an outage what is late is taken up at a rate of its own, as deliveries are. */
static void refill(struct turns *t)
{
    double now = ev_now(t->service->loop);

    t->share = MIN(t->share + (now - t->share_at) * t->catch_up, MAX(1, t->catch_up * SHARE_S));
    t->share_at = now;
}

static void look(struct turns *t)
{
    int count = t->service->store->partitions, asking = 0;
    int64_t soonest = INT64_MAX;
    double wait = SAFETY_NET_S;

    if (t->stopped || !t->service->store->ready)
        return;
    refill(t);
    for (int i = 0; i < count; i++) {
        int partition = (t->first + i) % count;
        struct lot *lot = &t->lots[partition];
        double net = lot->looked_at + SAFETY_NET_S - ev_now(t->service->loop);
        bool due = lot->next <= clock_now() || net <= 0 || (lot->late_wait && t->share >= 1);
        if (lot->asking || !store_reaches(t->service->store, partition)) {
            asking += lot->asking;
        } else if (due && t->busy + asking * BATCH < MOST) {
            ask(t, partition);
            asking++;
        } else if (due) {
            t->first = partition; /* who comes free brings us back */
            break;
        } else {
            soonest = MIN(soonest, lot->next);
            wait = MIN(wait, lot->late_wait ? MAX(SHARE_S, (1 - t->share) / t->catch_up) : net);
        }
    }
    metrics_set(METRIC_TURN_LAG, "", lag(t));
    if (soonest != INT64_MAX)
        wait = MIN(wait, clock_wait(soonest));
    t->due.repeat = MAX(wait, 0.0005);
    ev_timer_again(t->service->loop, &t->due);
}

static void on_due(struct ev_loop *loop, ev_timer *w, int revents)
{
    ev_timer_stop(loop, w);
    look(w->data);
}

void turns_woken(struct turns *t, const char *message)
{
    const char *brace = strchr(message, '{'), *due = strrchr(message, ':');
    int partition = brace ? atoi(brace + 1) : -1;

    if (partition < 0 || partition >= t->service->store->partitions || !due)
        return;
    note_next(&t->lots[partition], g_ascii_strtoll(due + 1, NULL, 10));
    look(t);
}

void turns_anew(struct turns *t)
{
    for (int i = 0; i < t->service->store->partitions; i++)
        t->lots[i].next = 0;
    look(t);
}

struct turns *turns_start(struct service *s)
{
    struct turns *t = g_new0(struct turns, 1);

    t->service = s;
    t->lots = g_new0(struct lot, s->store->partitions);
    t->saying = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    t->lease_ms = setting_ms(s->config->root, "worker.lease");
    t->late_ms = setting_ms(s->config->root, "worker.late_after");
    t->catch_up = setting_rate(s->config->root, "worker.catch_up");
    t->share_at = ev_now(s->loop);
    ev_timer_init(&t->due, on_due, 0, 0.001);
    t->due.data = t;
    ev_timer_again(s->loop, &t->due);
    return t;
}

void turns_stop(struct turns *t)
{
    t->stopped = true;
    ev_timer_stop(t->service->loop, &t->due);
}

int turns_busy(const struct turns *t)
{
    return t->busy;
}

void turns_close(struct turns *t)
{
    if (!t)
        return;
    turns_stop(t);
    g_hash_table_unref(t->saying);
    g_free(t->lots);
    g_free(t);
}
