#include "dispatcher/carry/worker.h"

#include <assert.h>
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dispatcher/base/vocab.h"
#include "dispatcher/base/clock.h"
#include "dispatcher/base/log.h"
#include "dispatcher/base/metrics.h"
#include "dispatcher/config/settings.h"
#include "dispatcher/carry/admission.h"
#include "dispatcher/store/batches.h"
#include "dispatcher/carry/claims.h"
#include "dispatcher/carry/steps.h"
#include "dispatcher/outlets/drivers.h"
#include "dispatcher/intake/ingest.h"
#include "dispatcher/store/pipeline.h"
#include "dispatcher/store/shortcut.h"
#include "dispatcher/store/suppressions.h"
#include "dispatcher/store/roster.h"
#include "dispatcher/store/stops.h"
#include "dispatcher/store/messages.h"
#include "dispatcher/store/journal.h"
#include "dispatcher/store/wire/scan.h"

#define SETTLE_DELAY_S 0.002 /* results of this long are settled together */

struct worker {
    struct service *service;
    struct outbox *outbox;
    struct ingest *ingest;
    struct journal *journal;
    struct claimer *claimer;
    struct batches *batches;
    int64_t lease_ms;
    int held[CHANNEL_COUNT]; /* deliveries of ours */
    GQueue live;
    ev_timer lease, again, report, deadline;
    ev_prepare turn;
    bool places_free, draining, journal_broken, reading_stops;
    double drain_timeout;
    void (*on_drained)(void *arg), (*all_written)(void *arg);
    void *drained_arg;
    char *name;
};

struct service *worker_service(struct worker *w)
{
    return w->service;
}

struct outbox *worker_outbox(struct worker *w)
{
    return w->outbox;
}

void worker_journal(struct worker *w, const struct settlement *t)
{
    if (!journal_add(w->journal, t))
        w->journal_broken = true; /* nothing more is claimed: a result could be lost */
}

void worker_yield(struct worker *w)
{
    claimer_yield(w->claimer);
}

void worker_place_free(struct worker *w)
{
    w->places_free = true;
}

/* ---------------------------------------------------------------- places */

static void send_ready(void *arg, struct outlet *outlet)
{
    if (outlet->paused_until > ev_now(((struct worker *)arg)->service->loop)) {
        while (outlet->ready.length) /* it would keep its place in the caps, and pass gates that may close meanwhile */
            delivery_return(g_queue_pop_head(&outlet->ready));
        return;
    }
    while (outlet->provider && outlet->ready.length && outlet->provider->type->room(outlet->provider) > 0)
        delivery_send(g_queue_pop_head(&outlet->ready));
}

/* Whoever waits in the outbox and finds an outlet is admitted. */
static void fill_places(struct worker *w, enum channel c)
{
    double again;

    while (outbox_waiting(w->outbox, c)) {
        struct delivery *d = outbox_pop(w->outbox, c);
        struct outlet *outlet = outbox_take(w->outbox, c, d->unable, &again);
        if (!outlet && d->unable) { /* the others need not wait behind it */
            delivery_wait(d);
            continue;
        }
        if (!outlet) {
            outbox_unpop(w->outbox, c, d->lane, d);
            if (again > 0 && (!ev_is_active(&w->again) || ev_timer_remaining(w->service->loop, &w->again) > again)) {
                w->again.repeat = again;
                ev_timer_again(w->service->loop, &w->again);
            }
            return;
        }
        d->outlet = outlet;
        delivery_admit(d);
    }
}

static void on_again(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct worker *w = timer->data;
    ev_timer_stop(loop, timer);
    worker_place_free(w);
}

/* ---------------------------------------------------------------- batches */

static struct batch *make_look(void *service)
{
    return suppressed_batch();
}

static struct batch *make_admission(void *service)
{
    return admit_batch(((struct service *)service)->policy);
}

static struct batch *make_account(void *service)
{
    return account_batch(((struct service *)service)->policy);
}

static struct batch *make_commit(void *service)
{
    return commit_batch();
}

static struct batch *make_sent(void *service)
{
    return sent_batch(((struct service *)service)->store, ((struct service *)service)->policy);
}

static struct batch *make_settlement(void *service)
{
    return settle_batch(((struct service *)service)->store, ((struct service *)service)->policy);
}

static void add_look(struct batch *b, void *look)
{
    const struct look *l = look;
    suppressed_add(b, worker_service(l->delivery->worker)->store, l->address);
}

static void add_admission(struct batch *b, void *member)
{
    admission_ask(member, b);
}

static void add_account(struct batch *b, void *member)
{
    admission_ask_account(member, b);
}

static void add_commit(struct batch *b, void *member)
{
    struct delivery *d = member;
    char on_lost = delivery_on_lost(d);

    delivery_expect(d, d->state ? shortcut_committed(d->state, d->letter, on_lost, clock_now()) : NULL);
    commit_add(b, d->message, d->letter, d->fence, on_lost, d->judged_by, delivery_believed(d), delivery_next(d));
}

static void add_sent(struct batch *b, void *member)
{
    const struct delivery *d = member;
    sent_add(b, &d->sent);
}

static void add_settlement(struct batch *b, void *member)
{
    settle_add(b, &((struct delivery *)member)->settlement);
}

static const struct batch_kind batch_kinds[BATCH_KINDS] = {
    [BATCH_LOOK] = { make_look, add_look, delivery_looked, 0 },
    [BATCH_ADMIT] = { make_admission, add_admission, delivery_admitted, 0 },
    [BATCH_ACCOUNT] = { make_account, add_account, delivery_account_admitted, 0 },
    [BATCH_COMMIT] = { make_commit, add_commit, delivery_committed, 0 },
    [BATCH_SENT] = { make_sent, add_sent, delivery_sent, SETTLE_DELAY_S },
    [BATCH_SETTLE] = { make_settlement, add_settlement, delivery_settled, SETTLE_DELAY_S },
};

void worker_batch(struct worker *w, enum batch_of kind, struct delivery *d)
{
    int partition = kind == BATCH_ACCOUNT ? store_partition(w->service->store, d->account) : d->partition;
    batch_join(w->batches, (int)kind, partition, d);
}

void worker_look(struct worker *w, struct look *look)
{
    batch_join(w->batches, BATCH_LOOK, suppressed_place(w->service->store, look->address), look);
}

/* ---------------------------------------------------------------- what is claimed */

static int capacity_of(void *arg, enum channel c)
{
    return outbox_capacity(((struct worker *)arg)->outbox, c);
}

static int held_of(void *arg, enum channel c)
{
    return ((struct worker *)arg)->held[c];
}

static void on_taken(void *arg, int partition, const struct claimed *claimed)
{
    struct worker *w = arg;
    struct delivery *d = delivery_new(w, partition, claimed);

    d->link.data = d;
    g_queue_push_tail_link(&w->live, &d->link);
    w->held[d->channel]++;
    delivery_start(d);
}

static void on_look(void *arg)
{
    worker_place_free(arg);
}

static const struct claim_owner claim_owner = { capacity_of, held_of, on_taken, on_look };

void worker_forget(struct worker *w, struct delivery *d)
{
    w->held[d->channel]--;
    g_queue_unlink(&w->live, &d->link);
    worker_place_free(w);
}

void worker_woken(struct worker *w, const char *message)
{
    claimer_woken(w->claimer, message);
    worker_place_free(w);
}

static void give_back(struct worker *w);

void worker_queue(struct worker *w, struct delivery *d)
{
    outbox_push(w->outbox, d->channel, d->lane, d);
    if (w->draining) /* it was under way when the end was announced */
        give_back(w);
    worker_place_free(w);
}

/* ---------------------------------------------------------------- the turn of the loop */

static void drained(struct worker *w);

/* Before the loop sleeps: whatever became possible in this turn is begun, and batches are run together. */
static void on_turn(struct ev_loop *loop, ev_prepare *turn, int revents)
{
    struct worker *w = turn->data;

    if (w->places_free) {
        w->places_free = false;
        for (int c = 0; c < CHANNEL_COUNT && !w->draining; c++)
            fill_places(w, (enum channel)c);
        outbox_each(w->outbox, send_ready, w);
        if (!w->draining && !w->journal_broken)
            claimer_round(w->claimer);
    }
    batches_run(w->batches);
    if (w->draining && w->on_drained && w->live.length == 0 && ingest_busy(w->ingest) == 0)
        drained(w);
}

/* ---------------------------------------------------------------- stops */

static bool is_stopped(void *service, const struct outlet *outlet)
{
    return stops_have(((const struct service *)service)->stops, STOP_PROVIDER, outlet->name, clock_now());
}

static void count_stop(void *counts, const struct stop *stop)
{
    ((int *)counts)[stop->by]++;
}

static void show_stops(const struct service *s)
{
    int counts[STOP_BYS] = { 0 };

    stops_each(s->stops, clock_now(), count_stop, counts);
    for (int by = 0; by < STOP_BYS; by++) {
        g_autofree char *labels = g_strdup_printf("scope=\"%s\"", stop_bys[by]);
        metrics_set(METRIC_HALTS, labels, counts[by]);
    }
}

/* What is put off is looked at again, also what this worker has put off by the earlier list after others had looked,
 * and what was lifted while nobody worked. */
static void on_stops(void *arg, bool ok, json_t *list)
{
    struct worker *w = arg;
    struct service *s = w->service;
    struct stops *stops = ok ? stops_read(list) : NULL;

    w->reading_stops = false;
    if (!ok || (s->stops && stops_number(stops) == stops_number(s->stops))) {
        stops_free(stops);
        return;
    }
    stops_free(s->stops);
    s->stops = stops;
    outbox_stop(w->outbox, is_stopped, s);
    batches_flush(w->batches); /* what was put off by the earlier list is written before that is looked at again */
    if (stops_number(stops))
        store_look_again(s->store);
    worker_place_free(w);
}

void worker_read_stops(struct worker *w, int64_t least)
{
    if (w->reading_stops)
        return;
    w->reading_stops = true;
    store_stops(w->service->store, MAX(least, stops_number(w->service->stops)), on_stops, w);
}

void worker_stops_changed(struct worker *w)
{
    worker_read_stops(w, 0);
}

/* ---------------------------------------------------------------- leases */

static void each_lease(struct worker *w, bool renew, bool (*fits)(const struct delivery *))
{
    int count = w->service->store->partitions;
    g_autofree struct batch **batches = g_new0(struct batch *, count);

    for (GList *l = w->live.head; l; l = l->next) {
        struct delivery *d = l->data;
        if (fits && !fits(d))
            continue;
        if (!batches[d->partition])
            batches[d->partition] = lease_batch(renew, w->lease_ms);
        lease_add(batches[d->partition], d->message, d->letter, d->fence);
    }
    for (int i = 0; i < count; i++)
        if (batches[i])
            batch_run(w->service->store, i, batches[i], NULL, NULL);
}

static void on_lease(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct worker *w = timer->data;
    if (w->service->store->ready)
        each_lease(w, true, NULL);
}

/* ---------------------------------------------------------------- reports */

static void add_count(void *arg, const char *labels, double value)
{
    json_object_set_new(arg, labels, json_real(value));
}

static void on_queue(void *arg, bool ok, json_t *queue)
{
    const char *channel;
    json_t *row;

    if (!ok)
        return;
    metrics_set(METRIC_DUE_LAG, "", json_real_value(json_object_get(queue, "lag_seconds")));
    json_object_foreach (json_object_get(queue, "channels"), channel, row) {
        g_autofree char *labels = g_strdup_printf("channel=\"%s\"", channel);
        metrics_set(METRIC_QUEUE_DEPTH, labels, (double)json_integer_value(json_object_get(row, "waiting")));
        metrics_set(METRIC_QUEUE_DUE, labels, (double)json_integer_value(json_object_get(row, "due")));
        metrics_set(METRIC_IN_FLIGHT, labels, (double)json_integer_value(json_object_get(row, "in_flight")));
    }
}

/* What `tidings queue` shows of each worker; gone when the worker is. */
static void on_report(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct worker *w = timer->data;
    json_auto_t *report = json_pack("{s:s, s:I, s:o, s:{}}", "name", w->name, "at", (json_int_t)clock_real(),
                                    "providers", outbox_report(w->outbox), "totals");

    outbox_stop(w->outbox, is_stopped, w->service); /* a stop may be over, or a pause */
    show_stops(w->service);
    worker_place_free(w);
    if (!w->service->store->ready)
        return;
    worker_read_stops(w, 0); /* what was told while nobody listened */
    journal_replay(w->journal, w->service->store, w->service->policy);
    w->journal_broken &= journal_count(w->journal) > 0;
    metrics_each(METRIC_MESSAGES, add_count, json_object_get(report, "totals"));
    char *text = json_dumps(report, JSON_COMPACT);
    store_worker_says(w->service->store, w->name, text);
    free(text);
    store_queue(w->service->store, on_queue, w);
}

/* ---------------------------------------------------------------- life */

/* In a rehearsal nobody waits for others to come along. */
static const struct batch_kind *kinds_for(const struct service *s)
{
    static struct batch_kind at_once[BATCH_KINDS];

    if (!s->rehearsal)
        return batch_kinds;
    memcpy(at_once, batch_kinds, sizeof at_once);
    for (int i = 0; i < BATCH_KINDS; i++)
        at_once[i].delay_s = at_once[i].delay_s > 0 ? BATCH_TURN : at_once[i].delay_s;
    return at_once;
}

static void start_timer(struct worker *w, ev_timer *timer, void (*fn)(struct ev_loop *, ev_timer *, int), double repeat)
{
    ev_init(timer, fn);
    timer->data = w;
    timer->repeat = repeat;
    if (repeat > 0)
        ev_timer_again(w->service->loop, timer);
}

struct worker *worker_start(struct service *s, ingest_door_fn *events, char **why)
{
    struct worker *w = g_new0(struct worker, 1);
    g_autofree char *data_dir = config_path(s->config, s->config->root, "data_dir");
    char host[40] = "host";

    gethostname(host, sizeof host - 1);
    w->service = s;
    w->name = g_strdup_printf("%s-%d", host, getpid());
    w->lease_ms = setting_ms(s->config->root, "worker.lease");
    w->drain_timeout = (double)setting_ms(s->config->root, "worker.drain_timeout") / 1000;
    w->journal = journal_open(data_dir, why);
    if (!w->journal) {
        g_free(w->name);
        g_free(w);
        return NULL;
    }
    w->claimer = claimer_new(s->store, s->loop,
                             &(struct claim_terms){ .lease_ms = w->lease_ms,
                                                    .late_ms = setting_ms(s->config->root, "worker.late_after"),
                                                    .catch_up = setting_rate(s->config->root, "worker.catch_up"),
                                                    .batch = (int)setting_int(s->config->root, "worker.batch") },
                             &claim_owner, w);
    w->batches = batches_new(s->store, s->loop, kinds_for(s), BATCH_KINDS, s);
    w->outbox = drivers_open(s);
    w->ingest = ingest_start(s, events);
    start_timer(w, &w->lease, on_lease, (double)w->lease_ms / 3000);
    start_timer(w, &w->again, on_again, 0);
    start_timer(w, &w->report, on_report, 1);
    start_timer(w, &w->deadline, NULL, 0);
    ev_prepare_init(&w->turn, on_turn);
    w->turn.data = w;
    ev_prepare_start(s->loop, &w->turn);
    worker_store_ready(w, s->store->ready);
    return w;
}

void worker_time_jumped(struct worker *w)
{
    claimer_anew(w->claimer);
    worker_place_free(w);
}

int worker_busy(const struct worker *w)
{
    return (int)w->live.length;
}

void worker_store_ready(struct worker *w, bool ready)
{
    if (!ready)
        return;
    claimer_anew(w->claimer);
    journal_replay(w->journal, w->service->store, w->service->policy);
    store_rules(w->service->store, w->service->policy->version, false); /* they may have changed while nobody worked */
    worker_read_stops(w, 0);
    ingest_wake(w->ingest);
    worker_place_free(w);
}

/* ---------------------------------------------------------------- the end */

static void on_all_written(void *arg)
{
    struct worker *w = arg;
    w->all_written(w->drained_arg);
}

/* What was given back is to be written. */
static void drained(struct worker *w)
{
    w->all_written = w->on_drained;
    w->on_drained = NULL;
    ev_timer_stop(w->service->loop, &w->deadline);
    flush_all(w->service->store->nodes, on_all_written, w);
}

static void return_ready(void *arg, struct outlet *outlet)
{
    while (outlet->ready.length)
        delivery_return(g_queue_pop_head(&outlet->ready));
}

/* Those that still wait in the outbox go back, and are forgotten here. */
static void give_back(struct worker *w)
{
    each_lease(w, false, delivery_waits_for_outlet);
    outbox_each(w->outbox, return_ready, w);
    for (int c = 0; c < CHANNEL_COUNT; c++)
        for (struct delivery *d; (d = outbox_pop(w->outbox, (enum channel)c));)
            delivery_close(d);
}

static void on_drain_deadline(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct worker *w = timer->data;

    ev_timer_stop(loop, timer);
    log_warn("worker.drain_timeout", "{s:i}", "left", (int)w->live.length);
    outbox_each(w->outbox, return_ready, w);
    each_lease(w, false, NULL); /* what is past the point of no return stays, and is unknown */
    if (w->on_drained)
        drained(w);
}

void worker_drain(struct worker *w, void (*on_drained)(void *), void *arg)
{
    struct ev_loop *loop = w->service->loop;

    w->draining = true;
    w->on_drained = on_drained;
    w->drained_arg = arg;
    ingest_stop(w->ingest);
    give_back(w);
    ev_init(&w->deadline, on_drain_deadline);
    w->deadline.data = w;
    w->deadline.repeat = w->drain_timeout;
    ev_timer_again(loop, &w->deadline);
    /* the loop must turn once more, or nobody would notice that nothing is left */
    worker_place_free(w);
    ev_feed_event(loop, &w->again, EV_TIMER);
}

void worker_close(struct worker *w)
{
    ev_timer *const timers[] = { &w->lease, &w->again, &w->report, &w->deadline };

    for (size_t i = 0; i < G_N_ELEMENTS(timers); i++)
        ev_timer_stop(w->service->loop, timers[i]);
    ev_prepare_stop(w->service->loop, &w->turn);
    ingest_close(w->ingest);
    batches_refuse(w->batches); /* results that were to be written go to the journal */
    outbox_close(w->outbox);
    while (w->live.length)
        delivery_close(w->live.head->data);
    journal_close(w->journal);
    batches_free(w->batches);
    claimer_free(w->claimer);
    g_free(w->name);
    g_free(w);
}
