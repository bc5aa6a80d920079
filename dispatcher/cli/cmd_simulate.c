#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dispatcher/cli/cli.h"
#include "dispatcher/base/clock.h"
#include "dispatcher/base/figures.h"
#include "dispatcher/cli/import.h"
#include "dispatcher/config/yaml.h"
#include "dispatcher/journeys/waves.h"
#include "dispatcher/simulator/cohort.h"
#include "dispatcher/simulator/page.h"
#include "dispatcher/simulator/report.h"
#include "dispatcher/simulator/stage.h"
#include "dispatcher/store/rehearsal.h"
#include "schedules/instant.h"

#define CONNECT_TIMEOUT 8.0

static char *opt_cohort, *opt_events, *opt_world, *opt_seed, *opt_store, *opt_from, *opt_to, *opt_html, *opt_against,
    *opt_explain, **opt_expect;
static gboolean opt_all;
const GOptionEntry simulate_options[] = {
    { "cohort", 0, 0, G_OPTION_ARG_FILENAME, &opt_cohort, "simulate: people, as recipient import reads them", "FILE" },
    { "events", 0, 0, G_OPTION_ARG_FILENAME, &opt_events,
      "simulate: what happens, as NDJSON, each with \"at\": events; {\"sequence\", \"recipient\"} enrols, with "
      "\"wave\" "
      "and \"do\" opens or holds; {\"recipient\", \"category\", \"state\"} is a consent; recipient \"*\" is everybody; "
      "without it the cohort is enrolled",
      "FILE" },
    { "from-store", 0, 0, G_OPTION_ARG_STRING, &opt_store,
      "simulate: people of the store whom it meets, like '{recipient.role: admin}', with their consents, histories, "
      "runs "
      "and what is pending for them; read only, from now on",
      "COND" },
    { "world", 0, 0, G_OPTION_ARG_FILENAME, &opt_world,
      "simulate: what providers answer and people do: outcomes, engagement, react", "FILE" },
    { "seed", 0, 0, G_OPTION_ARG_STRING, &opt_seed, "simulate: another one draws another world", "TEXT" },
    { "from", 0, 0, G_OPTION_ARG_STRING, &opt_from, "simulate: a date, or RFC 3339; migrate: only runs of this version",
      "T" },
    { "to", 0, 0, G_OPTION_ARG_STRING, &opt_to, "simulate: likewise", "T" },
    { "all", 0, 0, G_OPTION_ARG_NONE, &opt_all,
      "simulate: all sequences together; wave hold: what is enqueued waits, too", NULL },
    { "html", 0, 0, G_OPTION_ARG_FILENAME, &opt_html, "simulate: the report as a page", "OUT" },
    { "against", 0, 0, G_OPTION_ARG_FILENAME, &opt_against, "simulate: another version of a sequence, to compare with",
      "FILE" },
    { "expect", 0, 0, G_OPTION_ARG_STRING_ARRAY, &opt_expect,
      "simulate: \"messages.per_person.max <= 6\", or a file with such lines; exit status 1 when one does not hold",
      "WHAT" },
    { "explain", 0, 0, G_OPTION_ARG_STRING, &opt_explain, "simulate: only this person's lines", "ID" },
    { 0 },
};

const char *sequence_from(void)
{
    return opt_from;
}

bool sequence_all(void)
{
    return opt_all;
}

/* ---------------------------------------------------------------- what was asked */

/* "2026-12-01", in the default zone, or an instant. */
static bool read_time(const struct service *s, const char *text, int64_t *ms)
{
    json_auto_t *value = json_string(text);
    return time_read(ms, value, s->default_zone);
}

static void print_finding(void *arg, bool error, const char *place, const char *what)
{
    if (error)
        fprintf(stderr, "%s: error: %s\n", place, what);
}

/* ---------------------------------------------------------------- events */

static json_t *everybody(struct cli *c)
{
    struct cli_answer a = { 0 };

    store_everybody(c->service->store, on_cli_answer, &a);
    cli_wait(c, &a);
    return a.result ? a.result : json_array();
}

/* An event; or {"sequence"}: an enrolment, with "wave" a command; or {"category", "state"}: a consent. */
static void add_line(struct stage *stage, int64_t ms, json_t *line)
{
    g_autofree char *sequence = g_strdup(json_string_value(json_object_get(line, "sequence")));
    bool consent = json_object_get(line, "state") && !json_object_get(line, "name");
    char *text;

    if (sequence || consent)
        json_object_del(line, "at");
    json_object_del(line, "sequence");
    text = json_dumps(line, JSON_COMPACT);
    if (sequence && json_object_get(line, "wave"))
        stage_wave(stage, ms, sequence, text);
    else if (sequence)
        stage_enroll(stage, ms, sequence, text);
    else if (consent)
        stage_consent(stage, ms, text);
    else
        stage_event(stage, ms, text);
    free(text);
}

/* NULL when content. */
static char *add_event(struct cli *c, struct stage *stage, const json_t *event, const json_t *people)
{
    const char *recipient = json_string_value(json_object_get(event, "recipient")),
               *at = json_string_value(json_object_get(event, "at"));
    int64_t ms;

    if (!at || instant_parse(&ms, at) != NULL)
        return g_strdup("needs \"at\": when it happens, RFC 3339");
    for (size_t i = 0; i < (g_strcmp0(recipient, "*") == 0 ? json_array_size(people) : 1); i++) {
        json_auto_t *one = json_copy((json_t *)event);
        if (g_strcmp0(recipient, "*") == 0)
            json_object_set(one, "recipient", json_array_get(people, i));
        add_line(stage, ms, one);
    }
    return NULL;
}

static int add_events(struct cli *c, struct stage *stage, const char *file, const json_t *people)
{
    g_autofree char *text = NULL;
    GError *error = NULL;
    int status = 0;

    if (!g_file_get_contents(file, &text, NULL, &error)) {
        status = cli_fail("%s", error->message);
        g_error_free(error);
        return status;
    }
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (int i = 0; lines[i] && !status; i++) {
        json_auto_t *event = *g_strstrip(lines[i]) ? json_loads(lines[i], JSON_REJECT_DUPLICATES, NULL) : NULL;
        g_autofree char *why = !*lines[i] ? NULL
                               : event    ? add_event(c, stage, event, people)
                                          : g_strdup("is no JSON object");
        if (why)
            status = cli_fail("%s:%d: %s", file, i + 1, why);
    }
    return status;
}

static void enroll_all(struct stage *stage, int64_t at, const char *sequence, const json_t *people)
{
    json_t *person;
    size_t i;

    json_array_foreach ((json_t *)people, i, person) {
        json_auto_t *body = json_pack("{s:O}", "recipient", person);
        char *text = json_dumps(body, JSON_COMPACT);
        stage_enroll(stage, at, sequence, text);
        free(text);
    }
}

/* ---------------------------------------------------------------- telling */

static void print_person(const json_t *person)
{
    json_t *line;
    size_t i;

    printf("%s (%s)\n", json_string_value(json_object_get(person, "recipient")),
           json_string_value(json_object_get(person, "timezone")));
    json_array_foreach (json_object_get(person, "entries"), i, line) {
        static const char *const words[] = { "local", "sequence", "step", "what", "channel", "template" };
        const json_t *detail = json_object_get(line, "detail");
        printf(" ");
        for (size_t w = 0; w < G_N_ELEMENTS(words); w++) {
            const char *word = json_string_value(json_object_get(line, words[w]));
            if (word)
                printf(" %s%s", word, w == 0 ? " " : "");
        }
        char *text = detail && !json_is_null(detail) ? json_dumps(detail, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
        printf("%s%s\n", text ? "  " : "", text ? text : "");
        free(text);
    }
}

static void print_counts(const char *title, const json_t *counts)
{
    const char *name;
    json_t *n;

    json_object_foreach ((json_t *)counts, name, n)
        if (json_is_integer(n))
            printf("  %-14s %-28s %8lld\n", title, name, (long long)json_integer_value(n));
}

static void print_summary(const json_t *report)
{
    const json_t *m = json_object_get(report, "messages");
    const char *name;
    json_t *one;

    printf("%lld people, %lld messages, at most %lld for one person and %lld on one day\n",
           (long long)json_integer_value(json_object_get(report, "people")),
           (long long)json_integer_value(json_object_get(m, "sent")),
           (long long)json_integer_value(json_object_get(json_object_get(m, "per_person"), "max")),
           (long long)json_integer_value(json_object_get(json_object_get(m, "per_day"), "max")));
    print_counts("sent", json_object_get(m, "by_template"));
    print_counts("deferred by", json_object_get(m, "deferred"));
    print_counts("not sent", json_object_get(m, "not_sent"));
    json_object_foreach (json_object_get(report, "sequences"), name, one) {
        printf("%s: %lld entered, %lld reached the goal\n", name,
               (long long)json_integer_value(json_object_get(one, "enrolled")),
               (long long)json_integer_value(json_object_get(one, "goal")));
        print_counts("left", json_object_get(one, "left"));
        print_counts("not enrolled", json_object_get(one, "not_enrolled"));
    }
}

static void print_changes(const json_t *changes)
{
    json_t *one;
    size_t i;

    json_array_foreach ((json_t *)changes, i, one) {
        const char *was = json_string_value(json_object_get(one, "was")),
                   *is = json_string_value(json_object_get(one, "is"));
        printf("%s: %s %s/%s %s: %s%s%s\n", json_string_value(json_object_get(one, "recipient")),
               json_string_value(json_object_get(one, "change")), json_string_value(json_object_get(one, "sequence")),
               json_string_value(json_object_get(one, "step")), json_string_value(json_object_get(one, "template")),
               was ? was : "", was && is ? " -> " : "", is ? is : "");
    }
    printf("%zu change(s)\n", json_array_size(changes));
}

static void print_text(const json_t *report)
{
    json_t *person;
    size_t i;

    json_array_foreach (json_object_get(report, "timeline"), i, person)
        if (!opt_explain || strcmp(opt_explain, json_string_value(json_object_get(person, "recipient"))) == 0)
            print_person(person);
    if (json_object_get(report, "changes"))
        print_changes(json_object_get(report, "changes"));
    print_summary(report);
}

static int write_page(const json_t *report, const char *names)
{
    g_autofree char *title = g_strdup_printf("Rehearsal of %s", names), *page = page_write(report, title);
    GError *error = NULL;

    if (g_file_set_contents(opt_html, page, -1, &error))
        return 0;
    int status = cli_fail("%s", error->message);
    g_error_free(error);
    return status;
}

/* ---------------------------------------------------------------- expectations */

static int expect(const json_t *report, const char *what)
{
    g_autofree char *why = report_expects(report, what);
    return why ? cli_fail("expected %s: %s", what, why) : 0;
}

static int check_expectations(const json_t *report)
{
    int status = 0;

    for (char **e = opt_expect; e && *e; e++) {
        g_autofree char *text = NULL;
        if (!g_file_get_contents(*e, &text, NULL, NULL)) {
            status |= expect(report, *e);
            continue;
        }
        g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
        for (char **line = lines; *line; line++)
            if (*g_strstrip(*line) && **line != '#')
                status |= expect(report, *line);
    }
    return status;
}

/* ---------------------------------------------------------------- against another version */

static bool copy_file(const char *from, const char *dir, const char *base)
{
    g_autofree char *text = NULL, *to = g_build_filename(dir, base, NULL);
    gsize len;

    return g_file_get_contents(from, &text, &len, NULL) && g_file_set_contents(to, text, (gssize)len, NULL);
}

/* The folder of sequences, with the other file in the place of its namesake. */
static char *folder_against(struct cli *c, const char *name)
{
    g_autofree char *from = config_path(c->service->config, c->service->config->root, "sequences");
    char *dir = g_dir_make_tmp("tidings-against-XXXXXX", NULL);
    g_autofree char *own = g_strconcat(name, ".yaml", NULL);
    GDir *files = dir ? g_dir_open(from, 0, NULL) : NULL;
    const char *base;

    while (files && (base = g_dir_read_name(files))) {
        g_autofree char *file = g_build_filename(from, base, NULL);
        if (g_str_has_suffix(base, ".yaml") && strcmp(base, own) != 0)
            copy_file(file, dir, base);
    }
    if (files)
        g_dir_close(files);
    if (dir && copy_file(opt_against, dir, own))
        return dir;
    g_free(dir);
    return NULL;
}

/* Another process plays it: this one has one clock. */
static json_t *play_other(struct cli *c, const char *names, const char *dir)
{
    const struct {
        const char *word, *value;
    } options[] = { { "--to", opt_to },         { "--from", opt_from },       { "--config", c->config },
                    { "--cohort", opt_cohort }, { "--events", opt_events },   { "--world", opt_world },
                    { "--seed", opt_seed },     { "--from-store", opt_store } };
    const char *words[24] = { "/proc/self/exe", "sequence", "simulate", names, "--json" };
    g_auto(GStrv) env = g_environ_setenv(g_get_environ(), "TIDINGS_REHEARSED_SEQUENCES", dir, TRUE);
    g_autofree char *out = NULL;
    int n = 5;

    for (size_t i = 0; i < G_N_ELEMENTS(options); i++)
        if (options[i].value) {
            words[n++] = options[i].word;
            words[n++] = options[i].value;
        }
    if (!g_spawn_sync(NULL, (char **)words, env, G_SPAWN_DEFAULT, NULL, NULL, &out, NULL, NULL, NULL))
        return NULL;
    return json_loads(out ? out : "", 0, NULL);
}

static int compare(struct cli *c, const char *names, json_t *report)
{
    g_autofree char *dir = folder_against(c, names);
    json_auto_t *other = dir ? play_other(c, names, dir) : NULL;

    if (!dir)
        return cli_fail("%s cannot be read", opt_against);
    const char *const rm[] = { "rm", "-rf", "--", dir, NULL };
    g_spawn_sync(NULL, (char **)rm, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL);
    if (!other)
        return cli_fail("%s could not be rehearsed; tidings sequence check says why", opt_against);
    json_object_set_new(report, "changes", report_compare(other, report));
    return 0;
}

/* ---------------------------------------------------------------- the command */

static int tell(struct cli *c, const char *names, json_t *report)
{
    int status = opt_against ? compare(c, names, report) : 0;

    if (!status && opt_html)
        status = write_page(report, names);
    if (!status && c->json)
        cli_print(report);
    else if (!status && !opt_html)
        print_text(report);
    else if (!status)
        print_summary(report);
    return status ? status : check_expectations(report);
}

/* What begins by a date or by the profile begins by itself. */
static bool begins_by_event(const struct sequence *q)
{
    bool event = false;

    for (guint i = 0; i < q->triggers->len; i++) {
        enum trigger_kind kind = ((const struct trigger *)q->triggers->pdata[i])->kind;
        event |= kind == TRIGGER_EVENT || kind == TRIGGER_DOOR;
    }
    return event;
}

/* A rehearsal opens the first wave, and approves; where no gate opens the next ones, it opens them all. */
static bool open_waves(struct cli *c, const struct sequence *q)
{
    guint count = q->gate && q->gate->opens ? MIN(q->waves->len, 1) : q->waves->len;
    bool ok = true;

    for (guint i = 0; i < count && ok; i++) {
        struct cli_answer a = { 0 };
        json_auto_t *errors = json_array(),
                    *how = json_pack("{s:s}", "wave", ((const struct wave *)q->waves->pdata[i])->name);
        wave_open(c->service, q->name, how, errors, on_cli_answer, &a);
        cli_wait(c, &a);
        ok = a.ok;
        json_decref(a.result);
    }
    return ok;
}

static bool tell_waves(struct cli *c, const struct sequence *q, json_t *report)
{
    struct cli_answer a = { 0 };

    if (!waves_status(c->service, q->name, on_cli_answer, &a))
        return true;
    cli_wait(c, &a);
    if (a.ok)
        json_object_set_new(figures_of(report, "waves"), q->name, a.result);
    return a.ok;
}

static int play(struct cli *c, struct stage *stage, const struct world *world, const char *names, int64_t from,
                int64_t to)
{
    struct cli_answer a = { 0 };
    char *why = NULL;
    int status = opt_cohort ? import_run(c, opt_cohort, true) : 0;
    json_auto_t *people = everybody(c);

    if (!status && opt_events)
        status = add_events(c, stage, opt_events, people);
    if (world)
        stage_world(stage, world, people, from, to);
    g_auto(GStrv) list = g_strsplit(names, ",", -1);
    for (char **name = list; *name && !opt_events; name++)
        if (begins_by_event(sequences_find(c->service->sequences, *name, NULL)))
            enroll_all(stage, from, *name, people);
    if (status)
        return status;
    for (char **name = list; *name; name++)
        if (!open_waves(c, sequences_find(c->service->sequences, *name, NULL)))
            return cli_answer_failed();
    if (!stage_play(stage, to, &why)) {
        status = cli_fail("%s", why);
        g_free(why);
        return status;
    }
    report_make(c->service, from, to, on_cli_answer, &a);
    cli_wait(c, &a);
    json_auto_t *report = a.result;
    if (!a.ok)
        return cli_answer_failed();
    for (char **name = list; *name; name++)
        if (!tell_waves(c, sequences_find(c->service->sequences, *name, NULL), report))
            return cli_answer_failed();
    json_object_set_new(report, "instants", json_integer(stage_jumps(stage)));
    json_object_set(report, "refused", (json_t *)stage_refused(stage));
    return tell(c, names, report);
}

static char *all_names(const struct sequences *sq)
{
    GString *names = g_string_new(NULL);

    for (guint i = 0; i < sequences_current(sq)->len; i++)
        g_string_append_printf(names, "%s%s", i ? "," : "", ((struct sequence *)sequences_current(sq)->pdata[i])->name);
    return g_string_free(names, FALSE);
}

/* All that are named exist; the others sleep. */
static const char *take_names(struct sequences *sq, const char *names)
{
    static char missing[80];
    g_auto(GStrv) list = g_strsplit(names, ",", -1);

    for (char **name = list; *name; name++)
        if (!sequences_find(sq, *name, NULL)) {
            g_strlcpy(missing, *name, sizeof missing);
            return missing;
        }
    sequences_only(sq, (const char *const *)list);
    return NULL;
}

/* ---------------------------------------------------------------- people of the store */

struct copying {
    bool done;
    struct copy *copy;
};

static void on_copied(void *arg, struct copy *copy)
{
    *(struct copying *)arg = (struct copying){ true, copy };
}

static struct copy *copy_of(struct cli *c, struct service *s, const json_t *where, char **why)
{
    json_auto_t *errors = json_array();
    struct copying job = { 0 };
    struct sequences *sq = sequences_open(s, NULL, NULL);

    if (!cohort_take(s, where, errors, on_copied, &job))
        *why = g_strdup(json_string_value(json_object_get(json_array_get(errors, 0), "detail")));
    while (!*why && !job.done)
        ev_run(c->loop, EVRUN_ONCE);
    if (!*why && !job.copy)
        *why = g_strdup("the store went away while it was read");
    service_disconnect(s);
    sequences_free(sq);
    return job.copy;
}

/* By a service of its own, which is gone when it is read; *now: its time.  NULL with *why (to be freed). */
static struct copy *read_store(struct cli *c, int64_t *now, char **why)
{
    json_auto_t *where = yaml_parse("--from-store", opt_store, strlen(opt_store), YAML_TYPED, NULL, why);
    struct service *s = where ? service_open(c->loop, c->config, c->service->hooks, false, why) : NULL;
    struct copy *copy = NULL;

    if (s && service_connect(s, 0, CONNECT_TIMEOUT, why)) {
        *now = clock_now();
        copy = copy_of(c, s, where, why);
    }
    service_close(s);
    return copy;
}

/* ---------------------------------------------------------------- the command */

static int fail_with(char *why)
{
    int status = cli_fail("%s", why);
    g_free(why);
    return status;
}

static int play_on_stage(struct cli *c, const char *asked, const struct world *world, const struct copy *copy,
                         int64_t begin, const int64_t span[2])
{
    char *why = NULL;
    struct stage *stage = stage_open(c->service, begin, copy, print_finding, NULL, &why);

    if (!stage)
        return fail_with(why);
    g_autofree char *names = asked ? g_strdup(asked) : all_names(c->service->sequences);
    const char *missing = take_names(c->service->sequences, names);
    int status =
        missing ? cli_fail("there is no sequence %s", missing) : play(c, stage, world, names, span[0], span[1]);
    stage_close(stage);
    return status;
}

/* What was asked for is there: the world, the people of the store. */
static int rehearse(struct cli *c, const char *asked, int64_t span[2])
{
    char *why = NULL;
    int64_t begin = span[0];
    struct world *world = opt_world ? world_read(opt_world, opt_seed, &why) : NULL;
    struct copy *copy = !why && opt_store ? read_store(c, &begin, &why) : NULL;
    int status;

    if (copy && !opt_from)
        span[0] = begin;
    if (why)
        status = fail_with(why);
    else if (span[0] < begin)
        status = cli_fail("--from lies in the past, and people of the store are as they are now");
    else
        status = play_on_stage(c, asked, world, copy, begin, span);
    copy_free(copy);
    world_free(world);
    return status;
}

int sequence_simulate(struct cli *c, const char *asked)
{
    const char *folder = g_getenv("TIDINGS_REHEARSED_SEQUENCES");
    int64_t span[2] = { 0 };

    if (!asked == !opt_all)
        return cli_usage(c, "simulate needs either the NAME of a sequence, several with commas, or --all");
    if ((!opt_from && !opt_store) || !opt_to || (opt_from && !read_time(c->service, opt_from, &span[0])) ||
        !read_time(c->service, opt_to, &span[1]) || span[1] <= span[0])
        return cli_usage(c, "simulate needs --from and a later --to, like 2026-12-01");
    if (opt_against && (!asked || strchr(asked, ',')))
        return cli_usage(c, "--against compares one sequence");
    if (folder)
        json_object_set_new(c->service->config->root, "sequences", json_string(folder));
    return rehearse(c, asked, span);
}
