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
#include "dispatcher/carry/steps.h"
#include "dispatcher/carry/steps_own.h"

#include <assert.h>
#include <glib.h>

#include "dispatcher/base/log.h"
#include "dispatcher/carry/facts.h"
#include "dispatcher/store/pipeline.h"
#include "dispatcher/store/suppressions.h"

void delivery_run(struct delivery *d)
{
    enum flow flow;

    do {
        log_debug("delivery.step", "{s:s, s:s}", "message", d->message, "step", d->step->name);
        flow = d->step->run(d);
    } while (flow == GO_ON);
    if (flow == END)
        delivery_free(d);
}

static void run_from(struct delivery *d, const struct step *step)
{
    d->step = step;
    delivery_run(d);
}

void delivery_start(struct delivery *d)
{
    run_from(d, &step_start);
}

void delivery_admit(struct delivery *d)
{
    assert(delivery_waits_for_outlet(d) || d->outlet);
    run_from(d, &step_admit);
}

void delivery_send(struct delivery *d)
{
    assert(d->step == &step_send && d->outlet && !d->ticket);
    delivery_run(d);
}

void delivery_return(struct delivery *d)
{
    assert(d->step == &step_send);
    run_from(d, &step_return);
}

void delivery_wait(struct delivery *d)
{
    run_from(d, &step_wait);
}

bool delivery_waits_for_outlet(const struct delivery *d)
{
    return d->step == &step_admit && !d->outlet;
}

/* ---------------------------------------------------------------- what several steps share */

struct service *delivery_service(const struct delivery *d)
{
    return worker_service(d->worker);
}

bool delivery_into_store(const struct delivery *d)
{
    return d->outlet && !d->outlet->provider;
}

bool delivery_at_once(const struct delivery *d)
{
    const struct outlet *o = d->outlet;

    return o && o->provider && o->provider->at_once;
}

double delivery_chance(void)
{
    return g_random_double();
}

const char *delivery_address(const struct delivery *d)
{
    return json_string_value(json_object_get(d->profile, channel_rows[d->channel].address));
}

void delivery_leave_outlet(struct delivery *d)
{
    if (d->outlet)
        outlet_leave(worker_outbox(d->worker), d->outlet, NULL);
    d->outlet = NULL;
    worker_place_free(d->worker);
}

enum flow delivery_wait_for_outlet(struct delivery *d)
{
    d->step = &step_admit;
    worker_queue(d->worker, d);
    return WAIT;
}

enum flow delivery_ask(struct delivery *d, enum batch_of kind, const struct step *next)
{
    d->step = next;
    d->answers = 1;
    d->lost = d->poison = false;
    worker_batch(d->worker, kind, d);
    return WAIT;
}

/* ---------------------------------------------------------------- answers */

static void take_verdict(struct delivery *d, enum batch_of kind, const redisReply *reply, size_t index)
{
    struct admitted before = d->verdict;

    admit_read(reply, index, &d->verdict);
    if (kind == BATCH_ADMIT && d->verdict.verdict <= VERDICT_CHANGED)
        delivery_stepped(d, d->verdict.verdict == VERDICT_OK);
    if (d->verdict.verdict == VERDICT_CHANGED)
        d->verdict.verdict = VERDICT_OK;
    if (kind == BATCH_ACCOUNT) { /* accounts know nothing of consent */
        d->verdict.consent = before.consent;
        d->verdict.consent_at = before.consent_at;
    }
    fact_counted(d);
}

void delivery_answer_came(struct delivery *d, bool ok)
{
    assert(d->answers > 0);
    d->lost |= !ok;
    d->poison |= !ok && script_failed();
    if (--d->answers == 0)
        delivery_run(d);
}

static void verdict_came(struct delivery *d, enum batch_of kind, const redisReply *reply, size_t index)
{
    if (reply)
        take_verdict(d, kind, reply, index);
    delivery_answer_came(d, reply != NULL);
}

void delivery_admitted(void *delivery, const redisReply *reply, size_t index)
{
    verdict_came(delivery, BATCH_ADMIT, reply, index);
}

void delivery_account_admitted(void *delivery, const redisReply *reply, size_t index)
{
    verdict_came(delivery, BATCH_ACCOUNT, reply, index);
}

static void take_commit(struct delivery *d, int answer)
{
    d->commit = MIN(answer, 1);
    if (answer > 0)
        delivery_stepped(d, answer == 1);
}

void delivery_committed(void *delivery, const redisReply *reply, size_t index)
{
    struct delivery *d = delivery;

    if (reply)
        take_commit(d, (int)reply_int(reply, index));
    delivery_answer_came(d, reply != NULL);
}

void delivery_close(struct delivery *d)
{
    if ((d->committed && d->step == &step_send && !d->ticket) || (d->recommit && !d->committed))
        delivery_undo_commit(d);
    delivery_free(d);
}

void delivery_looked(void *look, const redisReply *reply, size_t index)
{
    struct delivery *d = ((struct look *)look)->delivery;
    bool told = reply && reply->type == REDIS_REPLY_ARRAY;
    const char *entry = told ? suppressed_read(reply, index, &d->soft_bounces) : NULL;

    if (entry) {
        json_auto_t *json = json_loads(entry, 0, NULL);
        const char *why = json_string_value(json_object_get(json, "reason"));
        d->suppressed = true;
        g_strlcpy(d->suppressed_why, why ? why : "", sizeof d->suppressed_why);
    }
    delivery_answer_came(d, told);
}

void delivery_settled(void *delivery, const redisReply *reply, size_t index)
{
    struct delivery *d = delivery;

    assert(d->step == &step_settled);
    d->lost = !reply;
    delivery_run(d);
}

/* What has happened to it meanwhile is for the long way to find out. */
void delivery_sent(void *delivery, const redisReply *reply, size_t index)
{
    struct delivery *d = delivery;

    if (reply && reply_int(reply, index) == 0)
        worker_batch(d->worker, BATCH_SETTLE, d);
    else
        delivery_settled(delivery, reply, index);
}
