#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/cli/cli.h"
#include "dispatcher/cli/stream.h"
#include "dispatcher/config/yaml.h"
#include "dispatcher/journeys/bulk.h"
#include "dispatcher/journeys/events.h"
#include "dispatcher/journeys/funnel.h"
#include "dispatcher/journeys/live.h"
#include "dispatcher/journeys/sequences.h"
#include "dispatcher/journeys/standing.h"
#include "dispatcher/journeys/waves.h"
#include "dispatcher/simulator/world.h"
#include "schedules/duration.h"

#define CONNECT_TIMEOUT 8.0

static gboolean opt_quiet, opt_again, opt_strict;
static gboolean opt_entry, opt_dry, opt_replay, opt_live;
static char **opt_map;
static char *opt_version, *opt_recipient, *opt_data, *opt_id, *opt_messages, *opt_waits, *opt_where, *opt_confirm;
const GOptionEntry event_options[] = {
    { "quiet", 'q', 0, G_OPTION_ARG_NONE, &opt_quiet, "one line at the end instead of an answer to each", NULL },
    { 0 },
};
const GOptionEntry sequence_options[] = {
    { "recipient", 0, 0, G_OPTION_ARG_STRING, &opt_recipient, "enroll, exit: whom", "R" },
    { "data", 0, 0, G_OPTION_ARG_STRING, &opt_data, "enroll: what the trigger's data would be", "JSON" },
    { "id", 0, 0, G_OPTION_ARG_STRING, &opt_id, "enroll: the same id again does nothing", "ID" },
    { "where", 0, 0, G_OPTION_ARG_STRING, &opt_where,
      "enroll, exit: everybody whom it meets, like '{recipient.role: admin}'; counts, and says a token", "COND" },
    { "confirm", 0, 0, G_OPTION_ARG_STRING, &opt_confirm, "enroll, exit: does it, for those who were counted",
      "TOKEN" },
    { "again", 0, 0, G_OPTION_ARG_NONE, &opt_again, "enroll: also whoever has been in it", NULL },
    { "version", 0, 0, G_OPTION_ARG_STRING, &opt_version, "report: only of this version", "V" },
    { "map", 0, 0, G_OPTION_ARG_STRING_ARRAY, &opt_map, "migrate: where who stands in a step goes", "OLD=NEW" },
    { "dry-run", 0, 0, G_OPTION_ARG_NONE, &opt_dry, "migrate: only says what would be", NULL },
    { "replay", 0, 0, G_OPTION_ARG_NONE, &opt_replay,
      "why: each decision once more; exit status 1 when one comes out otherwise", NULL },
    { "entry", 0, 0, G_OPTION_ARG_NONE, &opt_entry, "pause: only the entry; runs go on", NULL },
    { "messages", 0, 0, G_OPTION_ARG_STRING, &opt_messages, "pause: hold, keep or cancel what is enqueued", "HOW" },
    { "waits", 0, 0, G_OPTION_ARG_STRING, &opt_waits,
      "resume: keep the instants, shift them by the pause, or restart the waits", "HOW" },
    { "strict", 0, 0, G_OPTION_ARG_NONE, &opt_strict, "check: warnings count as errors", NULL },
    { "live", 0, 0, G_OPTION_ARG_NONE, &opt_live,
      "check: asks the store, too: events that never came, attributes that nobody has, how many people meet \"enters\"",
      NULL },
    { 0 },
};

/* ---------------------------------------------------------------- findings */

struct findings {
    struct cli *cli;
    char **only; /* names, NULL for all */
    json_t *list;
    int errors, warnings;
};

/* "…/welcome.yaml:7" is about welcome. */
static bool is_about(const char *place, char **names)
{
    g_autofree char *base = g_path_get_basename(place);
    char *dot = strstr(base, ".yaml");

    if (dot)
        *dot = '\0';
    return !names || g_strv_contains((const char *const *)names, base);
}

static void on_finding(void *arg, bool error, const char *place, const char *what)
{
    struct findings *f = arg;

    if (!is_about(place, f->only))
        return;
    f->errors += error;
    f->warnings += !error;
    if (f->cli && f->cli->json)
        json_array_append_new(
            f->list, json_pack("{s:s, s:s, s:s}", "level", error ? "error" : "warning", "place", place, "what", what));
    else
        fprintf(stderr, "%s: %s: %s\n", place, error ? "error" : "warning", what);
}

/* ---------------------------------------------------------------- check */

static void print_longest(const struct sequence *q)
{
    struct longest l = sequence_longest(q);
    double days = (double)l.ms / (double)DAY_MS;

    printf("%s: %.*f days and %d message%s at the longest%s, version %s\n", q->name, days < 10 && l.ms % DAY_MS ? 1 : 0,
           days, l.messages, l.messages == 1 ? "" : "s", l.open ? ", besides waits for dates in the data" : "",
           q->version);
}

static bool is_file(const struct cli *c, const char *name)
{
    g_autofree char *dir = config_path(c->service->config, c->service->config->root, "sequences"),
                    *base = g_strconcat(name, ".yaml", NULL), *file = g_build_filename(dir, base, NULL);
    return g_file_test(file, G_FILE_TEST_EXISTS);
}

/* Everybody who meets the condition of a trigger today, and how many of them would begin. */
static bool print_meeting(struct cli *c, const struct sequence *q, const json_t *enters)
{
    struct cli_answer a = { 0 };
    json_auto_t *errors = json_array(), *how = json_pack("{s:O}", "where", (json_t *)enters);

    if (!bulk_enroll(c->service, q->name, how, errors, on_cli_answer, &a))
        return true;
    cli_wait(c, &a);
    json_auto_t *figures = a.result;
    if (a.ok && !c->json)
        printf("%s: %lld people meet \"enters\" today, %lld of them would begin\n", q->name,
               (long long)json_integer_value(json_object_get(figures, "matching")),
               (long long)json_integer_value(json_object_get(figures, "would_enroll")));
    return a.ok;
}

static bool print_entering(struct cli *c, const struct sequence *q)
{
    json_t *trigger = json_object_get(q->definition, "trigger"), *one;
    bool ok = !json_is_object(trigger) || !json_object_get(trigger, "enters") ||
              print_meeting(c, q, json_object_get(trigger, "enters"));
    size_t i;

    json_array_foreach (trigger, i, one)
        if (ok && json_object_get(one, "enters"))
            ok = print_meeting(c, q, json_object_get(one, "enters"));
    return ok;
}

/* What has come, to hold the definitions against it. */
static bool take_facts(struct cli *c, struct sequences *sq)
{
    struct cli_answer a = { 0 };

    live_facts(c->service, on_cli_answer, &a);
    cli_wait(c, &a);
    json_auto_t *facts = a.result;
    if (a.ok)
        sequences_compare(sq, facts);
    return a.ok;
}

static int tell_check(struct cli *c, const struct sequences *sq, const struct findings *f)
{
    bool ok = true;

    for (guint i = 0; i < sequences_current(sq)->len; i++) {
        const struct sequence *q = sequences_current(sq)->pdata[i];
        bool asked = !f->only || g_strv_contains((const char *const *)f->only, q->name);
        if (asked && !c->json)
            print_longest(q);
        if (asked && opt_live)
            ok &= print_entering(c, q);
    }
    if (c->json)
        cli_print(f->list);
    else
        printf("%d error(s), %d warning(s)\n", f->errors, f->warnings);
    return !ok ? cli_answer_failed() : f->errors || (opt_strict && f->warnings) ? 1 : 0;
}

static int check_with_store(struct cli *c, struct findings *f)
{
    g_autofree char *why = NULL;
    int status;

    if (!service_connect(c->service, 0, CONNECT_TIMEOUT, &why))
        return cli_fail("%s", why);
    struct sequences *sq = sequences_open(c->service, NULL, NULL);
    if (take_facts(c, sq)) {
        sequences_reload(sq, on_finding, f);
        status = tell_check(c, sq, f);
    } else {
        status = cli_answer_failed();
    }
    service_disconnect(c->service);
    sequences_free(sq);
    return status;
}

static int sequence_check(struct cli *c)
{
    json_auto_t *list = json_array();
    struct findings f = { c, c->argc > 1 ? c->argv + 1 : NULL, list, 0, 0 };

    for (int i = 1; i < c->argc; i++)
        if (!is_file(c, c->argv[i]))
            return cli_fail("there is no sequence %s", c->argv[i]);
    if (opt_live)
        return check_with_store(c, &f);
    struct sequences *sq = sequences_open(c->service, on_finding, &f);
    int status = tell_check(c, sq, &f);
    sequences_free(sq);
    return status;
}

/* ---------------------------------------------------------------- events */

static void on_event(void *arg, const struct intake_answer *a)
{
    stream_answer(arg, json_copy((json_t *)a->body), a->status == 202);
}

static void event_line(struct cli *c, const char *text, size_t len, struct stream_line *line, void *arg)
{
    event_text(c->service, text, len, &(struct intake_origin){ .door = "cli", .source = "" }, on_event, line);
}

int cmd_event(struct cli *c)
{
    if (c->argc > 1)
        return cli_usage(c, "one file at a time");
    /* with a file left out an event would be known, and its run never begin */
    struct findings f = { .cli = NULL };
    struct sequences *sq = sequences_open(c->service, on_finding, &f);
    if (f.errors) {
        sequences_free(sq);
        return cli_fail(
            "no event is taken here while a sequence is broken; the service, which may still know it, takes them");
    }
    int status =
        stream_run(c, c->argc ? c->argv[0] : "-", &(struct stream_options){ .quiet = opt_quiet }, event_line, NULL);
    sequences_free(sq);
    return status;
}

/* ---------------------------------------------------------------- one person */

struct answered {
    bool done;
    int status;
    json_t *body;
};

static void on_answer(void *arg, const struct intake_answer *a)
{
    struct answered *answer = arg;

    *answer = (struct answered){ true, a->status, json_deep_copy(a->body) };
}

static int print_answer(struct cli *c, struct answered *a)
{
    ev_now_update(c->loop);
    while (!a->done)
        ev_run(c->loop, EVRUN_ONCE);
    json_auto_t *body = a->body;
    if (a->status >= 300) {
        const json_t *first = json_array_get(json_object_get(body, "errors"), 0);
        const char *detail = json_string_value(json_object_get(body, "detail")),
                   *more = json_string_value(json_object_get(first, "detail"));
        return cli_fail("%s%s%s", detail ? detail : "refused", more ? ": " : "", more ? more : "");
    }
    cli_print(body);
    return 0;
}

/* What a change of many answers. */
static int print_figures(struct cli *c, struct cli_answer *a)
{
    cli_wait(c, a);
    json_auto_t *figures = a->result;
    if (!a->ok)
        return cli_answer_failed();
    if (json_object_get(figures, "stale"))
        return cli_fail(BULK_STALE);
    cli_print(figures);
    if (json_array_size(json_object_get(figures, "lost")))
        return cli_fail("the partitions in \"lost\" did not answer, and may go by what was before: repeat it");
    return 0;
}

static int do_many(struct cli *c, const char *name, standing_fn *change)
{
    struct cli_answer a = { 0 };
    g_autofree char *why = NULL;
    json_auto_t *where = yaml_parse("--where", opt_where, strlen(opt_where), YAML_TYPED, NULL, &why),
                *errors = json_array(), *how = json_pack("{s:O*, s:s*}", "where", where, "confirm", opt_confirm);

    if (!where)
        return cli_fail("%s", why);
    if (opt_again)
        json_object_set_new(how, "again", json_true());
    if (!change(c->service, name, how, errors, on_cli_answer, &a)) {
        const json_t *first = json_array_get(errors, 0);
        return cli_fail("%s", json_string_value(json_object_get(first, "detail")));
    }
    return print_figures(c, &a);
}

static int sequence_enroll(struct cli *c, const char *name)
{
    struct answered a = { 0 };
    json_auto_t *data = opt_data ? json_loads(opt_data, JSON_REJECT_DUPLICATES, NULL) : json_object();
    json_auto_t *body = json_pack("{s:s, s:o*}", "recipient", opt_recipient, "id", opt_id ? json_string(opt_id) : NULL);

    if (opt_where)
        return do_many(c, name, bulk_enroll);
    if (!data)
        return cli_usage(c, "--data is no JSON");
    json_object_set(body, "data", data);
    if (!sequences_find(c->service->sequences, name, NULL))
        return cli_fail("there is no sequence %s", name);
    char *text = json_dumps(body, JSON_COMPACT);
    event_enroll(c->service, name, text, strlen(text), opt_again,
                 &(struct intake_origin){ .door = "cli", .source = "" }, on_answer, &a);
    free(text);
    return print_answer(c, &a);
}

static int sequence_exit(struct cli *c, const char *name)
{
    struct answered a = { 0 };

    if (opt_where)
        return do_many(c, name, bulk_exit);
    event_leave(c->service, name, opt_recipient, on_answer, &a);
    return print_answer(c, &a);
}

static json_t *running_of(struct cli *c, bool *ok)
{
    struct cli_answer a = { 0 };

    store_running(c->service->store, on_cli_answer, &a);
    cli_wait(c, &a);
    *ok = a.ok;
    return a.result;
}

/* ---------------------------------------------------------------- how a sequence stands */

static int change_standing(struct cli *c, const char *name, standing_fn *change, json_t *how)
{
    struct cli_answer a = { 0 };
    json_auto_t *errors = json_array(), *taken = how;
    bool ok;
    json_auto_t *running = running_of(c, &ok);

    if (!ok)
        return cli_answer_failed();
    if (!sequences_find(c->service->sequences, name, NULL) && !json_object_get(running, name))
        return cli_fail("there is no sequence %s", name);

    if (!change(c->service, name, taken, errors, on_cli_answer, &a)) {
        g_autofree char *why = cli_complaint(errors);
        return cli_fail("%s", why);
    }
    return print_figures(c, &a);
}

static int sequence_pause(struct cli *c, const char *name)
{
    return change_standing(c, name, standing_pause,
                           json_pack("{s:b, s:s*}", "entry", (int)opt_entry, "messages", opt_messages));
}

static int sequence_resume(struct cli *c, const char *name)
{
    return change_standing(c, name, standing_resume, json_pack("{s:s*}", "waits", opt_waits));
}

static int sequence_migrate(struct cli *c, const char *name)
{
    json_t *map = json_object();

    for (char **one = opt_map; one && *one; one++) {
        g_auto(GStrv) words = g_strsplit(*one, "=", 2);
        if (!words[0] || !words[1]) {
            json_decref(map);
            return cli_usage(c, "--map is written old_step=new_step");
        }
        json_object_set_new(map, words[0], json_string(words[1]));
    }
    return change_standing(c, name, standing_migrate,
                           json_pack("{s:s*, s:o, s:b}", "from", sequence_from(), "map", map, "dry_run", (int)opt_dry));
}

static int sequence_stop(struct cli *c, const char *name)
{
    return change_standing(c, name, standing_stop, json_object());
}

/* ---------------------------------------------------------------- waves */

static void print_wave(const json_t *w)
{
    const json_t *why = json_object_get(w, "why");
    const char *gate = json_string_value(json_object_get(w, "gate"));
    json_t *one;
    size_t i;

    printf("%-24s %-7s %8lld at the door %8lld let in %8lld settled%s%s\n",
           json_string_value(json_object_get(w, "name")), json_string_value(json_object_get(w, "state")),
           (long long)json_integer_value(json_object_get(w, "door")),
           (long long)json_integer_value(json_object_get(w, "released")),
           (long long)json_integer_value(json_object_get(w, "settled")), gate ? "  gate: " : "", gate ? gate : "");
    json_array_foreach ((json_t *)why, i, one)
        printf("%25s%s\n", "", json_string_value(one));
}

static int wave_status(struct cli *c, const char *name)
{
    struct cli_answer a = { 0 };
    json_t *wave;
    size_t i;

    if (!waves_status(c->service, name, on_cli_answer, &a))
        return cli_fail("there is no sequence %s that has waves", name);
    cli_wait(c, &a);
    json_auto_t *status = a.result;
    if (!a.ok)
        return cli_answer_failed();
    if (c->json)
        cli_print(status);
    json_array_foreach (json_object_get(status, "waves"), i, wave)
        if (!c->json)
            print_wave(wave);
    return 0;
}

static int wave_do(struct cli *c, const char *name)
{
    bool opens = strcmp(c->argv[1], "open") == 0;
    json_t *how = json_pack("{s:s}", "wave", c->argv[3]);

    if (sequence_all())
        json_object_set_new(how, "all", json_true());
    return change_standing(c, name, opens ? wave_open : wave_hold, how);
}

/* ---------------------------------------------------------------- all of them */

static int sequence_list(struct cli *c, const char *name)
{
    bool ok;
    json_auto_t *running = running_of(c, &ok), *list = ok ? sequences_json(c->service->sequences, running) : NULL;
    json_t *one;
    size_t i;

    if (!ok)
        return cli_answer_failed();
    if (c->json) {
        cli_print(list);
        return 0;
    }
    json_array_foreach (list, i, one) {
        const char *version = json_string_value(json_object_get(one, "version")),
                   *title = json_string_value(json_object_get(one, "title"));
        printf("%-24s %-12s %8lld running  %s\n", json_string_value(json_object_get(one, "name")),
               version ? version : "(no file)", (long long)json_integer_value(json_object_get(one, "running")),
               title ? title : "");
    }
    return 0;
}

static void print_counts(const char *title, const json_t *counts)
{
    const char *name;
    json_t *n;

    json_object_foreach ((json_t *)counts, name, n)
        printf("  %-22s %-28s %10lld\n", title, name, (long long)json_integer_value(n));
}

static void print_share(const char *title, const json_t *share)
{
    if (json_is_object(share))
        printf("%-14s %lld of %lld, %.1f %% (%.1f to %.1f)\n", title,
               (long long)json_integer_value(json_object_get(share, "reached")),
               (long long)json_integer_value(json_object_get(share, "of")),
               100 * json_number_value(json_object_get(share, "rate")),
               100 * json_number_value(json_object_get(share, "low")),
               100 * json_number_value(json_object_get(share, "high")));
}

static void print_lift(const json_t *report)
{
    if (json_is_number(json_object_get(report, "lift")))
        printf("%-14s %+.1f points (%+.1f to %+.1f)\n", "lift",
               100 * json_number_value(json_object_get(report, "lift")),
               100 * json_number_value(json_object_get(report, "lift_low")),
               100 * json_number_value(json_object_get(report, "lift_high")));
}

static void print_lapse(const char *title, const json_t *lapse)
{
    char median[48], most[48];

    if (json_is_object(lapse))
        printf("%-14s half of %lld within %s, nine in ten within %s\n", title,
               (long long)json_integer_value(json_object_get(lapse, "of")),
               duration_format(median, (int64_t)(json_number_value(json_object_get(lapse, "median"))) * SECOND_MS),
               duration_format(most, (int64_t)(json_number_value(json_object_get(lapse, "p90"))) * SECOND_MS));
}

/* A world file for rehearsals, from what people have done. */
static int sequence_world(struct cli *c, const char *name)
{
    struct cli_answer a = { 0 };
    const struct sequence *q = sequences_find(c->service->sequences, name, NULL);

    if (!q)
        return cli_fail("there is no sequence %s", name);
    store_counted(c->service->store, name, on_cli_answer, &a);
    cli_wait(c, &a);
    json_auto_t *counted = a.result;
    if (!a.ok)
        return cli_answer_failed();
    json_auto_t *report = funnel_make(name, counted, NULL);
    g_autofree char *text = world_from(q, report);
    fputs(text, stdout);
    return 0;
}

static int sequence_report(struct cli *c, const char *name)
{
    struct cli_answer a = { 0 };
    const struct sequence *q = sequences_find(c->service->sequences, name, NULL);

    store_counted(c->service->store, name, on_cli_answer, &a);
    cli_wait(c, &a);
    json_auto_t *counted = a.result;
    if (!a.ok)
        return cli_answer_failed();
    if (!q && json_object_size(counted) == 0)
        return cli_fail("there is no sequence %s", name);
    json_auto_t *report = funnel_make(name, counted, opt_version);
    if (c->json) {
        cli_print(report);
        return 0;
    }
    printf("%s: %lld entered\n", name, (long long)json_integer_value(json_object_get(report, "enrolled")));
    print_share("goal", json_object_get(report, "goal"));
    print_share("held out", json_object_get(report, "holdout"));
    print_lift(report);
    print_lapse("time to goal", json_object_get(report, "time_to_goal"));
    print_lapse("held out", json_object_get(report, "holdout_time_to_goal"));
    for (guint i = 0; q && i < q->steps->len; i++) {
        const char *step = ((const struct step *)q->steps->pdata[i])->id;
        print_counts(step, json_object_get(json_object_get(report, "steps"), step));
        print_lapse(step, json_object_get(json_object_get(report, "time_in_step"), step));
    }
    print_counts("left", json_object_get(report, "left"));
    print_counts("not enrolled", json_object_get(report, "not_enrolled"));
    return 0;
}

static void print_steps(const struct sequence *q)
{
    for (guint i = 0; i < q->steps->len; i++) {
        const struct step *step = q->steps->pdata[i];
        int depth = 1;
        for (const struct step *up = step->up; up; up = up->up)
            depth++;
        const char *template = json_string_value(json_object_get(step->message, "template"));
        printf("%*s%-*s %s%s%s\n", depth * 2, "", 34 - depth * 2, step->id, step_kind_names[step->kind],
               template ? " " : "",
               template     ? template
               : step->name ? step->name
                            : "");
    }
}

static int sequence_show(struct cli *c, const char *name)
{
    const struct sequence *q = sequences_find(c->service->sequences, name, NULL);
    bool ok;

    if (!q)
        return cli_fail("there is no sequence %s", name);
    json_auto_t *running = running_of(c, &ok);
    if (!ok)
        return cli_answer_failed();
    json_int_t n = json_integer_value(json_object_get(running, name));
    if (c->json) {
        json_auto_t *whole = json_pack("{s:s, s:s, s:I, s:O}", "name", name, "version", q->version, "running", n,
                                       "definition", q->definition);
        cli_print(whole);
        return 0;
    }
    printf("%s  version %s, %lld running\n%s\n", name, q->version, (long long)n, q->title ? q->title : "");
    print_steps(q);
    return 0;
}

/* ---------------------------------------------------------------- the command */

static int run_why(struct cli *c, const char *run)
{
    return sequence_why(c, run, opt_recipient, opt_replay);
}

typedef int with_store_fn(struct cli *, const char *name);

static int with_store(struct cli *c, with_store_fn *run, const char *name)
{
    struct findings f = { NULL, (char *[]){ (char *)(name ? name : ""), NULL }, NULL, 0, 0 };
    char *why = NULL;
    int status;

    if (!service_connect(c->service, 0, CONNECT_TIMEOUT, &why)) {
        status = cli_fail("%s", why);
        g_free(why);
        return status;
    }
    struct sequences *sq = sequences_open(c->service, on_finding, &f);
    status = run(c, name);
    service_disconnect(c->service);
    sequences_free(sq);
    return status;
}

static const struct word {
    const char *word;
    with_store_fn *run;
    bool person; /* needs --recipient */
} words[] = {
    { "show", sequence_show, false },   { "report", sequence_report, false }, { "enroll", sequence_enroll, true },
    { "exit", sequence_exit, true },    { "pause", sequence_pause, false },   { "resume", sequence_resume, false },
    { "world", sequence_world, false }, { "stop", sequence_stop, false },     { "migrate", sequence_migrate, false },
};

int cmd_sequence(struct cli *c)
{
    const char *what = c->argc ? c->argv[0] : "", *name = c->argc == 2 ? c->argv[1] : NULL;

    if (strcmp(what, "check") == 0)
        return sequence_check(c);
    if (strcmp(what, "simulate") == 0 && c->argc <= 2)
        return sequence_simulate(c, name);
    if (strcmp(what, "why") == 0 && name)
        return with_store(c, run_why, name);
    if (strcmp(what, "wave") == 0 && c->argc == 3 && strcmp(c->argv[1], "status") == 0)
        return with_store(c, wave_status, c->argv[2]);
    if (strcmp(what, "wave") == 0 && c->argc == 4 &&
        (strcmp(c->argv[1], "open") == 0 || strcmp(c->argv[1], "hold") == 0))
        return with_store(c, wave_do, c->argv[2]);
    if (strcmp(what, "wave") == 0)
        return cli_usage(c, "wave needs status NAME, open NAME WAVE or hold NAME WAVE");
    if (strcmp(what, "list") == 0 && c->argc == 1)
        return with_store(c, sequence_list, NULL);
    for (size_t i = 0; name && i < G_N_ELEMENTS(words); i++)
        if (strcmp(words[i].word, what) == 0)
            return words[i].person && !opt_recipient == !opt_where
                       ? cli_usage(c, "%s needs --recipient or --where", what)
                       : with_store(c, words[i].run, name);
    return cli_usage(
        c, "needs check, list, simulate, wave, why RUN, or one of show, report, enroll, exit, pause, resume, stop "
           "and migrate with a "
           "NAME");
}
