#include "dispatcher/carry/facts.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/base/vocab.h"
#include "dispatcher/people/person.h"
#include "schedules/instant.h"

/* How late it is, and what becomes of it, with all that a replay needs. */
static void fact_late(struct delivery *d, const struct question *q, const struct answer *a)
{
    char due[32], until[32];

    instant_format(due, q->planned);
    if (a->verdict == GATE_EXPIRED) {
        report_fact(&d->report, "expiry", "expired",
                    "{\"due\":\"%s\",\"max_lateness_ms\":%" PRId64 ",\"late\":\"drop\"}", due, q->max_lateness_ms);
        return;
    }
    g_autofree char *region =
        q->who.region ? g_strdup_printf(",\"region\":%s", report_quoted(q->who.region)) : g_strdup("");
    report_fact(&d->report, "expiry", "deferred",
                "{\"due\":\"%s\",\"max_lateness_ms\":%" PRId64
                ",\"late\":\"next_window\",\"until\":\"%s\",\"zone\":\"%s\"%s,\"policy\":\"%s\"}",
                due, q->max_lateness_ms, instant_format(until, a->until), zone_name(q->who.zone), region,
                q->policy->version);
}

void fact_expiry(struct delivery *d, const struct question *q, const struct answer *a)
{
    char at[32];

    if (a->cause && strcmp(a->cause, "lateness") == 0)
        fact_late(d, q, a);
    else if (d->expires_at)
        report_fact(&d->report, "expiry", gate_verdict_name(a->verdict), "{\"expires_at\":\"%s\"}",
                    instant_format(at, d->expires_at));
    else
        report_fact(&d->report, "expiry", "pass", NULL);
}

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
void fact_counted(struct delivery *d)
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
                                   rule == p->n_caps ? person_limit(d->profile)
                                                     : cap_room(&p->caps[rule], d->accepted_lane));
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

void fact_preference(struct delivery *d, const struct answer *a)
{
    json_t *channels = json_object_get(d->profile, "channels");
    json_auto_t *detail = json_object();
    char at[32];

    if (json_is_array(channels))
        json_object_set(detail, "channels", channels);
    if (a->verdict == GATE_DEFERRED)
        json_object_set_new(detail, "pause_until", json_string(instant_format(at, a->until)));
    char *text = json_object_size(detail) ? json_dumps(detail, JSON_COMPACT) : NULL;
    report_fact(&d->report, "preference", gate_verdict_name(a->verdict), text ? "%s" : NULL, text);
    free(text);
}

/* With all that a replay needs: zone, region and the version of the rules. */
void fact_quiet(struct delivery *d, const struct question *q, const struct answer *a)
{
    g_autoptr(GString) more = g_string_new(NULL);
    char at[32];

    if (q->who.region)
        g_string_append_printf(more, ",\"region\":%s", report_quoted(q->who.region));
    if (a->until)
        g_string_append_printf(more, ",\"until\":\"%s\"", instant_format(at, a->until));
    if (a->cause)
        g_string_append_printf(more, ",\"cause\":\"%s\"", a->cause);
    report_fact(&d->report, "quiet_hours", gate_verdict_name(a->verdict), "{\"zone\":\"%s\"%s,\"policy\":\"%s\"}",
                zone_name(q->who.zone), more->str, q->policy->version);
}

void fact_passed(struct delivery *d)
{
    const struct policy *p = d->policy;
    const struct answer pass = { GATE_PASS, 0, NULL };
    bool applies = (p->has_quiet || p->n_windows) && d->category.quiet != QUIET_IGNORE;

    fact_consent(d, "pass");
    fact_preference(d, &pass);
    if (!applies) {
        report_fact(&d->report, "quiet_hours", "pass", NULL);
        return;
    }
    struct question q = delivery_question(d);
    fact_quiet(d, &q, &pass);
}

void fact_outcome(struct delivery *d, const char *verdict, const struct outcome *o)
{
    report_fact(&d->report, "outcome", verdict, "{\"provider\":\"%s\",\"kind\":\"%s\",\"code\":%d,\"detail\":%s}",
                d->outlet->name, outcome_name(o->kind), o->code, report_quoted(o->detail));
}
