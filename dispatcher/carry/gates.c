#include "dispatcher/carry/gates.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/policy/reach.h"
#include "dispatcher/people/preferences.h"
#include "schedules/instant.h"

static const struct service *service_of(const struct delivery *d)
{
    return worker_service(d->worker);
}

/* ---------------------------------------------------------------- expiry */

bool gate_expired(const struct delivery *d)
{
    return d->expires_at && d->expires_at <= d->now;
}

bool gate_late(const struct delivery *d)
{
    return d->category.max_lateness_ms && d->now - MAX(d->send_at, d->planned) > d->category.max_lateness_ms;
}

static struct reach reach_of(const struct delivery *d)
{
    return (struct reach){ &d->category, d->channel, service_zone(service_of(d), d->profile),
                           service_region(d->profile) };
}

int64_t gate_opening(const struct delivery *d)
{
    struct reach r = reach_of(d);

    if (d->category.late != LATE_NEXT_WINDOW)
        return 0;
    return policy_opening(service_of(d)->policy, &r, d->now, MAX(d->send_at, d->planned));
}

/* How late it is, and what becomes of it, with all that a replay needs. */
static void fact_late(struct delivery *d)
{
    int64_t opening = gate_opening(d);
    char due[32], until[32];

    instant_format(due, MAX(d->send_at, d->planned));
    if (!opening) {
        report_fact(&d->report, "expiry", "expired",
                    "{\"due\":\"%s\",\"max_lateness_ms\":%" PRId64 ",\"late\":\"drop\"}", due,
                    d->category.max_lateness_ms);
        return;
    }
    const struct reach r = reach_of(d);
    g_autofree char *region = r.region ? g_strdup_printf(",\"region\":%s", report_quoted(r.region)) : g_strdup("");
    report_fact(&d->report, "expiry", "deferred",
                "{\"due\":\"%s\",\"max_lateness_ms\":%" PRId64
                ",\"late\":\"next_window\",\"until\":\"%s\",\"zone\":\"%s\"%s,\"policy\":\"%s\"}",
                due, d->category.max_lateness_ms, instant_format(until, opening), zone_name(r.zone), region,
                service_of(d)->policy->version);
}

void fact_expiry(struct delivery *d)
{
    char at[32];

    if (!gate_expired(d) && gate_late(d))
        fact_late(d);
    else if (d->expires_at)
        report_fact(&d->report, "expiry", gate_expired(d) ? "expired" : "pass", "{\"expires_at\":\"%s\"}",
                    instant_format(at, d->expires_at));
    else
        report_fact(&d->report, "expiry", "pass", NULL);
}

/* ---------------------------------------------------------------- preference, quiet hours */

bool gate_preferred(const struct delivery *d)
{
    return preferences_want(json_object_get(d->profile, "channels"), d->letter);
}

int64_t gate_pause(const struct delivery *d)
{
    int64_t until = d->category.kind == KIND_TRANSACTIONAL ? 0 : preferences_pause(d->profile);
    return until > d->now ? until : 0;
}

int64_t gate_quiet(const struct delivery *d, const char **cause)
{
    struct reach r = reach_of(d);
    return policy_reach(d->policy, &r, d->now, cause);
}

int64_t gate_spread(const struct delivery *d, int64_t opening)
{
    struct reach r = reach_of(d);
    return policy_spread(service_of(d)->policy, &r, opening, d->lane, d->recipient);
}

/* ---------------------------------------------------------------- consent and caps */

static void add_one_rule(const struct delivery *d, struct admission *a, int rule, int max)
{
    const struct cap *cap = &d->policy->caps[rule];
    struct admission_rule *r = &a->rules[a->n_rules++];
    const struct zone *zone =
        cap->account ? service_account_zone(service_of(d), d->profile) : service_zone(service_of(d), d->profile);

    cap_window(cap, zone, d->now, &r->since, &r->next);
    r->rule = rule;
    r->window = cap->per.ms;
    r->max = max;
}

/* "At most so many a week" of the person's own; -1 for no such wish. */
static int own_limit(const struct delivery *d)
{
    const json_t *limit = json_object_get(json_object_get(d->profile, "preferences"), "max_per_week");
    return json_is_integer(limit) ? (int)json_integer_value(limit) : -1;
}

static const char *text_in(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* A role that would break the store's lists is none. */
static const char *role_of(const struct delivery *d)
{
    const char *role = text_in(d->profile, "role");
    return strpbrk(role, "|,\n") ? "" : role;
}

static struct cap_subject subject_of(const struct delivery *d)
{
    return (struct cap_subject){
        .category = d->category.name,
        .kind = (enum kind)(strchr(KIND_LETTERS, d->accepted_kind) - KIND_LETTERS),
        .channel = d->channel,
        .lane = d->accepted_lane,
        .source = text_in(d->body, "source"),
        .role = role_of(d),
        .account = *text_in(d->profile, "account"),
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
    if (!account && own_limit(d) >= 0)
        add_one_rule(d, a, p->n_caps, own_limit(d));
}

/* The account, when a rule of accounts counts this delivery. */
static const char *account_of(const struct delivery *d)
{
    struct cap_subject subject = subject_of(d);

    for (int i = 0; i < d->policy->n_caps; i++)
        if (d->policy->caps[i].account && cap_counts(&d->policy->caps[i], &subject))
            return text_in(d->profile, "account");
    return "";
}

static struct admission admission_of(const struct delivery *d)
{
    return (struct admission){
        .message = d->message,
        .recipient = d->recipient,
        .category = d->category.name,
        .account = d->account,
        .role = role_of(d),
        .source = text_in(d->body, "source"),
        .letter = d->letter,
        .kind = d->accepted_kind,
        .lane = d->accepted_lane,
        .fence = d->fence,
        .consent = MIN(d->category.consent, CONSENT_OPT_IN), /* a grant that is not confirmed is none */
        .render_failed = d->made.why != NULL,
    };
}

/* The question and its answer are about the policy of this moment. */
static void take_policy(struct delivery *d)
{
    policy_free(d->policy);
    d->policy = policy_hold(service_of(d)->policy);
}

void gate_admission(struct delivery *d, struct batch *batch)
{
    const char *cause;

    take_policy(d);
    d->account = account_of(d);
    struct admission a = admission_of(d);
    a.later = !gate_preferred(d) || gate_pause(d) ? 'p' : gate_quiet(d, &cause) ? 'q' : 0;
    add_rules(d, &a, false);
    admit_add(batch, &a);
}

void gate_account_admission(struct delivery *d, struct batch *batch)
{
    struct admission a = admission_of(d);

    take_policy(d);
    add_rules(d, &a, true);
    account_add(batch, &a);
}

/* ---------------------------------------------------------------- what they said */

void fact_consent(struct delivery *d, const char *verdict)
{
    char at[32];
    const char *state = d->verdict.consent == 'g' ? "granted" : d->verdict.consent == 'w' ? "withdrawn" : "default";

    if (d->verdict.consent)
        report_fact(&d->report, "consent", verdict,
                    "{\"category\":\"%s\",\"state\":\"%s\",\"rule\":\"%s\",\"since\":\"%s\"}", d->category.name, state,
                    consent_rule_name(d->category.consent), instant_format(at, d->verdict.consent_at));
    else
        report_fact(&d->report, "consent", verdict, "{\"category\":\"%s\",\"state\":\"%s\",\"rule\":\"%s\"}",
                    d->category.name, state, consent_rule_name(d->category.consent));
}

/* "1=2,2=0" of the script becomes {"name":"daily","sent":2,"max":3}, … */
void gate_counted(struct delivery *d)
{
    const struct policy *p = d->policy;
    g_auto(GStrv) counts = g_strsplit(d->verdict.counts, ",", 0);

    if (!d->counted)
        d->counted = g_string_new(NULL);
    for (char **c = counts; *c && **c; c++) {
        int rule = atoi(*c) - 1;
        const char *sent = strchr(*c, '=');
        if (sent && rule >= 0 && rule <= p->n_caps)
            g_string_append_printf(d->counted, "%s{\"name\":\"%s\",\"sent\":%s,\"max\":%d}", d->counted->len ? "," : "",
                                   p->caps[rule].name, sent + 1,
                                   rule == p->n_caps ? own_limit(d) : cap_room(&p->caps[rule], d->accepted_lane));
    }
}

void fact_caps(struct delivery *d, const char *verdict, const char *over, int64_t until)
{
    g_autoptr(GString) more = g_string_new(NULL);
    char at[32];

    if (*d->account)
        g_string_append_printf(more, ",\"account\":%s", report_quoted(d->account));
    if (over)
        g_string_append_printf(more, ",\"over\":\"%s\"", over);
    if (over && until)
        g_string_append_printf(more, ",\"until\":\"%s\"", instant_format(at, until));
    report_fact(&d->report, "cap", verdict, "{\"rules\":[%s]%s,\"policy\":\"%s\"}", d->counted ? d->counted->str : "",
                more->str, d->policy->version);
}

void fact_preference(struct delivery *d, const char *verdict)
{
    json_t *channels = json_object_get(d->profile, "channels");
    json_auto_t *detail = json_object();
    char at[32];

    if (json_is_array(channels))
        json_object_set(detail, "channels", channels);
    if (gate_preferred(d) && gate_pause(d))
        json_object_set_new(detail, "pause_until", json_string(instant_format(at, gate_pause(d))));
    char *text = json_object_size(detail) ? json_dumps(detail, JSON_COMPACT) : NULL;
    report_fact(&d->report, "preference", verdict, text ? "%s" : NULL, text);
    free(text);
}

/* With all that a replay needs: zone, region and the version of the rules. */
void fact_quiet(struct delivery *d, const char *verdict, int64_t until, const char *cause)
{
    const char *region = service_region(d->profile);
    g_autoptr(GString) more = g_string_new(NULL);
    char at[32];

    if (region)
        g_string_append_printf(more, ",\"region\":%s", report_quoted(region));
    if (until)
        g_string_append_printf(more, ",\"until\":\"%s\"", instant_format(at, until));
    if (cause)
        g_string_append_printf(more, ",\"cause\":\"%s\"", cause);
    report_fact(&d->report, "quiet_hours", verdict, "{\"zone\":\"%s\"%s,\"policy\":\"%s\"}",
                zone_name(service_zone(service_of(d), d->profile)), more->str, d->policy->version);
}

void fact_passed(struct delivery *d)
{
    const struct policy *p = d->policy;
    bool applies = (p->has_quiet || p->n_windows) && d->category.quiet != QUIET_IGNORE;

    fact_consent(d, "pass");
    fact_preference(d, "pass");
    if (applies)
        fact_quiet(d, "pass", 0, NULL);
    else
        report_fact(&d->report, "quiet_hours", "pass", NULL);
}

void fact_outcome(struct delivery *d, const char *verdict, const struct outcome *o)
{
    report_fact(&d->report, "outcome", verdict, "{\"provider\":\"%s\",\"kind\":\"%s\",\"code\":%d,\"detail\":%s}",
                d->outlet->name, outcome_name(o->kind), o->code, report_quoted(o->detail));
}
