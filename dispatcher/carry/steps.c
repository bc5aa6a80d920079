/*
 * One delivery through its steps:
 *
 *   claimed ─▶ start ─▶ look up ─▶ (outbox) ─▶ admit ─▶ (account) ─▶ (place) ─▶ send
 *                │         │            │          │         │                    │
 *                │  expired, late, no address,     │         │                    ▼
 *                │  suppressed          │    not wanted,     │      asked: commit ─▶ go ─▶ outcome
 *                ▼         ▼            ▼    not now         ▼         └── stopped ──┐       │
 *              settle ◀────┴────────────┴──────────┴─────────┴───────────────────────┴───────┘ ─▶ freed
 *
 * When an answer does not come (Redis is gone) the delivery is dropped where it
 * stands: its lease runs out and another worker has it.  Only a result that
 * cannot be had again goes to the journal.
 */
#include <assert.h>
#include <glib.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "channels/address.h"
#include "dispatcher/base/clock.h"
#include "dispatcher/base/vocab.h"
#include "dispatcher/base/log.h"
#include "dispatcher/base/metrics.h"
#include "dispatcher/base/text.h"
#include "dispatcher/people/suppression.h"
#include "dispatcher/people/erasure.h"
#include "dispatcher/carry/facts.h"
#include "dispatcher/carry/steps.h"
#include "schedules/instant.h"

#define ASK_AGAIN_MS 100
#define UNKNOWN_MS   3600000 /* how long others may know a template or category that this worker does not */
#define STALE_MS     200     /* of service time: after that a gate may have closed */

static struct service *service_of(const struct delivery *d)
{
    return worker_service(d->worker);
}

/* ---------------------------------------------------------------- settling */

static void settle(struct delivery *d)
{
    d->settlement.message = d->message;
    d->settlement.letter = d->letter;
    d->settlement.fence = d->fence;
    d->settlement.reason = d->reason;
    d->settlement.ref = d->ref;
    d->settlement.provider = d->outlet ? d->outlet->name : "";
    d->settlement.denied = d->denied;
    d->settlement.trace = d->unspoken ? "" : report_end(&d->report);
    if (!d->settlement.card)
        d->settlement.card = "";
    worker_batch(d->worker, BATCH_SETTLE, d);
}

/* Final, without anything having been sent. */
static void end_unsent(struct delivery *d, char code, const char *reason, bool next_channel)
{
    g_strlcpy(d->reason, reason, sizeof d->reason);
    d->settlement = (struct settlement){ .final = true, .code = code, .next_channel = next_channel };
    settle(d);
}

static void put_off(struct delivery *d, const char *reason, int64_t due, bool burn)
{
    g_strlcpy(d->reason, reason, sizeof d->reason);
    /* what expires while it waits is told so at that instant, not when the wait is over */
    if (d->expires_at && due > d->expires_at)
        due = d->expires_at;
    d->settlement = (struct settlement){ .due = due, .burn = burn };
    settle(d);
}

static double chance(void)
{
    return g_random_double();
}

/* ---------------------------------------------------------------- start */

static const char *address_of(const struct delivery *d)
{
    return json_string_value(json_object_get(d->profile, d->channel == CHANNEL_EMAIL ? "email" : "phone"));
}

static void leave_outlet(struct delivery *d)
{
    if (d->outlet)
        outlet_leave(worker_outbox(d->worker), d->outlet, NULL);
    d->outlet = NULL;
    worker_place_free(d->worker);
}

/* Whether it is neither expired nor too late, else it is settled.  The trace begins here, and all gates see the time of
 * this moment. */
static bool begin(struct delivery *d)
{
    d->now = clock_now();
    delivery_take_policy(d);
    struct question q = delivery_question(d);
    struct answer a = gate_expiry(&q);
    report_begin(&d->report, d->now, d->letter);
    fact_expiry(d, &q, &a);
    if (a.verdict == GATE_PASS)
        return true;
    leave_outlet(d);
    if (a.verdict == GATE_DEFERRED)
        put_off(d, "quiet_hours", gate_spread(&q, a.until), false);
    else
        end_unsent(d, 'E', "expired", false);
    return false;
}

/* ---------------------------------------------------------------- suppression */

static void looked_up(struct delivery *);
static void commit_decided(struct delivery *);

static void on_suppressed(void *arg, bool ok, const char *entry, int soft)
{
    struct delivery *d = arg;

    d->lost |= !ok;
    d->soft_bounces = MAX(d->soft_bounces, soft);
    if (entry) {
        json_auto_t *json = json_loads(entry, 0, NULL);
        const char *why = json_string_value(json_object_get(json, "reason"));
        d->suppressed = true;
        g_strlcpy(d->suppressed_why, why ? why : "", sizeof d->suppressed_why);
    }
    if (--d->answers > 0)
        return;
    if (d->phase == LOOK_UP)
        looked_up(d);
    else
        commit_decided(d);
}

static void ask_suppression(struct delivery *d)
{
    char key[ADDRESS_SIZE], tombstone[ADDRESS_SIZE];

    if (d->channel == CHANNEL_IN_APP || address_key(key, address_of(d)) != NULL)
        return;
    tombstone_of(service_of(d), key, tombstone);
    d->answers += 2;
    store_suppressed(service_of(d)->store, key, on_suppressed, d);
    store_suppressed(service_of(d)->store, tombstone, on_suppressed, d);
}

/* Who is suppressed is not admitted, or for a moment their place would keep others out. */
static void looked_up(struct delivery *d)
{
    if (d->lost) {
        delivery_free(d);
    } else if (d->suppressed) {
        report_fact(&d->report, "address", "pass", NULL);
        report_fact(&d->report, "suppression", "suppressed", "{\"reason\":%s}", report_quoted(d->suppressed_why));
        end_unsent(d, 'P', "suppressed_address", true);
    } else {
        d->phase = NOT_BEGUN;
        worker_queue(d->worker, d);
    }
}

/* Half-way through a deploy some workers know a template that others do not: those give it back. */
static bool unknown_here(struct delivery *d)
{
    const char *template = json_string_value(json_object_get(d->body, "template"));
    const struct library *library = service_of(d)->library;
    bool known = library && template && library_find(library, template);
    int64_t since = d->unknown_since ? d->unknown_since : d->now;

    if ((known && d->category_known) || d->now - since > UNKNOWN_MS)
        return false;
    if (!d->unknown_since) /* said once, not at each try */
        report_fact(&d->report, "render", "deferred", "{\"detail\":\"this worker does not know the %s; others may\"}",
                    known ? "category" : "template");
    d->unspoken = d->unknown_since != 0;
    int64_t wait = CLAMP((d->now - since) / 4, 1000, 60000);
    put_off(d, "template_unknown", clock_now() + (int64_t)((double)wait * MIN(clock_rate(), 60)), false);
    return true;
}

/* All providers rest: it is told so, and comes back when they may be tried again. */
static void tell_rest(struct delivery *d)
{
    struct outbox *o = worker_outbox(d->worker);
    double rest = outbox_rest(o, d->channel) * clock_rate();

    outbox_told(o, d->channel);
    report_fact(&d->report, "provider", d->has_next ? "failed" : "deferred",
                "{\"detail\":\"every provider of %s pauses\"}", channel_name(d->letter));
    d->unspoken = strcmp(d->held_reason, "provider_unavailable") == 0 && !d->has_next;
    if (d->has_next)
        end_unsent(d, 'F', "provider_unavailable", true); /* the next channel can have it now */
    else
        put_off(d, "provider_unavailable", clock_now() + (int64_t)(1000 * rest * (1 + chance() / 4)), false);
}

void delivery_start(struct delivery *d)
{
    if (!begin(d) || unknown_here(d))
        return;
    if (d->channel != CHANNEL_IN_APP && !address_of(d)) {
        report_fact(&d->report, "address", "suppressed", "{\"needs\":\"%s\",\"recipient_known\":%s}",
                    d->channel == CHANNEL_EMAIL ? "email" : "phone", d->profile ? "true" : "false");
        end_unsent(d, 'P', "no_address", true);
        return;
    }
    if (!outbox_configured(worker_outbox(d->worker), d->channel)) {
        report_fact(&d->report, "address", "pass", NULL);
        report_fact(&d->report, "provider", "failed", "{\"detail\":\"no provider is configured for %s\"}",
                    channel_name(d->letter));
        end_unsent(d, 'F', "provider_unavailable", true);
        return;
    }
    if (outbox_rest(worker_outbox(d->worker), d->channel) > 0.5) {
        tell_rest(d);
        return;
    }
    d->phase = LOOK_UP;
    ask_suppression(d);
    if (d->answers == 0)
        looked_up(d);
}

/* ---------------------------------------------------------------- admit */

/* It may have waited for its outlet a while, so it begins anew.  Who was suppressed meanwhile is seen before the final
 * dot. */
void delivery_admit(struct delivery *d)
{
    if (!begin(d))
        return;
    report_fact(&d->report, "address", "pass", NULL);
    if (d->soft_bounces)
        report_fact(&d->report, "suppression", "pass", "{\"soft_bounces\":%d}", d->soft_bounces);
    else
        report_fact(&d->report, "suppression", "pass", NULL);
    d->phase = BATCH_ADMIT;
    d->answers = 1;
    d->lost = false;
    render_delivery(service_of(d), d->message, d->letter, d->body, d->profile, &d->category, &d->made);
    worker_batch(d->worker, BATCH_ADMIT, d);
}

/* ---------------------------------------------------------------- what the gates said */

static void over_cap(struct delivery *d)
{
    const struct policy *p = d->policy;
    const struct cap *cap = d->verdict.rule >= 0 && d->verdict.rule <= p->n_caps ? &p->caps[d->verdict.rule] : NULL;
    enum over over = cap ? cap->over : OVER_DEFER;
    g_autofree char *reason = g_strdup_printf("cap:%s", cap ? cap->name : "");

    fact_caps(d, over == OVER_DEFER ? "deferred" : "suppressed", cap ? cap->name : "",
              over == OVER_DEFER ? d->verdict.until : 0);
    if (over == OVER_DEFER)
        put_off(d, reason, MAX(d->verdict.until, clock_now() + 1), false);
    else
        end_unsent(d, 'P', reason, over == OVER_NEXT_CHANNEL);
}

static void not_now(struct delivery *d)
{
    struct question q = delivery_question(d);
    struct answer a = gate_preference(&q);

    fact_preference(d, &a);
    if (a.verdict == GATE_SUPPRESSED) {
        end_unsent(d, 'P', "preference", true);
        return;
    }
    if (a.verdict == GATE_DEFERRED) {
        put_off(d, "preference", a.until, false);
        return;
    }
    a = gate_quiet_hours(&q);
    fact_quiet(d, &q, &a);
    if (a.verdict == GATE_SUPPRESSED)
        end_unsent(d, 'P', "quiet_hours", false);
    else
        put_off(d, "quiet_hours", gate_spread(&q, a.until), false);
}

static void render_failed(struct delivery *d)
{
    report_fact(&d->report, "render", "failed", "{\"template\":%s,\"version\":\"%s\",\"detail\":%s}",
                report_quoted(json_string_value(json_object_get(d->body, "template"))), d->made.version,
                report_quoted(d->made.why));
    log_warn("delivery.render_error", "{s:s, s:s}", "message", d->message, "why", d->made.why);
    end_unsent(d, 'F', "render_error", true); /* another channel has other parts */
}

static void transmit(struct delivery *d);

static void ask_account(struct delivery *d)
{
    d->phase = BATCH_ACCOUNT;
    d->answers = 1;
    d->lost = false;
    worker_batch(d->worker, BATCH_ACCOUNT, d);
}

/* What the caps of the account said, behind those of the person. */
static void decide_account(struct delivery *d)
{
    if (d->lost || d->verdict.verdict == VERDICT_GONE) {
        leave_outlet(d);
        delivery_free(d);
    } else if (d->verdict.verdict == VERDICT_CAP) {
        d->denied = true;
        leave_outlet(d);
        fact_passed(d);
        over_cap(d);
    } else {
        transmit(d);
    }
}

/* The store throws an error over this one each time: told, and ended, so that its neighbours go on. */
static void end_poison(struct delivery *d)
{
    leave_outlet(d);
    report_fact(&d->report, "outcome", "failed", "{\"detail\":\"the store cannot decide about it; its log says why\"}");
    end_unsent(d, 'F', "provider_unavailable", false);
}

static void decide(struct delivery *d)
{
    if (d->lost && d->poison) {
        end_poison(d);
        return;
    }
    if (d->lost || d->verdict.verdict == VERDICT_GONE) {
        leave_outlet(d);
        delivery_free(d);
        return;
    }
    if (d->verdict.verdict == VERDICT_OK && *d->account) {
        ask_account(d);
        return;
    }
    if (d->verdict.verdict == VERDICT_OK) {
        transmit(d);
        return;
    }
    leave_outlet(d);
    switch (d->verdict.verdict) {
    case VERDICT_NO_CONSENT:
    case VERDICT_OPTED_OUT:
        fact_consent(d, "suppressed");
        end_unsent(d, 'P', d->verdict.verdict == VERDICT_OPTED_OUT ? "opted_out" : "no_consent", true);
        break;
    case VERDICT_LATER:
        fact_consent(d, "pass");
        not_now(d);
        break;
    case VERDICT_CAP:
        fact_passed(d);
        over_cap(d);
        break;
    case VERDICT_WAIT: /* nothing is decided yet, so nothing is told */
        d->unspoken = true;
        put_off(d, d->held_reason, clock_now() + (int64_t)(ASK_AGAIN_MS * (1 + 4 * chance()) * clock_rate()), false);
        break;
    case VERDICT_RENDER:
        fact_passed(d);
        fact_caps(d, "pass", NULL, 0);
        render_failed(d);
        break;
    default:
        report_fact(&d->report, "outcome", "failed", "{\"detail\":\"workers died over it again and again\"}");
        end_unsent(d, 'F', "provider_unavailable", false);
    }
}

/* ---------------------------------------------------------------- transmit */

static void settle_sent(struct delivery *d, const struct outcome *o)
{
    d->settlement =
        (struct settlement){ .final = true, .code = 'T', .burn = true, .keep_cap = true, .sent_at = clock_now() };
    g_strlcpy(d->ref, o->ref, sizeof d->ref); /* cut and made valid when it came in: on_done() */
    d->reason[0] = '\0';
    if (d->channel == CHANNEL_IN_APP)
        d->settlement.card = d->made.bytes->str;
    settle(d);
}

static void transmit(struct delivery *d)
{
    fact_passed(d);
    fact_caps(d, "pass", NULL, 0);
    report_fact(&d->report, "render", "pass", "{\"template\":%s,\"version\":\"%s\",\"locale\":\"%s\",\"bytes\":%zu}",
                report_quoted(json_string_value(json_object_get(d->body, "template"))), d->made.version, d->made.locale,
                d->made.bytes->len);
    report_fact(&d->report, "provider", "pass", "{\"provider\":\"%s\"}", d->outlet->name);
    if (d->channel == CHANNEL_IN_APP) { /* the inbox is the store's: handing over and settling are one step */
        report_fact(&d->report, "outcome", "sent", NULL);
        settle_sent(d, &(struct outcome){ .kind = OUTCOME_SENT });
        return;
    }
    g_queue_push_tail(&d->outlet->ready, d);
    worker_place_free(d->worker);
}

static void on_ask(void *arg)
{
    struct delivery *d = arg;

    d->phase = BATCH_COMMIT;
    d->answers = 1;
    d->lost = d->suppressed = false;
    ask_suppression(d);
    worker_batch(d->worker, BATCH_COMMIT, d);
}

static void on_done(void *arg, const struct outcome *);

/* As long as the pause of its provider, unless another one can take it now. */
static int64_t fault_wait(const struct delivery *d)
{
    struct outbox *o = worker_outbox(d->worker);
    return outbox_alternative(o, d->outlet) ? 0 : outlet_pause_ms(o, d->outlet);
}

void delivery_return(struct delivery *d)
{
    int64_t wait = fault_wait(d);

    report_fact(&d->report, "provider", "deferred", "{\"provider\":\"%s\",\"detail\":\"it pauses\"}", d->outlet->name);
    leave_outlet(d);
    put_off(d, "provider_unavailable", clock_now() + wait, false);
}

void delivery_wait(struct delivery *d)
{
    d->unspoken = true;
    put_off(d, "provider_unavailable", clock_now() + 1000, false);
}

/* It may have waited for its place: what has closed meanwhile is closed for it too. */
static bool closed_meanwhile(struct delivery *d)
{
    if (clock_now() - d->now < STALE_MS)
        return false;
    d->now = clock_now();
    struct question q = delivery_question(d);
    if (gate_expiry(&q).cause == NULL && gate_quiet_hours(&q).verdict == GATE_PASS)
        return false;
    leave_outlet(d);
    if (begin(d))
        not_now(d);
    return true;
}

void delivery_send(struct delivery *d)
{
    struct timespec now;
    char id[MESSAGE_ID_SIZE + 2];

    if (closed_meanwhile(d))
        return;

    clock_gettime(CLOCK_REALTIME, &now);
    g_snprintf(id, sizeof id, "%s-%c", d->message, d->letter);
    struct parcel p = {
        .id = id,
        .from = service_of(d)->from,
        .to = address_of(d),
        .bytes = d->made.bytes->str,
        .len = d->made.bytes->len,
        .now_ms = (int64_t)now.tv_sec * 1000 +
                  now.tv_nsec / 1000000, /* a signature's time is the world's, not the clock rate's */
    };
    d->ticket = d->outlet->provider->type->send(d->outlet->provider, &p, (struct parcel_events){ on_ask, on_done, d });
    assert(d->ticket);
}

/* The key of the address whose relay has spoken; false when it is none that counts. */
static bool relay_spoke(const struct delivery *d, char key[static ADDRESS_SIZE])
{
    return d->channel == CHANNEL_EMAIL && address_key(key, address_of(d)) == NULL;
}

static void on_refused_suppressed(void *arg, bool ok, json_t *result)
{
}

/* The relay has spoken against the address itself: nobody shall try it again. */
static void suppress_refused(const struct delivery *d, const struct outcome *o)
{
    char key[ADDRESS_SIZE];
    json_auto_t *entry = json_pack("{s:s, s:s}", "reason", "hard_bounce", "source", "smtp"), *errors = json_array();

    if (policy_suppresses(service_of(d)->policy, o->detail) && relay_spoke(d, key))
        suppression_add(service_of(d), key, entry, "worker", errors, on_refused_suppressed, NULL);
}

/* All attempts were refused for a while, because of the recipient: that counts against the address. */
static void count_soft_bounce(const struct delivery *d, const struct outcome *o)
{
    const struct soft_bounces *soft = &service_of(d)->policy->soft;
    char key[ADDRESS_SIZE], at[32], until[32];
    int64_t now = clock_now();

    if (!policy_soft_bounce(service_of(d)->policy, o->detail) || !relay_spoke(d, key))
        return;
    json_auto_t *entry =
        json_pack("{s:s, s:s, s:s, s:s}", "reason", "soft_bounces", "source", "smtp", "at", instant_format(at, now),
                  "expires_at", instant_format(until, now + soft->suppress_ms));
    store_soft_bounce(service_of(d)->store, key, entry, (int64_t)((double)soft->suppress_ms / clock_rate()) + 1,
                      (int64_t)((double)soft->within_ms / clock_rate()) + 1, soft->max);
}

static void forget_soft_bounces(const struct delivery *d)
{
    char key[ADDRESS_SIZE];

    if (d->soft_bounces > 0 && relay_spoke(d, key))
        store_arrived(service_of(d)->store, key);
}

static void take_outcome(struct delivery *d);

/* The last look said something: go, or why not. */
static void commit_decided(struct delivery *d)
{
    if (d->ended) /* the provider ended before we could answer */
        take_outcome(d);
    else
        d->outlet->provider->type->answer(d->ticket, !d->lost && d->commit == 1 && !d->suppressed);
}

/* ---------------------------------------------------------------- outcome */

static void final_unknown(struct delivery *d, const struct outcome *o)
{
    fact_outcome(d, "unknown", o);
    g_strlcpy(d->reason, "outcome_unknown", sizeof d->reason);
    d->settlement = (struct settlement){ .final = true, .code = 'U', .burn = true, .keep_cap = true };
    settle(d);
}

static void retry_later(struct delivery *d, const struct outcome *o)
{
    const struct retry *r = &service_of(d)->policy->retry;
    int64_t wait = MAX(retry_wait(r, d->attempts + 1, chance()),
                       MIN(o->retry_after_ms, (int64_t)(1000 * d->outlet->longest_rest)));

    if (d->attempts + 1 >= r->max_attempts && o->perhaps) {
        final_unknown(d, o);
        return;
    }
    if (d->attempts + 1 >= r->max_attempts) {
        fact_outcome(d, "failed", o);
        count_soft_bounce(d, o);
        g_strlcpy(d->reason, "provider_unavailable", sizeof d->reason);
        d->settlement = (struct settlement){ .final = true, .code = 'F', .burn = true, .next_channel = true };
        settle(d);
        return;
    }
    fact_outcome(d, "retry", o);
    put_off(d, "provider_unavailable", clock_now() + wait, true);
    d->settlement.keep_cap = o->perhaps; /* read when the batch is built */
}

/* Withdrawn, cancelled, expired or suppressed between admission and the final dot. */
static void stopped(struct delivery *d)
{
    if (d->lost) { /* Redis did not answer the commit question: had it been written down, it is undone */
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
        delivery_free(d);
    } else if (d->suppressed) {
        report_fact(&d->report, "suppression", "suppressed", "{\"reason\":%s,\"when\":\"before the final dot\"}",
                    report_quoted(d->suppressed_why));
        end_unsent(d, 'P', "suppressed_address", true);
    } else if (d->commit < 0) {
        report_fact(&d->report, "expiry", "expired", "{\"when\":\"before the final dot\"}");
        end_unsent(d, 'E', "expired", false);
    } else { /* whoever stopped it has written down why */
        delivery_free(d);
    }
}

static void unknown(struct delivery *d, const struct outcome *o)
{
    const struct retry *r = &service_of(d)->policy->retry;

    if (!d->category.resend_unknown || d->attempts + 1 >= r->max_attempts) {
        final_unknown(d, o);
        return;
    }
    fact_outcome(d, "unknown", o);
    g_strlcpy(d->reason, "outcome_unknown", sizeof d->reason);
    d->settlement = (struct settlement){ .due = clock_now() + retry_wait(r, d->attempts + 1, chance()),
                                         .burn = true,
                                         .keep_cap = true };
    settle(d);
}

/* No provider could be given it for days. */
static bool given_up(const struct delivery *d)
{
    return clock_now() - MAX(d->send_at, d->planned) > service_of(d)->policy->retry.give_up_ms;
}

static void refused(struct delivery *d, const struct outcome *o)
{
    fact_outcome(d, "failed", o);
    suppress_refused(d, o);
    g_strlcpy(d->reason, "provider_rejected", sizeof d->reason);
    d->settlement = (struct settlement){ .final = true, .code = 'F', .burn = true, .next_channel = true };
    settle(d);
}

/* This provider cannot carry it (SMTPUTF8, size); one that can is tried at once, as a new start of the same attempt. */
static void try_another(struct delivery *d, const struct outcome *o)
{
    d->unable |= d->outlet->bit;
    if (!outbox_able(worker_outbox(d->worker), d->channel, d->unable)) {
        refused(d, o);
        return;
    }
    d->outlet = NULL;
    d->ended = d->from_world = false;
    rendered_delivery_clear(&d->made);
    d->phase = NOT_BEGUN;
    worker_queue(d->worker, d);
}

static void take_outcome(struct delivery *d)
{
    const struct outcome *o = &d->outcome;

    d->from_world = true;
    switch (o->kind) {
    case OUTCOME_SENT:
        fact_outcome(d, "sent", o);
        forget_soft_bounces(d);
        settle_sent(d, o);
        break;
    case OUTCOME_DEFERRED: retry_later(d, o); break;
    case OUTCOME_RETURNED: put_off(d, "provider_unavailable", clock_now(), false); break;
    case OUTCOME_UNABLE: try_another(d, o); break;
    case OUTCOME_FAULT: /* says nothing about this message: no attempt is burnt */
        if (given_up(d)) {
            fact_outcome(d, "failed", o);
            end_unsent(d, 'F', "provider_unavailable", true);
            break;
        }
        if (d->has_next && !outbox_alternative(worker_outbox(d->worker), d->outlet)) {
            fact_outcome(d, "failed", o);
            end_unsent(d, 'F', "provider_unavailable", true); /* the next channel can have it now */
            break;
        }
        fact_outcome(d, "retry", o);
        put_off(d, "provider_unavailable", clock_now() + fault_wait(d), false);
        break;
    case OUTCOME_REFUSED: refused(d, o); break;
    case OUTCOME_UNKNOWN: unknown(d, o); break;
    case OUTCOME_STOPPED: stopped(d); break;
    }
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
    outlet_leave(worker_outbox(worker), d->outlet, o);
    if (d->answers == 0) /* else the commit question is still open; its answer comes here */
        take_outcome(d);
    worker_place_free(worker);
}

/* ---------------------------------------------------------------- answers */

static void count_settled(const struct delivery *d)
{
    g_autofree char *labels = NULL;

    if (d->settlement.final) {
        labels = g_strdup_printf("channel=\"%s\",status=\"%s\"%s%s%s", channel_name(d->letter),
                                 status_name(d->settlement.code), *d->reason ? ",reason=\"" : "", d->reason,
                                 *d->reason ? "\"" : "");
        metrics_add(METRIC_MESSAGES, labels, 1);
    } else if (!d->unspoken) {
        labels = g_strdup_printf("reason=\"%s\"", d->reason);
        metrics_add(METRIC_DEFERRALS, labels, 1);
    }
}

static void settled(struct delivery *d, bool ok)
{
    if (ok) {
        count_settled(d);
    } else if (d->from_world) { /* what the world said cannot be asked again */
        worker_journal(d->worker, &d->settlement);
    }
    if (d->channel == CHANNEL_IN_APP && d->outlet)
        outlet_leave(worker_outbox(d->worker), d->outlet,
                     &(struct outcome){ .kind = ok ? OUTCOME_SENT : OUTCOME_UNKNOWN });
    delivery_free(d);
}

static void take_verdict(struct delivery *d, enum batch_of kind, const redisReply *reply, size_t index)
{
    struct admitted before = d->verdict;

    admit_read(reply, index, &d->verdict);
    if (kind == BATCH_ACCOUNT) { /* accounts know nothing of consent */
        d->verdict.consent = before.consent;
        d->verdict.consent_at = before.consent_at;
    }
    fact_counted(d);
}

/* One of the answers that it waits for has come; true when it was the last. */
static bool all_here(struct delivery *d, const redisReply *reply)
{
    assert(d->answers > 0);
    d->lost |= !reply;
    d->poison |= !reply && script_failed();
    return --d->answers == 0;
}

void delivery_admitted(void *delivery, const redisReply *reply, size_t index)
{
    struct delivery *d = delivery;

    if (reply)
        take_verdict(d, BATCH_ADMIT, reply, index);
    if (all_here(d, reply))
        decide(d);
}

void delivery_account_admitted(void *delivery, const redisReply *reply, size_t index)
{
    struct delivery *d = delivery;

    if (reply)
        take_verdict(d, BATCH_ACCOUNT, reply, index);
    if (all_here(d, reply))
        decide_account(d);
}

void delivery_committed(void *delivery, const redisReply *reply, size_t index)
{
    struct delivery *d = delivery;

    if (reply)
        d->commit = (int)reply_int(reply, index);
    if (all_here(d, reply))
        commit_decided(d);
}

void delivery_settled(void *delivery, const redisReply *reply, size_t index)
{
    settled(delivery, reply != NULL);
}
