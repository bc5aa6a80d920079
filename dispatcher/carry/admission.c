#include "dispatcher/carry/admission.h"

#include <string.h>

#include "dispatcher/base/vocab.h"
#include "dispatcher/carry/steps_own.h"
#include "dispatcher/people/person.h"
#include "dispatcher/store/pipeline.h"
#include "dispatcher/store/shortcut.h"

static void add_one_rule(const struct delivery *d, struct admission *a, int rule, int max)
{
    const struct cap *cap = &d->policy->caps[rule];
    struct admission_rule *r = &a->rules[a->n_rules++];
    const struct service *service = worker_service(d->worker);
    const struct zone *zone =
        cap->account ? service_account_zone(service, d->profile) : service_zone(service, d->profile);

    cap_window(cap, zone, d->now, &r->since, &r->next);
    r->rule = rule;
    r->window = cap->per.ms;
    r->max = max;
}

static const char *source_of(const struct delivery *d)
{
    const char *source = json_string_value(json_object_get(d->body, "source"));
    return source ? source : "";
}

static struct cap_subject subject_of(const struct delivery *d)
{
    return (struct cap_subject){
        .category = d->category.name,
        .kind = (enum kind)(strchr(KIND_LETTERS, d->accepted_kind) - KIND_LETTERS),
        .channel = d->channel,
        .lane = d->accepted_lane,
        .source = source_of(d),
        .role = person_role(d->profile),
        .account = *person_account(d->profile),
    };
}

/* Those of the person, or those of their account. */
static void add_rules(const struct delivery *d, struct admission *a, bool account)
{
    const struct policy *p = d->policy;
    struct cap_subject subject = subject_of(d);

    if (subject.kind == KIND_TRANSACTIONAL)
        return;
    for (int i = 0; i < p->n_caps; i++)
        if (p->caps[i].account == account && cap_selects(&p->caps[i], &subject))
            add_one_rule(d, a, i, cap_room(&p->caps[i], subject.lane));
    if (!account && person_limit(d->profile) >= 0)
        add_one_rule(d, a, p->n_caps, person_limit(d->profile));
}

/* Whether its provider takes it in the turn in which it is admitted: then there is nothing to ask in between. */
static bool goes_at_once(const struct delivery *d)
{
    const struct outlet *o = d->outlet;

    return delivery_at_once(d) && !*d->account &&
           o->provider->type->room(o->provider) > (int)o->ready.length + o->committing;
}

/* The account, when a rule of accounts counts this delivery. */
static const char *account_of(const struct delivery *d)
{
    struct cap_subject subject = subject_of(d);

    for (int i = 0; i < d->policy->n_caps; i++)
        if (d->policy->caps[i].account && cap_counts(&d->policy->caps[i], &subject))
            return person_account(d->profile);
    return "";
}

static struct admission admission_of(const struct delivery *d)
{
    return (struct admission){
        .stops = d->judged_by,
        .message = d->message,
        .recipient = d->recipient,
        .category = d->category.name,
        .account = d->account,
        .role = person_role(d->profile),
        .source = source_of(d),
        .letter = d->letter,
        .kind = d->accepted_kind,
        .lane = d->accepted_lane,
        .fence = d->fence,
        .consent = MIN(d->category.consent, CONSENT_OPT_IN), /* a grant that is not confirmed is none */
        .render_failed = d->made.why != NULL,
    };
}

void admission_ask(struct delivery *d, struct batch *batch)
{
    delivery_take_policy(d);
    struct question q = delivery_question(d);
    d->account = account_of(d);
    struct admission a = admission_of(d);
    a.later = gate_preference(&q).verdict != GATE_PASS ? 'p' : gate_quiet_hours(&q).verdict != GATE_PASS ? 'q' : 0;
    add_rules(d, &a, false);
    if (!d->committed &&
        (d->recommit || (d->just_looked && goes_at_once(d)))) { /* the second time it is asked for a neighbour's sake */
        d->committed = true;
        d->outlet->committing++;
    }
    a.commit = d->committed ? delivery_on_lost(d) : 0;
    delivery_expect(d, d->state && !*d->account ? shortcut_admitted(d->state, d->letter, a.commit) : NULL);
    a.state = delivery_believed(d);
    a.next = delivery_next(d);
    admit_add(batch, &a);
}

void admission_ask_account(struct delivery *d, struct batch *batch)
{
    struct admission a = admission_of(d);

    delivery_take_policy(d);
    add_rules(d, &a, true);
    account_add(batch, &a);
}
