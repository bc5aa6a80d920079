#include "dispatcher/carry/steps_own.h"

#include <assert.h>
#include <time.h>

#include "dispatcher/base/clock.h"
#include "dispatcher/base/text.h"
#include "dispatcher/carry/facts.h"

#define STALE_MS 200 /* of service time: after that a gate may have closed */

enum flow delivery_transmit(struct delivery *d)
{
    fact_passed(d);
    fact_caps(d, "pass", NULL, 0);
    report_fact(&d->report, "render", "pass", "{\"template\":%s,\"version\":\"%s\",\"locale\":\"%s\",\"bytes\":%zu}",
                report_quoted(json_string_value(json_object_get(d->body, "template"))), d->made.version, d->made.locale,
                d->made.bytes->len);
    report_fact(&d->report, "provider", "pass", "{\"provider\":\"%s\"}", d->outlet->name);
    if (delivery_into_store(d)) { /* the inbox is the store's: handing over and settling are one step */
        report_fact(&d->report, "outcome", "sent", NULL);
        return delivery_settle_sent(d, &(struct outcome){ .kind = OUTCOME_SENT });
    }
    d->step = &step_send;
    g_queue_push_tail(&d->outlet->ready, d);
    worker_place_free(d->worker);
    return WAIT;
}

static void on_ask(void *arg)
{
    struct delivery *d = arg;

    d->suppressed = d->lost = false;
    if (d->committed) { /* with its admission, a moment ago */
        d->step = &step_outcome;
        d->outlet->provider->type->answer(d->ticket, true);
        return;
    }
    if (delivery_stop(d)) { /* since it was admitted */
        d->commit = COMMIT_ASK_AGAIN;
        d->step = &step_outcome;
        d->outlet->provider->type->answer(d->ticket, false);
        return;
    }
    delivery_ask(d, BATCH_COMMIT, &step_commit);
    delivery_ask_suppression(d);
}

static void on_done(void *arg, const struct outcome *o)
{
    struct delivery *d = arg;
    struct worker *worker = d->worker;

    d->ticket = NULL;
    d->ended = true;
    d->outcome = *o;
    text_cut(d->outcome.detail, sizeof d->outcome.detail, o->detail, 250); /* what a server says may be anything */
    text_cut(d->outcome.ref, sizeof d->outcome.ref, o->ref, 60);
    g_strdelimit(d->outcome.ref, "\n\x1f", ' '); /* it becomes a field of the state */
    outlet_leave(worker_outbox(worker), d->outlet, o);
    if (d->answers == 0) { /* else the commit question is still open; its answer comes here */
        d->step = &step_outcome;
        delivery_run(d);
    }
    worker_place_free(worker);
}

/* As long as the pause of its provider, unless another one can take it now. */
int64_t delivery_fault_wait(const struct delivery *d)
{
    struct outbox *o = worker_outbox(d->worker);
    return outbox_alternative(o, d->outlet) ? 0 : outlet_pause_ms(o, d->outlet);
}

static enum flow give_up_place(struct delivery *d)
{
    int64_t wait = delivery_fault_wait(d);

    report_fact(&d->report, "provider", "deferred", "{\"provider\":\"%s\",\"detail\":\"it pauses\"}", d->outlet->name);
    delivery_leave_outlet(d);
    return delivery_put_off(d, REASON_PROVIDER_UNAVAILABLE, clock_now() + wait);
}

static enum flow wait_a_second(struct delivery *d)
{
    d->unspoken = true;
    return delivery_put_off(d, REASON_PROVIDER_UNAVAILABLE, clock_now() + 1000);
}

/* It may have waited for its place: what has closed meanwhile is closed for it too. */
static enum flow closed_meanwhile(struct delivery *d)
{
    if (clock_now() - d->now < STALE_MS)
        return GO_ON;
    d->now = clock_now();
    struct question q = delivery_question(d);
    if (gate_expiry(&q).cause == NULL && !delivery_stop(d) && gate_quiet_hours(&q).verdict == GATE_PASS)
        return GO_ON;
    delivery_leave_outlet(d);
    enum flow flow = delivery_begin(d);
    if (flow != GO_ON)
        return flow;
    q = delivery_question(d);
    if (gate_quiet_hours(&q).verdict != GATE_PASS)
        return delivery_not_now(d);
    d->unspoken = true; /* its provider was stopped, and another one may take it */
    return delivery_put_off_as(d, d->held_reason, clock_now());
}

static enum flow send_on(struct delivery *d)
{
    struct timespec now;
    char id[MESSAGE_ID_SIZE + 2];

    enum flow flow = closed_meanwhile(d);
    if (flow != GO_ON)
        return flow;

    clock_gettime(CLOCK_REALTIME, &now);
    g_snprintf(id, sizeof id, "%s-%c", d->message, d->letter);
    struct parcel p = {
        .id = id,
        .from = delivery_service(d)->from,
        .to = delivery_address(d),
        .bytes = d->made.bytes->str,
        .len = d->made.bytes->len,
        .now_ms = (int64_t)now.tv_sec * 1000 +
                  now.tv_nsec / 1000000, /* a signature's time is the world's, not the clock rate's */
        .committed = d->committed,
    };
    d->ticket = d->outlet->provider->type->send(d->outlet->provider, &p, (struct parcel_events){ on_ask, on_done, d });
    assert(d->ticket);
    return WAIT;
}

/* The last look said something: go, or why not. */
static enum flow commit_decided(struct delivery *d)
{
    d->step = &step_outcome;
    if (d->ended) /* the provider ended before we could answer */
        return GO_ON;
    d->outlet->provider->type->answer(d->ticket, !d->lost && d->commit == 1 && !d->suppressed);
    return WAIT;
}

const struct step step_send = { "send", send_on }, step_commit = { "commit", commit_decided },
                  step_return = { "return", give_up_place }, step_wait = { "wait", wait_a_second };
