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
#include "dispatcher/carry/delivery.h"
#include "dispatcher/carry/gates.h"
#include "dispatcher/carry/steps.h"
#include "dispatcher/intake/ingest.h"

#define SAFETY_NET_S   5.0   /* a partition nobody told us about is looked at this often */
#define SETTLE_DELAY_S 0.002 /* results of this long are settled together */
#define BATCH_MOST     64
#define GIVE_AGAIN_MS  50
#define CATCH_UP_S     0.1 /* late ones are taken up in portions of this long */

/*
 *   next_due of each partition ──▶ claim ──▶ delivery_start ──▶ outbox ──▶ admit … ──▶ settle
 *          ▲        ▲                │
 *   wake (published) └── each claim says when the next one is due
 */
struct partition {
    int64_t next_due[CHANNEL_COUNT]; /* service time; 0: look now */
    double looked_at;                /* loop time of the last claim */
    bool claiming;
    int room[CHANNEL_COUNT], late[CHANNEL_COUNT]; /* asked for by the claim under way */
    bool late_wait[CHANNEL_COUNT];                /* late ones wait for their share */
    GPtrArray *batch[BATCH_KINDS];
};

struct worker {
    struct service *service;
    struct outbox *outbox;
    struct ingest *ingest;
    struct journal *journal;
    struct partition *partitions;
    int next_partition;
    int64_t lease_ms;
    int batch;
    int64_t late_ms;             /* service time after which a message is late */
    double catch_up;             /* late ones a second that a channel takes up; 0: no limit */
    double late[CHANNEL_COUNT];  /* how many it may now */
    double late_at;              /* loop time of that */
    int held[CHANNEL_COUNT];     /* deliveries of ours */
    int reserved[CHANNEL_COUNT]; /* asked for by claims under way */
    GQueue live;
    ev_timer due, settle, lease, again, report, deadline;
    ev_prepare turn;
    bool places_free, draining, journal_broken;
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

void worker_place_free(struct worker *w)
{
    w->places_free = true;
}

/* ---------------------------------------------------------------- batches */

struct running {
    struct worker *worker;
    enum batch_kind kind;
    int partition;
    GPtrArray *who;
};

static void run_members(struct worker *w, int partition, enum batch_kind kind, GPtrArray *who);

/* The script threw an error over one of them: each for itself, so that the others go on. */
static void run_singly(struct running *r)
{
    for (guint i = 0; i < r->who->len; i++) {
        GPtrArray *one = g_ptr_array_new();
        g_ptr_array_add(one, r->who->pdata[i]);
        run_members(r->worker, r->partition, r->kind, one);
    }
    g_ptr_array_unref(r->who);
    g_free(r);
}

static void on_batch(void *arg, const redisReply *reply)
{
    struct running *r = arg;

    if (!reply && script_failed() && r->who->len > 1) {
        run_singly(r);
        return;
    }
    for (guint i = 0; i < r->who->len; i++)
        delivery_answered(r->who->pdata[i], r->kind, reply != NULL, reply, i);
    g_ptr_array_unref(r->who);
    g_free(r);
}

static struct batch *build(struct worker *w, enum batch_kind kind, GPtrArray *who)
{
    struct batch *b = kind == BATCH_ADMIT     ? admit_batch(w->service->policy)
                      : kind == BATCH_ACCOUNT ? account_batch(w->service->policy)
                      : kind == BATCH_COMMIT  ? commit_batch()
                                              : settle_batch(w->service->store, w->service->policy);

    for (guint i = 0; i < who->len; i++) {
        struct delivery *d = who->pdata[i];
        if (kind == BATCH_ADMIT)
            gate_admission(d, b);
        else if (kind == BATCH_ACCOUNT)
            gate_account_admission(d, b);
        else if (kind == BATCH_COMMIT)
            commit_add(b, d->message, d->letter, d->fence, d->category.resend_unknown);
        else
            settle_add(b, &d->settlement);
    }
    return b;
}

static void run_members(struct worker *w, int partition, enum batch_kind kind, GPtrArray *who)
{
    struct running *r = g_new0(struct running, 1);

    *r = (struct running){ w, kind, partition, who };
    batch_run(w->service->store, partition, build(w, kind, who), on_batch, r);
}

static void run_batch(struct worker *w, int partition, enum batch_kind kind)
{
    struct partition *p = &w->partitions[partition];
    GPtrArray *who = p->batch[kind];

    if (!who || who->len == 0)
        return;
    p->batch[kind] = NULL;
    run_members(w, partition, kind, who);
}

void worker_batch(struct worker *w, enum batch_kind kind, struct delivery *d)
{
    int partition = kind == BATCH_ACCOUNT ? store_partition(w->service->store, d->account) : d->partition;
    struct partition *p = &w->partitions[partition];

    if (!p->batch[kind])
        p->batch[kind] = g_ptr_array_new();
    g_ptr_array_add(p->batch[kind], d);
    if (p->batch[kind]->len >= BATCH_MOST)
        run_batch(w, partition, kind);
    else if (kind == BATCH_SETTLE && !ev_is_active(&w->settle))
        ev_timer_again(w->service->loop, &w->settle);
}

static void run_batches(struct worker *w, enum batch_kind kind)
{
    for (int i = 0; i < w->service->store->partitions; i++)
        run_batch(w, i, kind);
}

static void on_settle(struct ev_loop *loop, ev_timer *timer, int revents)
{
    ev_timer_stop(loop, timer);
    run_batches(timer->data, BATCH_SETTLE);
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

/* ---------------------------------------------------------------- claims */

static int room_for(struct worker *w, enum channel c)
{
    int capacity = outbox_capacity(w->outbox, c), room = capacity - w->held[c] - w->reserved[c];

    /* a claim for one or two costs as much as one for sixteen: wait until there is some room, unless all is idle */
    if (room < MIN(16, capacity / 4) && w->held[c] + w->reserved[c] > 0)
        return 0;
    return CLAMP(room, 0, w->batch);
}

/* A category that this configuration does not have: as its kind is by default. */
static struct category accepted_category(char letter)
{
    const char *at = letter ? strchr(KIND_LETTERS, letter) : NULL;
    enum kind kind = at ? (enum kind)(at - KIND_LETTERS) : KIND_SERVICE;

    return (struct category){ .kind = kind,
                              .consent = (enum consent_rule)kind,
                              .quiet = kind == KIND_TRANSACTIONAL ? QUIET_IGNORE : QUIET_DEFER,
                              .resend_unknown = kind == KIND_TRANSACTIONAL,
                              .sms_max_segments = 10 };
}

static enum consent_rule accepted_consent(const json_t *body)
{
    const char *name = json_string_value(json_object_get(body, "consent"));
    return name ? consent_rule_of(name) : CONSENT_NONE;
}

static struct delivery *delivery_new(struct worker *w, int partition, const struct claimed *c)
{
    struct delivery *d = g_new0(struct delivery, 1);
    const struct category *category;
    const char *name, *priority;

    d->worker = w;
    d->partition = partition;
    g_strlcpy(d->message, c->message, sizeof d->message);
    d->letter = c->letter;
    d->channel = channel_of(c->letter);
    d->accepted_kind = c->kind;
    d->accepted_lane = c->lane;
    d->attempts = c->attempts;
    d->fence = c->fence;
    d->send_at = c->send_at;
    d->expires_at = c->expires_at;
    d->due = c->due;
    d->planned = c->planned;
    d->body = json_loadb(c->body, c->body_len, JSON_REJECT_DUPLICATES, NULL);
    d->profile = *c->profile ? json_loads(c->profile, JSON_REJECT_DUPLICATES, NULL) : NULL;
    d->recipient = json_string_value(json_object_get(d->body, "recipient"));
    name = json_string_value(json_object_get(d->body, "category"));
    category = name ? policy_category(w->service->policy, name) : NULL;
    d->category_known = category != NULL;
    d->category = category ? *category : accepted_category(c->kind);
    d->category.name = (char *)(name ? name : "");
    /* whatever the configuration says by now, nothing is sent on weaker terms than it was accepted with */
    d->category.consent = MAX(d->category.consent, accepted_consent(d->body));
    g_strlcpy(d->held_reason, c->reason, sizeof d->held_reason);
    d->unknown_since = c->unknown_since;
    priority = json_string_value(json_object_get(d->body, "priority"));
    d->lane = d->category.kind == KIND_TRANSACTIONAL || (priority && strcmp(priority, "high") == 0) ? LANE_HIGH
              : priority && strcmp(priority, "low") == 0                                            ? LANE_LOW
                                                                                                    : LANE_NORMAL;
    name = json_string_value(json_object_get(d->body, "strategy"));
    d->has_next =
        name && strcmp(name, "first") == 0 && strchr(c->channels, c->letter) && strchr(c->channels, c->letter)[1];
    d->link.data = d;
    g_queue_push_tail_link(&w->live, &d->link);
    w->held[d->channel]++;
    return d;
}

void delivery_free(struct delivery *d)
{
    struct worker *w = d->worker;

    w->held[d->channel]--;
    g_queue_unlink(&w->live, &d->link);
    rendered_delivery_clear(&d->made);
    report_clear(&d->report);
    json_decref(d->body);
    json_decref(d->profile);
    policy_free(d->policy);
    if (d->counted)
        g_string_free(d->counted, TRUE);
    g_free(d);
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

/* After an outage the backlog is worked off at a rate of its own, and what is due now goes beside it. */
static void refill_late(struct worker *w)
{
    double now = ev_now(w->service->loop), gained = (now - w->late_at) * w->catch_up;

    for (int c = 0; c < CHANNEL_COUNT; c++)
        w->late[c] = MIN(w->late[c] + gained, MAX(1, w->catch_up * CATCH_UP_S));
    w->late_at = now;
}

static int late_room(struct worker *w, enum channel c, int room)
{
    return w->catch_up > 0 ? CLAMP((int)w->late[c], 0, room) : -1;
}

/* What was not needed of the late ones' share is there for the next claim. */
static void count_late(struct worker *w, struct partition *p, const struct claims *claims)
{
    int64_t before = clock_now() - w->late_ms;

    for (int c = 0; c < CHANNEL_COUNT; c++)
        w->late[c] += MAX(p->late[c], 0);
    for (int i = 0; i < claims->count; i++)
        if (claims->list[i].lane > LANE_HIGH && claims->list[i].due <= before)
            w->late[channel_of(claims->list[i].letter)] -= 1;
}

struct claim_job {
    struct worker *worker;
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
    struct worker *w = job->worker;
    struct partition *p = &w->partitions[job->partition];

    p->claiming = false;
    for (int c = 0; c < CHANNEL_COUNT; c++)
        w->reserved[c] -= p->room[c];
    if (w->catch_up > 0)
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
            store_account_give(w->service->store, job->partition, *entry);
        if (claims->to_give[0]) /* there may be more of them */
            note_due_any(p, clock_now() + (int64_t)(GIVE_AGAIN_MS * clock_rate()));
        for (int i = 0; i < claims->count; i++)
            delivery_start(delivery_new(w, job->partition, &claims->list[i]));
    }
    worker_place_free(w);
    g_free(job);
}

static bool late_turn(const struct worker *w, const struct partition *p, enum channel c)
{
    return p->late_wait[c] && w->late[c] >= 1;
}

static bool any_late_turn(const struct worker *w, const struct partition *p)
{
    return late_turn(w, p, CHANNEL_EMAIL) || late_turn(w, p, CHANNEL_SMS) || late_turn(w, p, CHANNEL_IN_APP);
}

/* Seconds until the late ones of a partition have a share again, in portions; a long time when none wait. */
static double late_pause(const struct worker *w, const struct partition *p)
{
    double wait = SAFETY_NET_S;

    for (int c = 0; c < CHANNEL_COUNT; c++)
        if (p->late_wait[c])
            wait = MIN(wait, MAX(CATCH_UP_S, (1 - w->late[c]) / w->catch_up));
    return wait;
}

/* Claims what is due in a partition, as far as there is room; false when there is none for what is due. */
static bool claim(struct worker *w, int partition, int64_t now, bool stale)
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
            w->next_partition = (partition + 1) % w->service->store->partitions;
        }
        p->next_due[c] = INT64_MAX;
    }
    p->claiming = true;
    p->looked_at = ev_now(w->service->loop);
    job = g_new0(struct claim_job, 1);
    *job = (struct claim_job){ w, partition };
    struct claim_limits limits = { .lease_ms = w->lease_ms, .late_ms = w->late_ms };
    memcpy(limits.room, p->room, sizeof limits.room);
    memcpy(limits.late, p->late, sizeof limits.late);
    store_claim(w->service->store, partition, &limits, on_claims, job);
    return true;
}

static int64_t soonest_of(const struct partition *p)
{
    return MIN(p->next_due[0], MIN(p->next_due[1], p->next_due[2]));
}

/* One round over the partitions, beginning where the last one found no room. */
static void claim_due(struct worker *w)
{
    int64_t now = clock_now(), soonest = INT64_MAX;
    int count = w->service->store->partitions, first = w->next_partition, first_refused = -1;
    double wait = SAFETY_NET_S;

    if (w->draining || w->journal_broken || !w->service->store->ready)
        return;
    refill_late(w);
    for (int i = 0; i < count; i++) {
        int index = (first + i) % count;
        struct partition *p = &w->partitions[index];
        double net = p->looked_at + SAFETY_NET_S - ev_now(w->service->loop);
        if (p->claiming)
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
    ev_timer_again(w->service->loop, &w->due);
}

static void on_due(struct ev_loop *loop, ev_timer *timer, int revents)
{
    ev_timer_stop(loop, timer);
    worker_place_free(timer->data);
}

/* The message is the partition and the instant, "tidings:{3}:1790000000000". */
void worker_woken(struct worker *w, const char *message)
{
    const char *brace = strchr(message, '{'), *due = strrchr(message, ':');
    int partition = brace ? atoi(brace + 1) : -1;

    if (partition < 0 || partition >= w->service->store->partitions || !due)
        return;
    note_due_any(&w->partitions[partition], g_ascii_strtoll(due + 1, NULL, 10));
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
        claim_due(w);
    }
    run_batches(w, BATCH_ADMIT);
    run_batches(w, BATCH_ACCOUNT);
    run_batches(w, BATCH_COMMIT);
    if (w->draining && w->on_drained && w->live.length == 0 && ingest_busy(w->ingest) == 0)
        drained(w);
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
    g_autofree char *suffix = g_strdup_printf("worker:%s", w->name), *key = store_key(w->service->store, suffix);
    json_auto_t *report = json_pack("{s:s, s:I, s:o, s:{}}", "name", w->name, "at", (json_int_t)clock_real(),
                                    "providers", outbox_report(w->outbox), "totals");

    worker_place_free(w); /* a pause may be over */
    if (!w->service->store->ready)
        return;
    journal_replay(w->journal, w->service->store, w->service->policy);
    w->journal_broken &= journal_count(w->journal) > 0;
    metrics_each(METRIC_MESSAGES, add_count, json_object_get(report, "totals"));
    char *text = json_dumps(report, JSON_COMPACT);
    store_command(w->service->store, NULL, NULL, 5, (const char *[]){ "SET", key, text, "EX", "6" });
    free(text);
    store_queue(w->service->store, on_queue, w);
}

/* ---------------------------------------------------------------- life */

static void start_timer(struct worker *w, ev_timer *timer, void (*fn)(struct ev_loop *, ev_timer *, int), double repeat)
{
    ev_init(timer, fn);
    timer->data = w;
    timer->repeat = repeat;
    if (repeat > 0)
        ev_timer_again(w->service->loop, timer);
}

struct worker *worker_start(struct service *s, char **why)
{
    struct worker *w = g_new0(struct worker, 1);
    g_autofree char *data_dir = config_path(s->config, s->config->root, "data_dir");
    char host[40] = "host";

    gethostname(host, sizeof host - 1);
    w->service = s;
    w->name = g_strdup_printf("%s-%d", host, getpid());
    w->lease_ms = setting_ms(s->config->root, "worker.lease");
    w->late_ms = setting_ms(s->config->root, "worker.late_after");
    w->catch_up = setting_rate(s->config->root, "worker.catch_up");
    w->late_at = ev_now(s->loop);
    w->batch = (int)setting_int(s->config->root, "worker.batch");
    w->drain_timeout = (double)setting_ms(s->config->root, "worker.drain_timeout") / 1000;
    w->journal = journal_open(data_dir, why);
    if (!w->journal) {
        g_free(w->name);
        g_free(w);
        return NULL;
    }
    w->partitions = g_new0(struct partition, s->store->partitions);
    w->outbox = outbox_open(s);
    w->ingest = ingest_start(s);
    start_timer(w, &w->due, on_due, 0.001);
    start_timer(w, &w->settle, on_settle, 0);
    w->settle.repeat = SETTLE_DELAY_S;
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

void worker_store_ready(struct worker *w, bool ready)
{
    if (!ready)
        return;
    for (int i = 0; i < w->service->store->partitions; i++)
        memset(w->partitions[i].next_due, 0, sizeof w->partitions[i].next_due);
    journal_replay(w->journal, w->service->store, w->service->policy);
    store_rules(w->service->store, w->service->policy->version, false); /* they may have changed while nobody worked */
    ingest_wake(w->ingest);
    worker_place_free(w);
    ev_timer_again(w->service->loop, &w->due);
}

/* ---------------------------------------------------------------- the end */

static void on_all_written(void *arg, const redisReply *reply)
{
    struct worker *w = arg;
    w->all_written(w->drained_arg);
}

/* Answers come in order: when this one has come, what was given back is written. */
static void drained(struct worker *w)
{
    w->all_written = w->on_drained;
    w->on_drained = NULL;
    ev_timer_stop(w->service->loop, &w->deadline);
    store_command(w->service->store, on_all_written, w, 1, (const char *[]){ "PING" });
}

static void return_ready(void *arg, struct outlet *outlet)
{
    while (outlet->ready.length)
        delivery_return(g_queue_pop_head(&outlet->ready));
}

static bool not_begun(const struct delivery *d)
{
    return d->phase == NOT_BEGUN && !d->outlet && !d->settlement.message;
}

/* Those that still wait in the outbox go back, and are forgotten here. */
static void give_back(struct worker *w)
{
    each_lease(w, false, not_begun);
    outbox_each(w->outbox, return_ready, w);
    for (int c = 0; c < CHANNEL_COUNT; c++)
        for (struct delivery *d; (d = outbox_pop(w->outbox, (enum channel)c));)
            delivery_free(d);
}

static void on_drain_deadline(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct worker *w = timer->data;

    ev_timer_stop(loop, timer);
    log_warn("worker.drain_timeout", "{s:i}", "left", (int)w->live.length);
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
    ev_timer_again(loop, &w->due);
}

void worker_close(struct worker *w)
{
    ev_timer *const timers[] = { &w->due, &w->settle, &w->lease, &w->again, &w->report, &w->deadline };

    for (size_t i = 0; i < G_N_ELEMENTS(timers); i++)
        ev_timer_stop(w->service->loop, timers[i]);
    ev_prepare_stop(w->service->loop, &w->turn);
    ingest_close(w->ingest);
    outbox_close(w->outbox);
    journal_close(w->journal);
    while (w->live.length)
        delivery_free(w->live.head->data);
    for (int i = 0; i < w->service->store->partitions; i++)
        for (int k = 0; k < BATCH_KINDS; k++)
            if (w->partitions[i].batch[k])
                g_ptr_array_unref(w->partitions[i].batch[k]);
    g_free(w->partitions);
    g_free(w->name);
    g_free(w);
}
