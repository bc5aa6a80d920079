#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/cli/cli.h"
#include "dispatcher/journeys/sequences.h"
#include "dispatcher/people/person.h"
#include "dispatcher/policy/reach.h"
#include "dispatcher/store/counts.h"
#include "dispatcher/store/people.h"
#include "schedules/rerun.h"

/* ---------------------------------------------------------------- whose run */

struct page {
    bool done, ok;
    char *cursor;
    json_t *people;
};

static void on_page(void *arg, bool ok, const char *cursor, json_t *people)
{
    *(struct page *)arg = (struct page){ true, ok, g_strdup(cursor), json_incref(people) };
}

/* What the trace of a person says of one run. */
static json_t *lines_of(struct cli *c, const char *recipient, const char *run)
{
    struct cli_answer a = { 0 };
    json_t *lines = json_array(), *line;
    size_t i;

    store_trace(c->service->store, recipient, on_cli_answer, &a);
    cli_wait(c, &a);
    json_array_foreach (a.result, i, line)
        if (g_strcmp0(json_string_value(json_array_get(line, 1)), run) == 0)
            json_array_append(lines, line);
    json_decref(a.result);
    return lines;
}

static char *find_on(struct cli *c, const json_t *people, const char *run)
{
    json_t *one;
    size_t i;

    json_array_foreach ((json_t *)people, i, one) {
        json_auto_t *lines = lines_of(c, json_string_value(one), run);
        if (json_array_size(lines))
            return g_strdup(json_string_value(one));
    }
    return NULL;
}

/* The id says the partition in which it began; within it everybody is looked at.  Of who has moved since, the traces
 * are in two places: with --recipient that of today is told. */
static char *find_recipient(struct cli *c, const char *run)
{
    g_autofree char *cursor = g_strdup("0");
    int partition = ident_partition(run);
    char *found = NULL;

    do {
        struct page page = { 0 };
        store_traced_page(c->service->store, partition, cursor, on_page, &page);
        ev_now_update(c->loop);
        while (!page.done)
            ev_run(c->loop, EVRUN_ONCE);
        found = page.ok ? find_on(c, page.people, run) : NULL;
        json_decref(page.people);
        g_free(cursor);
        cursor = page.ok ? page.cursor : g_strdup("0");
    } while (!found && strcmp(cursor, "0") != 0);
    return found;
}

/* ---------------------------------------------------------------- telling */

struct telling {
    struct cli *cli;
    const char *recipient;
    const struct zone *zone;
    struct almanac almanac;
};

static void on_text(void *arg, const char *text)
{
    struct cli_answer *a = arg;

    a->ok = text != NULL;
    a->result = text && *text ? json_loads(text, 0, NULL) : json_object();
    a->done = true;
}

static void look_at_person(struct telling *t)
{
    struct service *s = t->cli->service;
    struct cli_answer a = { 0 };

    store_profile(s->store, t->recipient, on_text, &a);
    cli_wait(t->cli, &a);
    t->zone = service_zone(s, a.result);
    policy_days(s->policy, service_region(a.result), &t->almanac.holidays, &t->almanac.blackout);
    json_decref(a.result);
}

static void print_line(const struct telling *t, const json_t *line, const char *fault)
{
    const json_t *detail = json_array_get(line, 5), *inputs = json_array_get(line, 6);
    const char *step = json_string_value(json_array_get(line, 3));
    struct civil c;
    char *said = json_is_null(detail) ? NULL : json_dumps(detail, JSON_COMPACT | JSON_ENCODE_ANY),
         *why = inputs ? json_dumps(inputs, JSON_COMPACT) : NULL;

    zone_local(t->zone, json_integer_value(json_array_get(line, 0)), &c);
    printf("%04d-%02d-%02d %02d:%02d:%02d  %-20s %-10s %s%s%s%s%s\n", c.year, c.month, c.day, c.hour, c.minute,
           c.second, step && *step ? step : "-", json_string_value(json_array_get(line, 4)), said ? said : "",
           why ? "  " : "", why ? why : "", fault ? "  BUT: " : "", fault ? fault : "");
    free(said);
    free(why);
}

/* ---------------------------------------------------------------- once more */

/* The definition with which it began. */
static const struct sequence *definition_of(struct cli *c, const json_t *lines)
{
    struct sequences *sq = c->service->sequences;
    const json_t *first = json_array_get(lines, 0);
    const char *version = json_string_value(json_object_get(json_array_get(first, 6), "version"));
    struct cli_answer a = { 0 };

    if (!version)
        return NULL;
    if (!sequences_knows(sq, version)) {
        store_definition(c->service->store, version, on_text, &a);
        cli_wait(c, &a);
        char *text = json_dumps(a.result, JSON_COMPACT);
        sequences_learn(sq, version, text);
        free(text);
        json_decref(a.result);
    }
    return sequences_find(sq, "", version);
}

/* It was somebody else's before they were merged. */
static bool has_moved(const json_t *lines)
{
    json_t *line;
    bool moved = false;
    size_t i;

    json_array_foreach ((json_t *)lines, i, line)
        moved |= g_strcmp0(json_string_value(json_array_get(line, 4)), effect_names[EFFECT_MOVED]) == 0;
    return moved;
}

static int tell_run(struct telling *t, const json_t *lines, bool replay)
{
    const struct sequence *q = replay ? definition_of(t->cli, lines) : NULL;
    json_t *line;
    size_t i;
    int faults = 0;

    if (replay && !q)
        return cli_fail("the beginning of this run is not in the trace any more, or its definition is gone");
    const char *drawn = has_moved(lines) ? NULL : t->recipient;
    json_array_foreach ((json_t *)lines, i, line) {
        g_autofree char *fault = replay ? rerun_fault(q, drawn, &t->almanac, line) : NULL;
        faults += fault != NULL;
        if (!t->cli->json)
            print_line(t, line, fault);
        else if (fault)
            json_array_append_new(line, json_string(fault));
    }
    if (t->cli->json)
        cli_print(lines);
    else if (replay)
        printf("%zu decision(s) made again, %d came out otherwise\n", json_array_size(lines), faults);
    return faults ? 1 : 0;
}

int sequence_why(struct cli *c, const char *run, const char *recipient, bool replay)
{
    g_autofree char *found = recipient ? g_strdup(recipient) : find_recipient(c, run);
    json_auto_t *lines = found ? lines_of(c, found, run) : NULL;
    struct telling t = { .cli = c, .recipient = found };

    if (json_array_size(lines) == 0)
        return cli_fail("there is no trace of a run %s", run);
    look_at_person(&t);
    if (!c->json)
        printf("run %s of %s, sequence %s; times are in %s\n", run, found,
               json_string_value(json_array_get(json_array_get(lines, 0), 2)), zone_name(t.zone));
    return tell_run(&t, lines, replay);
}
