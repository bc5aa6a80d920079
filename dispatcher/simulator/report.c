#include "dispatcher/simulator/report.h"

#include <glib.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/base/figures.h"
#include "dispatcher/store/journeys.h"
#include "dispatcher/store/messages.h"
#include "dispatcher/store/people.h"
#include "dispatcher/store/rehearsal.h"
#include "schedules/instant.h"

#define NIGHT_FROM 21
#define NIGHT_TO   8

struct reporting {
    struct service *service;
    json_t *report, *everybody;
    size_t next;
    int open;
    bool lost;
    json_fn *fn;
    void *arg;
};

struct person { /* one of them, until all is known */
    struct reporting *reporting;
    char recipient[129];
    json_t *profile, *timeline, *trace;
    int open;
};

/* ---------------------------------------------------------------- figures */

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static const char *local_text(char buf[static 48], const struct zone *zone, int64_t at)
{
    static const char *const days[] = { "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun" }, *const months[] = {
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"
    };
    int offset = zone_offset(zone, at) / 60;
    struct civil c;

    zone_local(zone, at, &c);
    g_snprintf(buf, 48, "%s %02d %s %d %02d:%02d %c%02d:%02d", days[civil_weekday(&c)], c.day, months[c.month - 1],
               c.year, c.hour, c.minute, offset < 0 ? '-' : '+', abs(offset) / 60, abs(offset) % 60);
    return buf;
}

/* ---------------------------------------------------------------- one person's lines */

static json_t *line_new(const struct zone *zone, int64_t at, const char *what)
{
    char local[48], text[32];

    return json_pack("{s:s, s:s, s:s}", "at", instant_format(text, at), "local", local_text(local, zone, at), "what",
                     what);
}

/* [ms, run, sequence, step, what, detail] of a run. */
static void add_decision(struct reporting *r, json_t *lines, const struct zone *zone, const json_t *decision,
                         json_t *steps)
{
    const char *sequence = json_string_value(json_array_get(decision, 2)),
               *step = json_string_value(json_array_get(decision, 3)),
               *what = json_string_value(json_array_get(decision, 4));
    json_t *detail = json_array_get(decision, 5), *of = figures_of(json_object_get(r->report, "sequences"), sequence);
    json_t *line = line_new(zone, json_integer_value(json_array_get(decision, 0)), what);

    json_object_set_new(line, "sequence", json_string(sequence));
    if (*step)
        json_object_set_new(line, "step", json_string(step));
    if (detail && !json_is_null(detail))
        json_object_set(line, "detail", detail);
    json_array_append_new(lines, line);
    if (strcmp(what, "enrolled") == 0 || strcmp(what, "goal") == 0 || strcmp(what, "counted") == 0)
        figure_add(of, strcmp(what, "counted") == 0 ? "goal" : what, 1);
    else if (strcmp(what, "not_enrolled") == 0 || strcmp(what, "left") == 0)
        figure_add(figures_of(of, what), json_is_string(detail) ? json_string_value(detail) : "", 1);
    else if (*step && !json_object_get(figures_of(steps, sequence), step)) {
        json_object_set_new(figures_of(steps, sequence), step, json_true());
        figure_add(figures_of(of, "steps"), step, 1);
    }
}

static void count_sent(struct reporting *r, const struct zone *zone, const json_t *message, const char *channel,
                       int64_t at, json_t *days)
{
    json_t *messages = json_object_get(r->report, "messages"), *hours = json_object_get(r->report, "hours");
    struct civil c;
    char day[16];

    zone_local(zone, at, &c);
    g_snprintf(day, sizeof day, "%04d-%02d-%02d", c.year % 10000, c.month, c.day);
    figure_add(messages, "sent", 1);
    figure_add(messages, channel, 1);
    figure_add(figures_of(messages, "by_template"), text_of(message, "template"), 1);
    figure_add(figures_of(json_object_get(r->report, "calendar"), day), channel, 1);
    figure_add(days, day, 1);
    json_array_set_new(hours, (size_t)c.hour,
                       json_integer(json_integer_value(json_array_get(hours, (size_t)c.hour)) + 1));
    if (civil_weekday(&c) >= 5)
        figure_add(messages, "weekend", 1);
    if ((c.hour >= NIGHT_FROM || c.hour < NIGHT_TO) && strcmp(channel, "in_app") != 0)
        figure_add(messages, "night", 1);
}

static void add_delivery(struct reporting *r, json_t *lines, const struct zone *zone, const json_t *message,
                         const json_t *delivery, json_t *days)
{
    const char *channel = text_of(delivery, "channel"), *status = text_of(delivery, "status"),
               *reason = text_of(delivery, "reason");
    int64_t at = 0;
    bool sent = instant_parse(&at, text_of(delivery, "sent_at")) == NULL;

    if (!sent) {
        const json_t *trace = json_object_get(message, "trace");
        instant_parse(&at, text_of(json_array_get(trace, json_array_size(trace) - 1), "at"));
        figure_add(figures_of(json_object_get(r->report, "messages"), "not_sent"), *reason ? reason : status, 1);
    } else {
        count_sent(r, zone, message, channel, at, days);
    }
    json_t *line = line_new(zone, at, status);
    json_object_set_new(line, "channel", json_string(channel));
    json_object_set(line, "template", json_object_get(message, "template"));
    if (json_object_get(message, "sequence")) {
        json_object_set(line, "sequence", json_object_get(message, "sequence"));
        json_object_set(line, "step", json_object_get(message, "step"));
    }
    if (*reason)
        json_object_set_new(line, "detail", json_string(reason));
    json_array_append_new(lines, line);
}

/* What held it up on the way. */
static void add_holds(struct reporting *r, json_t *lines, const struct zone *zone, const json_t *message)
{
    json_t *fact;
    size_t i;

    json_array_foreach (json_object_get(message, "trace"), i, fact) {
        int64_t at;
        if (strcmp(text_of(fact, "verdict"), "deferred") != 0 || instant_parse(&at, text_of(fact, "at")) != NULL)
            continue;
        json_t *line = line_new(zone, at, "deferred");
        json_object_set(line, "template", json_object_get(message, "template"));
        json_object_set(line, "detail", json_object_get(fact, "gate"));
        json_object_set(line, "why", json_object_get(fact, "detail"));
        json_array_append_new(lines, line);
        figure_add(figures_of(json_object_get(r->report, "messages"), "deferred"), text_of(fact, "gate"), 1);
    }
}

static void add_message(struct reporting *r, json_t *lines, const struct zone *zone, const json_t *message,
                        json_t *days)
{
    json_t *delivery;
    size_t i;

    add_holds(r, lines, zone, message);
    json_array_foreach (json_object_get(message, "deliveries"), i, delivery)
        add_delivery(r, lines, zone, message, delivery, days);
}

static int by_instant(const void *a, const void *b)
{
    const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
    int64_t p = 0, q = 0;

    instant_parse(&p, text_of(x, "at"));
    instant_parse(&q, text_of(y, "at"));
    return p != q ? (p < q ? -1 : 1) : 0;
}

static json_t *sorted(json_t *lines, int (*compare)(const void *, const void *))
{
    size_t n = json_array_size(lines);
    g_autofree json_t **all = g_new0(json_t *, n + 1);
    json_t *list = json_array();

    for (size_t i = 0; i < n; i++)
        all[i] = json_array_get(lines, i);
    qsort(all, n, sizeof(json_t *), compare);
    for (size_t i = 0; i < n; i++)
        json_array_append(list, all[i]);
    return list;
}

static void at_least(json_t *of, const char *key, json_int_t n)
{
    if (n > json_integer_value(json_object_get(of, key)))
        json_object_set_new(of, key, json_integer(n));
}

static void count_person(struct reporting *r, const json_t *days)
{
    json_t *messages = json_object_get(r->report, "messages"), *n;
    json_int_t total = 0;
    const char *day;

    json_object_foreach ((json_t *)days, day, n) {
        total += json_integer_value(n);
        at_least(json_object_get(messages, "per_day"), "max", json_integer_value(n));
    }
    at_least(json_object_get(messages, "per_person"), "max", total);
}

static void write_person(struct person *p)
{
    struct reporting *r = p->reporting;
    const struct zone *zone = service_zone(r->service, p->profile);
    json_auto_t *lines = json_array(), *days = json_object(), *steps = json_object();
    static const char *const lists[] = { "past", "pending" };
    json_t *one;
    size_t i;

    json_array_foreach (p->trace, i, one)
        add_decision(r, lines, zone, one, steps);
    for (int list = 0; list < 2; list++)
        json_array_foreach (json_object_get(p->timeline, lists[list]), i, one)
            add_message(r, lines, zone, one, days);
    count_person(r, days);
    json_array_append_new(json_object_get(r->report, "timeline"),
                          json_pack("{s:s, s:s, s:o}", "recipient", p->recipient, "timezone", zone_name(zone),
                                    "entries", sorted(lines, by_instant)));
}

/* People are seen in no order, and so are the names of what is counted. */
static void order_figures(json_t *report)
{
    static const char *const whole[] = { "sequences", "calendar" }, *const parts[] = { "by_template", "not_sent",
                                                                                       "deferred" };
    json_t *messages = json_object_get(report, "messages");

    for (size_t i = 0; i < G_N_ELEMENTS(whole) + G_N_ELEMENTS(parts); i++) {
        json_t *in = i < G_N_ELEMENTS(whole) ? report : messages;
        const char *key = i < G_N_ELEMENTS(whole) ? whole[i] : parts[i - G_N_ELEMENTS(whole)];
        char *text = json_dumps(json_object_get(in, key), JSON_COMPACT | JSON_SORT_KEYS);
        json_object_set_new(in, key, json_loads(text, 0, NULL));
        free(text);
    }
}

/* ---------------------------------------------------------------- everybody */

#define AT_A_TIME 64

static void next_people(struct reporting *r);

static void person_done(struct person *p)
{
    struct reporting *r = p->reporting;

    if (--p->open > 0)
        return;
    if (!r->lost)
        write_person(p);
    json_decref(p->profile);
    json_decref(p->timeline);
    json_decref(p->trace);
    g_free(p);
    r->open--;
    next_people(r);
}

static void on_profile(void *arg, const char *text)
{
    struct person *p = arg;

    p->reporting->lost |= !text;
    p->profile = text && *text ? json_loads(text, 0, NULL) : NULL;
    person_done(p);
}

static void on_timeline(void *arg, bool ok, json_t *timeline)
{
    struct person *p = arg;

    p->reporting->lost |= !ok;
    p->timeline = json_incref(timeline);
    person_done(p);
}

static void on_trace(void *arg, bool ok, json_t *trace)
{
    struct person *p = arg;

    p->reporting->lost |= !ok;
    p->trace = json_incref(trace);
    person_done(p);
}

static void ask_person(struct reporting *r, const char *recipient)
{
    struct store *store = r->service->store;
    struct person *p = g_new0(struct person, 1);

    p->reporting = r;
    p->open = 3;
    r->open++;
    g_strlcpy(p->recipient, recipient, sizeof p->recipient);
    store_profile(store, p->recipient, on_profile, p);
    store_timeline(store, p->recipient, 100000, SHOW_TRACE, on_timeline, p);
    store_trace(store, p->recipient, on_trace, p);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(text_of(*(json_t *const *)a, "recipient"), text_of(*(json_t *const *)b, "recipient"));
}

static void finish(struct reporting *r)
{
    json_t *messages = json_object_get(r->report, "messages"), *timeline = json_object_get(r->report, "timeline");
    size_t n = json_array_size(timeline);

    json_object_set_new(r->report, "timeline", sorted(timeline, by_name));
    order_figures(r->report);
    json_object_set_new(json_object_get(messages, "per_person"), "mean",
                        json_real(n ? (double)json_integer_value(json_object_get(messages, "sent")) / (double)n : 0));
    r->fn(r->arg, !r->lost, r->report);
    json_decref(r->report);
    json_decref(r->everybody);
    g_free(r);
}

static void next_people(struct reporting *r)
{
    while (r->open < AT_A_TIME && r->next < json_array_size(r->everybody))
        ask_person(r, json_string_value(json_array_get(r->everybody, r->next++)));
    if (r->open == 0)
        finish(r);
}

static void on_everybody(void *arg, bool ok, json_t *everybody)
{
    struct reporting *r = arg;

    r->lost = !ok;
    r->everybody = ok ? json_incref(everybody) : json_array();
    json_object_set_new(r->report, "people", json_integer((json_int_t)json_array_size(r->everybody)));
    next_people(r);
}

void report_make(struct service *s, int64_t from, int64_t to, json_fn *fn, void *arg)
{
    struct reporting *r = g_new0(struct reporting, 1);
    char a[32], b[32];

    r->service = s;
    r->fn = fn;
    r->arg = arg;
    r->report =
        json_pack("{s:s, s:s, s:{s:i, s:i, s:i, s:i, s:i, s:i, s:{s:i}, s:{s:i}, s:{}, s:{}, s:{}}, s:{}, s:{}, "
                  "s:[], s:[]}",
                  "from", instant_format(a, from), "to", instant_format(b, to), "messages", "sent", 0, "email", 0,
                  "sms", 0, "in_app", 0, "weekend", 0, "night", 0, "per_person", "max", 0, "per_day", "max", 0,
                  "by_template", "not_sent", "deferred", "sequences", "calendar", "hours", "timeline");
    for (int hour = 0; hour < 24; hour++)
        json_array_append_new(json_object_get(r->report, "hours"), json_integer(0));
    store_everybody(s->store, on_everybody, r);
}

/* ---------------------------------------------------------------- expectations */

/* Names of these come as things happen; all others are there from the first. */
static bool is_counted(const char *word)
{
    static const char *const lists[] = { "by_template", "not_sent",     "deferred", "calendar", "sequences",
                                         "left",        "not_enrolled", "steps",    NULL };
    return g_strv_contains(lists, word);
}

/* What stands at a path, NULL for nothing; *known: it could stand there. */
static const json_t *find(const json_t *report, const char *path, bool *known)
{
    g_auto(GStrv) words = g_strsplit(path, ".", -1);
    bool counted = false;

    *known = true;
    for (int i = 0; words[i]; i++) {
        const json_t *next = json_object_get(report, words[i]);
        if (!next) {
            *known = counted;
            return NULL;
        }
        counted |= is_counted(words[i]);
        report = next;
    }
    return report;
}

static bool holds(double x, const char *op, double y, bool *known)
{
    *known = true;
    if (strcmp(op, "<=") == 0)
        return x <= y;
    if (strcmp(op, ">=") == 0)
        return x >= y;
    if (strcmp(op, "<") == 0)
        return x < y;
    if (strcmp(op, ">") == 0)
        return x > y;
    *known = strcmp(op, "==") == 0 || strcmp(op, "!=") == 0;
    return strcmp(op, "==") == 0 ? fabs(x - y) < 1e-9 : fabs(x - y) >= 1e-9;
}

char *report_expects(const json_t *report, const char *expectation)
{
    g_auto(GStrv) words = g_strsplit_set(expectation, " \t", -1);
    const char *part[3] = { NULL, NULL, NULL };
    int n = 0;
    char *end;
    bool known;

    for (char **w = words; *w; w++)
        if (**w && n < 3)
            part[n++] = *w;
    double wanted = n == 3 ? g_ascii_strtod(part[2], &end) : 0;
    if (n < 3 || *end)
        return g_strdup_printf("\"%s\" is no expectation; write it like \"messages.per_person.max <= 6\"", expectation);
    /* what never happened has no figure */
    double found = json_number_value(find(report, part[0], &known));
    if (!known)
        return g_strdup_printf("there is no figure %s in the report; --json shows all of them", part[0]);
    bool good = holds(found, part[1], wanted, &known);
    if (!known)
        return g_strdup_printf("\"%s\" has no comparison; there are <=, >=, <, >, == and !=", expectation);
    return good ? NULL : g_strdup_printf("%s is %g, not %s %s", part[0], found, part[1], part[2]);
}

/* ---------------------------------------------------------------- two rehearsals */

/* What was sent to a person: "sequence/step/template/nth" → local time. */
static json_t *sends_of(const json_t *person)
{
    json_t *sends = json_object(), *line;
    size_t i;

    json_array_foreach (json_object_get(person, "entries"), i, line) {
        g_autofree char *key = g_strdup_printf("%s|%s|%s|%s", text_of(line, "sequence"), text_of(line, "step"),
                                               text_of(line, "template"), text_of(line, "channel"));
        if (strcmp(text_of(line, "what"), "sent") != 0)
            continue;
        for (int nth = 1;; nth++) {
            g_autofree char *one = g_strdup_printf("%s|%d", key, nth);
            if (json_object_get(sends, one))
                continue;
            json_object_set(sends, one, json_object_get(line, "local"));
            break;
        }
    }
    return sends;
}

static void add_change(json_t *list, const char *recipient, const char *change, const char *key, const json_t *was,
                       const json_t *is)
{
    g_auto(GStrv) words = g_strsplit(key, "|", 5);

    json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:O?, s:O?}", "recipient", recipient,
                                          "change", change, "sequence", words[0], "step", words[1], "template",
                                          words[2], "channel", words[3], "was", was, "is", is));
}

static const json_t *person_in(const json_t *report, const char *recipient)
{
    json_t *person;
    size_t i;

    json_array_foreach (json_object_get(report, "timeline"), i, person)
        if (strcmp(text_of(person, "recipient"), recipient) == 0)
            return person;
    return NULL;
}

static void compare_person(json_t *list, const json_t *before, const json_t *after)
{
    json_auto_t *was = sends_of(before), *is = sends_of(after);
    const char *key, *recipient = text_of(after, "recipient");
    json_t *at;

    json_object_foreach (was, key, at)
        if (!json_object_get(is, key))
            add_change(list, recipient, "gone", key, at, NULL);
    json_object_foreach (is, key, at) {
        const json_t *old = json_object_get(was, key);
        if (!old)
            add_change(list, recipient, "new", key, NULL, at);
        else if (!json_equal(old, at))
            add_change(list, recipient, "moved", key, old, at);
    }
}

json_t *report_compare(const json_t *was, const json_t *is)
{
    json_t *list = json_array(), *person;
    size_t i;

    json_array_foreach (json_object_get(is, "timeline"), i, person)
        compare_person(list, person_in(was, text_of(person, "recipient")), person);
    return list;
}
