#include "dispatcher/carry/replay.h"

#include <string.h>

#include "dispatcher/base/vocab.h"
#include "dispatcher/policy/gates.h"
#include "dispatcher/people/preferences.h"
#include "schedules/instant.h"

/* One entry of the trace. */
struct fact {
    const struct service *service;
    const json_t *message, *detail;
    const char *recorded;
    enum channel channel;
    int64_t at;
};

static const char *detail_text(const struct fact *f, const char *key)
{
    return json_string_value(json_object_get(f->detail, key));
}

static int64_t detail_instant(const struct fact *f, const char *key)
{
    const char *text = detail_text(f, key);
    int64_t ms;

    return text && instant_parse(&ms, text) == NULL ? ms : 0;
}

/* ---------------------------------------------------------------- each gate; NULL: nothing was recorded to decide on
 */

/* What was asked, as far as it was recorded; false when it was not, or the category is gone. */
static bool question_of(const struct fact *f, struct question *q)
{
    const char *name = json_string_value(json_object_get(f->message, "category")), *zone = detail_text(f, "zone"),
               *late = detail_text(f, "late");

    *q = (struct question){ .policy = f->service->policy, .now = f->at };
    q->who = (struct reach){ name ? policy_category(f->service->policy, name) : NULL, f->channel,
                             zone ? zone_open(zone) : NULL, detail_text(f, "region") };
    q->planned = detail_instant(f, "due");
    q->expires_at = detail_instant(f, "expires_at");
    q->max_lateness_ms = json_integer_value(json_object_get(f->detail, "max_lateness_ms"));
    q->late = late && strcmp(late, "next_window") == 0 ? LATE_NEXT_WINDOW : LATE_DROP;
    q->wanted = preferences_want(json_object_get(f->detail, "channels"), channel_letters[f->channel]);
    q->pause_until = detail_instant(f, "pause_until");
    return q->who.category && q->who.zone;
}

static const char *said(const struct fact *f, const struct answer *a)
{
    int64_t recorded = detail_instant(f, "until");
    return a->verdict == GATE_DEFERRED && recorded && a->until != recorded ? "deferred to another instant"
                                                                           : gate_verdict_name(a->verdict);
}

static const char *replay_expiry(const struct fact *f)
{
    struct question q;
    bool whole = question_of(f, &q);

    if (!q.expires_at && !q.planned)
        return NULL;
    if (q.late == LATE_NEXT_WINDOW && !whole)
        return "deferred by a category that does not exist any more";
    struct answer a = gate_expiry(&q);
    return said(f, &a);
}

/* What is recorded of these two is what was missing, or stood on the list. */
static const char *replay_address(const struct fact *f)
{
    return detail_text(f, "needs") ? "suppressed" : "pass";
}

static const char *replay_suppression(const struct fact *f)
{
    return detail_text(f, "reason") ? "suppressed" : "pass";
}

static const char *replay_consent(const struct fact *f)
{
    const char *state = detail_text(f, "state"), *rule = detail_text(f, "rule");

    if (!state || !rule)
        return NULL;
    if (strcmp(rule, "none") == 0 || strcmp(state, "granted") == 0)
        return "pass";
    return strcmp(state, "withdrawn") == 0 || strcmp(rule, "opt_out") != 0 ? "suppressed" : "pass";
}

static const char *replay_preference(const struct fact *f)
{
    struct question q;

    question_of(f, &q);
    struct answer a = gate_preference(&q);
    return gate_verdict_name(a.verdict);
}

static const char *replay_quiet(const struct fact *f)
{
    struct question q;

    if (!question_of(f, &q))
        return NULL;
    struct answer a = gate_quiet_hours(&q);
    return said(f, &a);
}

static const char *replay_cap(const struct fact *f)
{
    const struct policy *p = f->service->policy;
    const char *over = detail_text(f, "over");
    bool full = false;
    json_t *rule;
    size_t i;

    json_array_foreach (json_object_get(f->detail, "rules"), i, rule)
        full |= json_integer_value(json_object_get(rule, "sent")) >= json_integer_value(json_object_get(rule, "max"));
    if (!full)
        return "pass";
    for (int c = 0; c <= p->n_caps; c++)
        if (over && strcmp(p->caps[c].name, over) == 0)
            return p->caps[c].over == OVER_DEFER ? "deferred" : "suppressed";
    return "over a rule that does not exist any more";
}

static const struct {
    const char *gate;
    const char *(*replay)(const struct fact *);
} gates[] = { { "expiry", replay_expiry },   { "address", replay_address },       { "suppression", replay_suppression },
              { "consent", replay_consent }, { "preference", replay_preference }, { "quiet_hours", replay_quiet },
              { "cap", replay_cap } };

/* ---------------------------------------------------------------- the trace */

static const char *replay_fact(const struct fact *f, const char *gate)
{
    for (size_t i = 0; i < G_N_ELEMENTS(gates); i++)
        if (strcmp(gates[i].gate, gate) == 0)
            return gates[i].replay(f);
    return NULL;
}

static bool read_fact(struct fact *f, const json_t *item)
{
    const char *at = json_string_value(json_object_get(item, "at")),
               *channel = json_string_value(json_object_get(item, "channel"));
    char letter = channel ? channel_letter(channel) : 0;

    f->detail = json_object_get(item, "detail");
    f->recorded = json_string_value(json_object_get(item, "verdict"));
    if (!at || !letter || instant_parse(&f->at, at) != NULL)
        return false;
    f->channel = channel_of(letter);
    return true;
}

json_t *replay_message(const struct service *s, const json_t *message)
{
    struct fact f = { .service = s, .message = message };
    json_t *lines = json_array(), *item;
    const char *policy = NULL;
    bool agrees = true;
    size_t i;

    json_array_foreach (json_object_get(message, "trace"), i, item) {
        const char *gate = json_string_value(json_object_get(item, "gate"));
        const char *replayed = gate && read_fact(&f, item) ? replay_fact(&f, gate) : NULL;
        if (detail_text(&f, "policy"))
            policy = detail_text(&f, "policy");
        if (!replayed)
            continue;
        agrees &= strcmp(replayed, f.recorded) == 0;
        json_array_append_new(lines, json_pack("{s:O, s:O, s:s, s:s, s:s}", "at", json_object_get(item, "at"),
                                               "channel", json_object_get(item, "channel"), "gate", gate, "recorded",
                                               f.recorded, "replayed", replayed));
    }
    return json_pack("{s:O, s:b, s:{s:s?, s:s}, s:o}", "id", json_object_get(message, "id"), "agrees", agrees, "policy",
                     "recorded", policy, "now", s->policy->version, "gates", lines);
}
