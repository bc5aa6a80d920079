#include "dispatcher/carry/steps_own.h"

#include <stdlib.h>
#include <string.h>

#include "channels/address.h"
#include "dispatcher/base/clock.h"
#include "dispatcher/base/log.h"
#include "dispatcher/base/vocab.h"
#include "dispatcher/carry/facts.h"
#include "dispatcher/people/erasure.h"
#include "dispatcher/people/suppression.h"
#include "dispatcher/store/pipeline.h"
#include "schedules/duration.h"

#define ASK_AGAIN_MS 100
#define LOOK_MS      200 /* of service time, for which an address that was not suppressed is not looked up again */
#define HALTED_MS    (365 * DAY_MS) /* until somebody lifts the stop */
#define UNKNOWN_MS   3600000        /* how long others may know a template or category that this worker does not */

/* It waits until the stop is over, or lifted; then it is looked at again. */
static enum flow halt(struct delivery *d, const struct stop *s)
{
    json_auto_t *detail = stop_json(s);
    char *text = json_dumps(detail, JSON_COMPACT);

    report_fact(&d->report, "halt", "deferred", "%s", text);
    free(text);
    d->unspoken = strcmp(d->held_reason, reason_rows[REASON_HALTED].name) == 0;
    delivery_leave_outlet(d);
    return delivery_put_off(d, REASON_HALTED, s->until ? s->until : d->now + HALTED_MS);
}

/* Whether it is neither expired nor too late nor halted, else it is settled.  The trace begins here, and all gates see
 * the time of this moment. */
enum flow delivery_begin(struct delivery *d)
{
    d->now = clock_now();
    delivery_take_policy(d);
    struct question q = delivery_question(d);
    struct answer a = gate_expiry(&q);
    report_begin(&d->report, d->now, d->letter);
    fact_expiry(d, &q, &a);
    const struct stop *stop = a.verdict == GATE_PASS ? delivery_stop(d) : NULL;
    if (stop)
        return halt(d, stop);
    if (a.verdict == GATE_PASS)
        return GO_ON;
    delivery_leave_outlet(d);
    if (a.verdict == GATE_DEFERRED)
        return delivery_put_off(d, REASON_QUIET_HOURS, gate_spread(&q, a.until));
    else
        return delivery_end(d, REASON_EXPIRED);
}

/* ---------------------------------------------------------------- suppression */

void delivery_ask_suppression(struct delivery *d)
{
    if (!channel_rows[d->channel].address || address_key(d->looks[0].address, delivery_address(d)) != NULL)
        return;
    tombstone_of(delivery_service(d), d->looks[0].address, d->looks[1].address);
    d->looked_at = clock_now();
    d->answers += (int)G_N_ELEMENTS(d->looks);
    for (size_t i = 0; i < G_N_ELEMENTS(d->looks); i++) {
        d->looks[i].delivery = d;
        worker_look(d->worker, &d->looks[i]);
    }
}

static enum flow end_suppressed(struct delivery *d)
{
    report_fact(&d->report, "address", "pass", NULL);
    report_fact(&d->report, "suppression", "suppressed", "{\"reason\":%s}", report_quoted(d->suppressed_why));
    return delivery_end(d, REASON_SUPPRESSED_ADDRESS);
}

/* Who is suppressed is not admitted, or for a moment their place would keep others out. */
static enum flow looked_up(struct delivery *d)
{
    if (d->lost)
        return END;
    return d->suppressed ? end_suppressed(d) : delivery_wait_for_outlet(d);
}

/* ---------------------------------------------------------------- start */

/* Half-way through a deploy some workers know a template that others do not: those give it back. */
static enum flow unknown_here(struct delivery *d)
{
    const char *template = json_string_value(json_object_get(d->body, "template"));
    const struct library *library = delivery_service(d)->library;
    bool known = library && template && library_find(library, template);
    int64_t since = d->unknown_since ? d->unknown_since : d->now;

    if ((known && d->category_known) || d->now - since > UNKNOWN_MS)
        return GO_ON;
    if (!d->unknown_since) /* said once, not at each try */
        report_fact(&d->report, "render", "deferred", "{\"detail\":\"this worker does not know the %s; others may\"}",
                    known ? "category" : "template");
    d->unspoken = d->unknown_since != 0;
    worker_yield(d->worker);
    int64_t wait = CLAMP((d->now - since) / 4, 1000, 60000);
    return delivery_put_off(d, REASON_TEMPLATE_UNKNOWN, clock_now() + (int64_t)((double)wait * MIN(clock_rate(), 60)));
}

/* All providers rest: it is told so, and comes back when they may be tried again. */
static enum flow tell_rest(struct delivery *d)
{
    struct outbox *o = worker_outbox(d->worker);
    double rest = outbox_rest(o, d->channel) * clock_rate();

    outbox_told(o, d->channel);
    report_fact(&d->report, "provider", d->has_next ? "failed" : "deferred",
                "{\"detail\":\"every provider of %s pauses\"}", channel_name(d->letter));
    d->unspoken = strcmp(d->held_reason, reason_rows[REASON_PROVIDER_UNAVAILABLE].name) == 0 && !d->has_next;
    if (d->has_next)
        return delivery_end(d, REASON_PROVIDER_UNAVAILABLE); /* the next channel can have it now */
    else
        return delivery_put_off(d, REASON_PROVIDER_UNAVAILABLE,
                                clock_now() + (int64_t)(1000 * rest * (1 + delivery_chance() / 4)));
}

static enum flow start(struct delivery *d)
{
    enum flow flow = delivery_begin(d);

    if (flow == GO_ON)
        flow = unknown_here(d);
    if (flow != GO_ON)
        return flow;
    if (channel_rows[d->channel].address && !delivery_address(d)) {
        report_fact(&d->report, "address", "suppressed", "{\"needs\":\"%s\",\"recipient_known\":%s}",
                    channel_rows[d->channel].address, d->profile ? "true" : "false");
        return delivery_end(d, REASON_NO_ADDRESS);
    }
    if (!outbox_configured(worker_outbox(d->worker), d->channel)) {
        report_fact(&d->report, "address", "pass", NULL);
        report_fact(&d->report, "provider", "failed", "{\"detail\":\"no provider is configured for %s\"}",
                    channel_name(d->letter));
        return delivery_end(d, REASON_PROVIDER_UNAVAILABLE);
    }
    if (outbox_rest(worker_outbox(d->worker), d->channel) > 0.5)
        return tell_rest(d);
    d->step = &step_looked_up;
    delivery_ask_suppression(d);
    return d->answers ? WAIT : GO_ON;
}

/* ---------------------------------------------------------------- admit */

static enum flow ask_admission(struct delivery *d)
{
    report_fact(&d->report, "address", "pass", NULL);
    if (d->soft_bounces)
        report_fact(&d->report, "suppression", "pass", "{\"soft_bounces\":%d}", d->soft_bounces);
    else
        report_fact(&d->report, "suppression", "pass", NULL);
    render_delivery(delivery_service(d), d->message, d->letter, d->body, d->profile, &d->category, &d->made);
    return delivery_ask(d, BATCH_ADMIT, &step_decide);
}

/* It may have waited for its outlet a while, so it begins anew.  Who was suppressed meanwhile is seen before the final
 * dot; where there is no such moment, now. */
static enum flow admit(struct delivery *d)
{
    enum flow flow = delivery_begin(d);

    if (flow != GO_ON)
        return flow;
    d->just_looked = delivery_at_once(d);
    if (!delivery_at_once(d) || clock_now() - d->looked_at < LOOK_MS)
        return ask_admission(d);
    d->step = &step_looked_again;
    d->lost = false;
    delivery_ask_suppression(d);
    return d->answers ? WAIT : ask_admission(d);
}

static enum flow looked_again(struct delivery *d)
{
    const struct stop *stop = d->lost || d->suppressed ? NULL : delivery_stop(d); /* set since it was asked */

    if (stop)
        return halt(d, stop);
    if (!d->lost && !d->suppressed)
        return ask_admission(d);
    delivery_leave_outlet(d);
    return d->lost ? END : end_suppressed(d);
}

/* ---------------------------------------------------------------- what the gates said */

static enum flow over_cap(struct delivery *d)
{
    const struct policy *p = d->policy;
    const struct cap *cap = d->verdict.rule >= 0 && d->verdict.rule <= p->n_caps ? &p->caps[d->verdict.rule] : NULL;
    enum over over = cap ? cap->over : OVER_DEFER;
    g_autofree char *reason = g_strdup_printf("cap:%s", cap ? cap->name : "");

    fact_caps(d, over == OVER_DEFER ? "deferred" : "suppressed", cap ? cap->name : "",
              over == OVER_DEFER ? d->verdict.until : 0);
    if (over == OVER_DEFER)
        return delivery_put_off_as(d, reason, MAX(d->verdict.until, clock_now() + 1));
    else
        return delivery_end_over_cap(d, reason, over == OVER_NEXT_CHANNEL);
}

enum flow delivery_not_now(struct delivery *d)
{
    struct question q = delivery_question(d);
    struct answer a = gate_preference(&q);

    fact_preference(d, &a);
    if (a.verdict == GATE_SUPPRESSED)
        return delivery_end(d, REASON_PREFERENCE);
    if (a.verdict == GATE_DEFERRED)
        return delivery_put_off(d, REASON_PREFERENCE, a.until);
    a = gate_quiet_hours(&q);
    fact_quiet(d, &q, &a);
    if (a.verdict == GATE_SUPPRESSED)
        return delivery_end(d, REASON_QUIET_HOURS);
    else
        return delivery_put_off(d, REASON_QUIET_HOURS, gate_spread(&q, a.until));
}

static enum flow render_failed(struct delivery *d)
{
    report_fact(&d->report, "render", "failed", "{\"template\":%s,\"version\":\"%s\",\"detail\":%s}",
                report_quoted(json_string_value(json_object_get(d->body, "template"))), d->made.version,
                report_quoted(d->made.why));
    log_warn("delivery.render_error", "{s:s, s:s}", "message", d->message, "why", d->made.why);
    return delivery_end(d, REASON_RENDER_ERROR); /* another channel has other parts */
}

/* What the caps of the account said, behind those of the person. */
static enum flow decide_account(struct delivery *d)
{
    if (!d->lost && d->verdict.verdict != VERDICT_GONE && d->verdict.verdict != VERDICT_CAP)
        return delivery_transmit(d);
    delivery_leave_outlet(d);
    if (d->lost || d->verdict.verdict == VERDICT_GONE)
        return END;
    d->denied = true;
    fact_passed(d);
    return over_cap(d);
}

/* The store throws an error over this one each time: told, and ended, so that its neighbours go on. */
static enum flow end_poison(struct delivery *d)
{
    delivery_leave_outlet(d);
    report_fact(&d->report, "outcome", "failed", "{\"detail\":\"the store cannot decide about it; its log says why\"}");
    return delivery_end(d, REASON_UNDECIDABLE);
}

static enum flow refused_by(struct delivery *d, enum verdict verdict)
{
    switch (verdict) {
    case VERDICT_NO_CONSENT:
    case VERDICT_OPTED_OUT:
        fact_consent(d, "suppressed");
        return delivery_end(d, verdict == VERDICT_OPTED_OUT ? REASON_OPTED_OUT : REASON_NO_CONSENT);
    case VERDICT_LATER: fact_consent(d, "pass"); return delivery_not_now(d);
    case VERDICT_CAP: fact_passed(d); return over_cap(d);
    case VERDICT_STOPS: worker_read_stops(d->worker, d->verdict.until); /* fall through */
    case VERDICT_WAIT:                                                  /* nothing is decided yet, so nothing is told */
        d->unspoken = true;
        return delivery_put_off_as(d, d->held_reason,
                                   clock_now() + (int64_t)(ASK_AGAIN_MS * (1 + 4 * delivery_chance()) * clock_rate()));
    case VERDICT_RENDER:
        fact_passed(d);
        fact_caps(d, "pass", NULL, 0);
        return render_failed(d);
    default:
        report_fact(&d->report, "outcome", "failed", "{\"detail\":\"workers died over it again and again\"}");
        return delivery_end(d, REASON_UNDECIDABLE);
    }
}

/* Admitted, or why not. */
static enum flow decide(struct delivery *d)
{
    bool gone = d->lost || d->verdict.verdict == VERDICT_GONE;

    if (d->committed)
        d->outlet->committing--;
    if (d->lost && d->poison)
        return end_poison(d);
    if (d->lost && d->committed) {
        delivery_leave_outlet(d);
        return delivery_undo_commit(d);
    }
    d->committed &= d->verdict.verdict == VERDICT_OK;
    if (!gone && d->verdict.verdict == VERDICT_OK)
        return *d->account ? delivery_ask(d, BATCH_ACCOUNT, &step_decide_account) : delivery_transmit(d);
    delivery_leave_outlet(d);
    return gone ? END : refused_by(d, d->verdict.verdict);
}

const struct step step_start = { "start", start }, step_looked_up = { "looked_up", looked_up },
                  step_admit = { "admit", admit }, step_looked_again = { "looked_again", looked_again },
                  step_decide = { "decide", decide }, step_decide_account = { "decide_account", decide_account };
