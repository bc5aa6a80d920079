#include "dispatcher/carry/delivery.h"

#include <string.h>

#include "dispatcher/base/vocab.h"
#include "dispatcher/people/person.h"
#include "dispatcher/store/pipeline.h"

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

static char *sequence_of(const char *journey)
{
    g_auto(GStrv) words = g_strsplit(journey, "|", 3);
    return g_strdup(g_strv_length(words) == 3 ? words[1] : "");
}

static enum consent_rule accepted_consent(const json_t *body)
{
    const char *name = json_string_value(json_object_get(body, "consent"));
    return name ? consent_rule_of(name) : CONSENT_NONE;
}

struct delivery *delivery_new(struct worker *w, int partition, const struct claimed *c)
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
    d->state = g_strdup(c->state);
    d->sequence = sequence_of(c->journey);
    d->body = json_loadb(c->body, c->body_len, JSON_REJECT_DUPLICATES, NULL);
    d->profile = *c->profile ? json_loads(c->profile, JSON_REJECT_DUPLICATES, NULL) : NULL;
    d->recipient = json_string_value(json_object_get(d->body, "recipient"));
    name = json_string_value(json_object_get(d->body, "category"));
    category = name ? policy_category(worker_service(w)->policy, name) : NULL;
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
    return d;
}

void delivery_free(struct delivery *d)
{
    worker_forget(d->worker, d);
    rendered_delivery_clear(&d->made);
    report_clear(&d->report);
    json_decref(d->body);
    json_decref(d->profile);
    policy_free(d->policy);
    g_free(d->state);
    g_free(d->next);
    g_free(d->sequence);
    if (d->counted)
        g_string_free(d->counted, TRUE);
    g_free(d);
}

void delivery_expect(struct delivery *d, char *next)
{
    g_free(d->next);
    d->next = next;
}

const char *delivery_believed(const struct delivery *d)
{
    return d->next ? d->state : "";
}

const char *delivery_next(const struct delivery *d)
{
    return d->next ? d->next : "";
}

char delivery_on_lost(const struct delivery *d)
{
    return d->category.resend_unknown ? 'r' : 'h';
}

void delivery_stepped(struct delivery *d, bool as_expected)
{
    g_free(d->state);
    d->state = as_expected ? g_steal_pointer(&d->next) : NULL;
    g_clear_pointer(&d->next, g_free);
}

void delivery_take_policy(struct delivery *d)
{
    policy_free(d->policy);
    d->policy = policy_hold(worker_service(d->worker)->policy);
}

const struct stop *delivery_stop(struct delivery *d)
{
    const struct stoppable what = {
        .channel = channel_rows[d->channel].name,
        .category = d->category.name,
        .template = json_string_value(json_object_get(d->body, "template")),
        .source = json_string_value(json_object_get(d->body, "source")),
        .sequence = d->sequence,
        .provider = d->outlet ? d->outlet->name : outbox_stopped(worker_outbox(d->worker), d->channel),
        .tags = json_object_get(d->body, "tags"),
    };

    d->judged_by = stops_number(worker_service(d->worker)->stops);
    return stops_find(worker_service(d->worker)->stops, &what, d->now);
}

struct question delivery_question(const struct delivery *d)
{
    struct question q = {
        .policy = d->policy,
        .who = { .category = &d->category, .channel = d->channel },
        .lane = d->lane,
        .recipient = d->recipient,
        .now = d->now,
        .planned = MAX(d->send_at, d->planned),
        .expires_at = d->expires_at,
        .max_lateness_ms = d->category.max_lateness_ms,
        .late = d->category.late,
    };

    person_fill(&q, worker_service(d->worker), d->profile);
    return q;
}
