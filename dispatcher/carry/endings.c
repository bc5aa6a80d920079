#include "dispatcher/carry/steps_own.h"

#include <glib.h>
#include <string.h>

#include "dispatcher/base/clock.h"
#include "dispatcher/base/metrics.h"
#include "dispatcher/store/pipeline.h"
#include "dispatcher/store/shortcut.h"

static bool goes_short_way(struct delivery *d)
{
    struct sent *s = &d->sent;

    *s = (struct sent){ &d->settlement, .recipient = d->recipient, .ended = clock_now(), .send_at = d->send_at };
    delivery_expect(d, d->state ? shortcut_sent(d->state, &d->settlement, s->ended, &s->closes) : NULL);
    s->state = d->state;
    s->next = d->next;
    return d->next != NULL;
}

enum flow delivery_settle(struct delivery *d)
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
    d->step = &step_settled;
    worker_batch(d->worker, goes_short_way(d) ? BATCH_SENT : BATCH_SETTLE, d);
    return WAIT;
}

static enum flow end_as(struct delivery *d, const char *reason, const struct settlement *t)
{
    g_strlcpy(d->reason, reason, sizeof d->reason);
    d->settlement = *t;
    d->settlement.final = true;
    return delivery_settle(d);
}

enum flow delivery_end(struct delivery *d, enum reason reason)
{
    const struct reason_row *row = &reason_rows[reason];
    return end_as(d, row->name, &(struct settlement){ .code = (char)row->status, .next_channel = row->next_channel });
}

enum flow delivery_end_over_cap(struct delivery *d, const char *reason, bool next_channel)
{
    return end_as(d, reason, &(struct settlement){ .code = STATUS_SUPPRESSED, .next_channel = next_channel });
}

enum flow delivery_end_tried(struct delivery *d, enum reason reason, bool keep_cap)
{
    const struct reason_row *row = &reason_rows[reason];
    return end_as(
        d, row->name,
        &(struct settlement){
            .code = (char)row->status, .burn = true, .keep_cap = keep_cap, .next_channel = row->next_channel });
}

/* What expires while it waits is told so at that instant, not when the wait is over. */
static enum flow wait_until(struct delivery *d, const char *reason, int64_t due, bool burn, bool keep_cap)
{
    g_strlcpy(d->reason, reason, sizeof d->reason);
    if (d->expires_at && due > d->expires_at)
        due = d->expires_at;
    d->settlement = (struct settlement){ .due = due, .burn = burn, .keep_cap = keep_cap };
    return delivery_settle(d);
}

enum flow delivery_put_off_as(struct delivery *d, const char *reason, int64_t due)
{
    return wait_until(d, reason, due, false, false);
}

enum flow delivery_put_off(struct delivery *d, enum reason reason, int64_t due)
{
    return delivery_put_off_as(d, reason_rows[reason].name, due);
}

enum flow delivery_try_again(struct delivery *d, enum reason reason, int64_t due, bool perhaps)
{
    return wait_until(d, reason_rows[reason].name, due, true, perhaps);
}

enum flow delivery_settle_sent(struct delivery *d, const struct outcome *o)
{
    d->settlement = (struct settlement){
        .final = true, .code = STATUS_SENT, .burn = true, .keep_cap = true, .sent_at = clock_now()
    };
    g_strlcpy(d->ref, o->ref, sizeof d->ref); /* cut and made valid when it came in: on_done() */
    d->reason[0] = '\0';
    if (delivery_into_store(d))
        d->settlement.card = d->made.bytes->str;
    return delivery_settle(d);
}

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

static void tell_rehearsal(const struct delivery *d)
{
    const struct rehearsal_of *rehearsal = delivery_service(d)->rehearsal;

    if (rehearsal && d->settlement.final && d->settlement.code == STATUS_SENT)
        rehearsal->sent(rehearsal->arg, d->recipient, json_string_value(json_object_get(d->body, "template")),
                        d->message, channel_name(d->letter));
}

static enum flow settled(struct delivery *d)
{
    if (!d->lost) {
        count_settled(d);
        tell_rehearsal(d);
    } else if (d->from_world ||
               d->committed) { /* what the world said cannot be asked again, and nothing may stay committed */
        worker_journal(d->worker, &d->settlement);
    }
    if (delivery_into_store(d))
        outlet_leave(worker_outbox(d->worker), d->outlet,
                     &(struct outcome){ .kind = d->lost ? OUTCOME_UNKNOWN : OUTCOME_SENT });
    return END;
}

const struct step step_settled = { "settled", settled };
