#include "dispatcher/carry/steps_own.h"

#include <assert.h>
#include <glib.h>

#include "dispatcher/base/clock.h"
#include "dispatcher/carry/facts.h"
#include "dispatcher/feedback/refusals.h"
#include "dispatcher/store/pipeline.h"

/* Only a mail's relay speaks of an address, so far. */
static bool relay_spoke(const struct delivery *d)
{
    return d->channel == CHANNEL_EMAIL && delivery_address(d);
}

static enum flow final_unknown(struct delivery *d, const struct outcome *o)
{
    fact_outcome(d, "unknown", o);
    return delivery_end_tried(d, REASON_OUTCOME_UNKNOWN, true);
}

static enum flow retry_later(struct delivery *d, const struct outcome *o)
{
    const struct retry *r = &delivery_service(d)->policy->retry;
    int64_t wait = MAX(retry_wait(r, d->attempts + 1, delivery_chance()),
                       MIN(o->retry_after_ms, (int64_t)(1000 * d->outlet->longest_rest)));

    if (d->attempts + 1 >= r->max_attempts && o->perhaps)
        return final_unknown(d, o);
    if (d->attempts + 1 >= r->max_attempts) {
        fact_outcome(d, "failed", o);
        if (relay_spoke(d))
            refusal_for_a_while(delivery_service(d), delivery_address(d), o->detail);
        return delivery_end_tried(d, REASON_PROVIDER_UNAVAILABLE, false);
    }
    fact_outcome(d, "retry", o);
    return delivery_try_again(d, REASON_PROVIDER_UNAVAILABLE, clock_now() + wait, o->perhaps);
}

enum flow delivery_undo_commit(struct delivery *d)
{
    d->settlement = (struct settlement){ .message = d->message,
                                         .letter = d->letter,
                                         .fence = d->fence,
                                         .due = clock_now(),
                                         .reason = "",
                                         .provider = "",
                                         .ref = "",
                                         .card = "",
                                         .trace = "" };
    worker_journal(d->worker, &d->settlement);
    return END;
}

/* Withdrawn, cancelled, expired or suppressed between admission and the final dot. */
static enum flow stopped(struct delivery *d)
{
    if (d->lost)
        return delivery_undo_commit(d);
    if (d->suppressed) {
        report_fact(&d->report, "suppression", "suppressed", "{\"reason\":%s,\"when\":\"before the final dot\"}",
                    report_quoted(d->suppressed_why));
        return delivery_end(d, REASON_SUPPRESSED_ADDRESS);
    }
    if (d->committed || d->commit > 0) /* nobody said so: the provider did */
        return delivery_undo_commit(d);
    if (d->commit == 0) /* whoever stopped it has written down why */
        return END;
    if (d->commit == COMMIT_ASK_AGAIN) { /* begins anew, and is halted then, or not */
        worker_read_stops(d->worker, 0);
        d->unspoken = true;
        return delivery_put_off_as(d, d->held_reason, clock_now() + (int64_t)(100 * clock_rate()));
    }
    report_fact(&d->report, "expiry", "expired", "{\"when\":\"before the final dot\"}");
    return delivery_end(d, REASON_EXPIRED);
}

static enum flow unknown(struct delivery *d, const struct outcome *o)
{
    const struct retry *r = &delivery_service(d)->policy->retry;

    if (!d->category.resend_unknown || d->attempts + 1 >= r->max_attempts)
        return final_unknown(d, o);
    fact_outcome(d, "unknown", o);
    return delivery_try_again(d, REASON_OUTCOME_UNKNOWN,
                              clock_now() + retry_wait(r, d->attempts + 1, delivery_chance()), true);
}

/* No provider could be given it for days. */
static bool given_up(const struct delivery *d)
{
    return clock_now() - MAX(d->send_at, d->planned) > delivery_service(d)->policy->retry.give_up_ms;
}

static enum flow refused(struct delivery *d, const struct outcome *o)
{
    fact_outcome(d, "failed", o);
    if (relay_spoke(d))
        refusal_final(delivery_service(d), delivery_address(d), o->detail);
    return delivery_end_tried(d, REASON_PROVIDER_REJECTED, false);
}

/* This provider cannot carry it (SMTPUTF8, size); one that can is tried at once, as a new start of the same attempt. */
static enum flow try_another(struct delivery *d, const struct outcome *o)
{
    d->unable |= d->outlet->bit;
    if (!outbox_able(worker_outbox(d->worker), d->channel, d->unable))
        return refused(d, o);
    d->outlet = NULL;
    d->recommit = true; /* it is committed, and the next provider has to take it so */
    d->ended = d->from_world = d->committed = false;
    rendered_delivery_clear(&d->made);
    return delivery_wait_for_outlet(d);
}

static enum flow take_outcome(struct delivery *d)
{
    const struct outcome *o = &d->outcome;

    d->from_world = true;
    switch (o->kind) {
    case OUTCOME_SENT:
        fact_outcome(d, "sent", o);
        if (d->soft_bounces > 0 && relay_spoke(d))
            refusal_forgotten(delivery_service(d), delivery_address(d));
        return delivery_settle_sent(d, o);
    case OUTCOME_DEFERRED: return retry_later(d, o);
    case OUTCOME_RETURNED: return delivery_put_off(d, REASON_PROVIDER_UNAVAILABLE, clock_now());
    case OUTCOME_UNABLE: return try_another(d, o);
    case OUTCOME_FAULT: /* says nothing about this message: no attempt is burnt */
        if (given_up(d)) {
            fact_outcome(d, "failed", o);
            return delivery_end(d, REASON_PROVIDER_UNAVAILABLE);
        }
        if (d->has_next && !outbox_alternative(worker_outbox(d->worker), d->outlet)) {
            fact_outcome(d, "failed", o);
            return delivery_end(d, REASON_PROVIDER_UNAVAILABLE); /* the next channel can have it now */
        }
        fact_outcome(d, "retry", o);
        return delivery_put_off(d, REASON_PROVIDER_UNAVAILABLE, clock_now() + delivery_fault_wait(d));
    case OUTCOME_REFUSED: return refused(d, o);
    case OUTCOME_UNKNOWN: return unknown(d, o);
    case OUTCOME_STOPPED: return stopped(d);
    }
    assert(!"a provider says one of these");
    return END;
}

const struct step step_outcome = { "outcome", take_outcome };
