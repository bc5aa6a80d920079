#include "dispatcher/content/render.h"
#include "dispatcher/cli/cli.h"

#include <curl/curl.h>
#include <ev.h>
#include <libxml/parser.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "channels/mail/pool.h"
#include "dispatcher/base/log.h"
#include "dispatcher/store/listing.h"

#define CONNECT_TIMEOUT 8.0
#define PAGE            400

static const struct command commands[] = {
    { "serve", "", "run the service: HTTP, intake and worker", cmd_serve, serve_options, false },
    { "enqueue", "[FILE|-]", "read messages as NDJSON, answer one JSON line each", cmd_enqueue, enqueue_options, true },
    { "event", "[FILE|-]", "read events as NDJSON, answer one JSON line each", cmd_event, event_options, true },
    { "sequence",
      "check [NAME…] | simulate NAME | list | show|report|world|migrate|pause|resume|stop NAME | enroll|exit NAME "
      "--recipient R | wave status NAME | wave open|hold NAME WAVE | why RUN",
      "journeys of messages", cmd_sequence, sequence_options, false },
    { "show", "ID", "one message with its deliveries and trace, as JSON", cmd_show, NULL, true },
    { "why", "ID", "the decisions about a message, gate by gate, for a person", cmd_why, NULL, true },
    { "replay", "ID", "the gates again, offline, on what was recorded; exit status 1 when they disagree", cmd_replay,
      NULL, true },
    { "cancel", "ID… | --recipient R [--category C] | --category C | --template T | …", "cancel messages and count",
      cmd_cancel, cancel_options, true },
    { "recipient", "import [FILE|-] | show ID | export ID | erase ID", "people", cmd_recipient, recipient_options,
      true },
    { "consent", "grant|withdraw|show RECIPIENT", "the consent ledger", cmd_consent, consent_options, true },
    { "suppress", "add|remove ADDRESS | list", "addresses that are left alone", cmd_suppress, suppress_options, true },
    { "template", "check [NAME] | render NAME | preview", "lint templates and catalogs, render one, or show all",
      cmd_template, template_options, false },
    { "report", "--template NAME | --tag KEY=VALUE | --category NAME", "how many messages ended how, and why",
      cmd_report, report_options, true },
    { "late-report", "--since T", "what was late, dropped or still waits after an outage, by category and sender",
      cmd_late_report, late_options, true },
    { "queue", "", "depth, lag and rates, per channel and provider", cmd_queue, queue_options, true },
    { "stop", "--all | --category C | --channel C | …", "halt messages by one property, in force when it answers",
      cmd_stop, stop_options, true },
    { "resume", "ID | --category C | …", "lift a stop; what it held goes on", cmd_resume, resume_options, true },
    { "stops", "", "stops that stand", cmd_stops, NULL, true },
    { "dead", "list | show ID | redrive [ID…]", "what could not be accepted or delivered", cmd_dead, NULL, true },
    { "check", "", "read the configuration, try Redis and every provider", cmd_check, check_options, false },
};

int cli_fail(const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    g_autofree char *text = g_strdup_vprintf(format, ap);
    va_end(ap);
    fprintf(stderr, "tidings: %s\n", text);
    return 1;
}

int cli_usage(struct cli *c, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    g_autofree char *text = g_strdup_vprintf(format, ap);
    va_end(ap);
    fprintf(stderr, "tidings: %s; see tidings %s --help\n", text, c->command ? c->command->name : "");
    return 2;
}

void cli_print(const json_t *json)
{
    char *text = json_dumps(json, (isatty(STDOUT_FILENO) ? JSON_INDENT(2) : JSON_COMPACT) | JSON_ENCODE_ANY);

    puts(text ? text : "null");
    free(text);
}

void on_cli_answer(void *arg, bool ok, json_t *result)
{
    struct cli_answer *a = arg;

    a->done = true;
    a->ok = ok;
    a->result = json_incref(result);
}

void cli_wait(struct cli *c, struct cli_answer *a)
{
    ev_now_update(c->loop);
    while (!a->done)
        ev_run(c->loop, EVRUN_ONCE);
}

int cli_answer_failed(void)
{
    return cli_fail("Redis went away before it answered; try again");
}

bool cli_each_message(struct cli *c, const struct message_filter *filter, void (*fn)(void *arg, const json_t *message),
                      void *arg)
{
    g_autofree char *cursor = NULL;

    do {
        struct cli_answer a = { 0 };
        const json_t *message;
        size_t i;
        store_list(c->service->store, filter, PAGE, cursor, NULL, on_cli_answer, &a);
        cli_wait(c, &a);
        json_auto_t *page = a.result;
        if (!a.ok)
            return false;
        json_array_foreach (json_object_get(page, "messages"), i, message)
            fn(arg, message);
        g_free(cursor);
        cursor = g_strdup(json_string_value(json_object_get(page, "cursor")));
    } while (cursor);
    return true;
}

char *cli_complaint(const json_t *errors)
{
    const json_t *first = json_array_get(errors, 0);
    const char *pointer = json_string_value(json_object_get(first, "pointer"));

    return g_strconcat(pointer && *pointer ? pointer + 1 : "", pointer && *pointer ? " " : "",
                       json_string_value(json_object_get(first, "detail")), NULL);
}

static int print_help(FILE *to)
{
    fprintf(to, "tidings: the right message, in the right language, at the right moment, and never too much\n\nUsage: "
                "tidings COMMAND [OPTIONS]\n\n");
    for (size_t i = 0; i < G_N_ELEMENTS(commands); i++)
        fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].summary);
    fprintf(to, "\nEvery command takes --config FILE (else $TIDINGS_CONFIG, else ./tidings.yaml, else "
                "built-in\ndefaults), --json and --help.  "
                "Exit status: 0 done, 1 refused or failed, 2 wrong usage.\n");
    return to == stdout ? 0 : 2;
}

void cli_hold_signals(bool hold)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigprocmask(hold ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
}

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(commands); i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static bool parse_options(struct cli *c, int *argc, char ***argv)
{
    const GOptionEntry common[] = {
        { "config", 'c', 0, G_OPTION_ARG_FILENAME, &c->config, "configuration file", "FILE" },
        { "json", 0, 0, G_OPTION_ARG_NONE, &c->json, "print JSON", NULL },
        { "log-format", 0, 0, G_OPTION_ARG_STRING, &c->log_format, "json or text", "FORMAT" },
        { "log-level", 0, 0, G_OPTION_ARG_STRING, &c->log_level, "debug, info, warning or error", "LEVEL" },
        { 0 },
    };
    g_autofree char *usage = g_strdup_printf("%s %s", c->command->name, c->command->arguments);
    GOptionContext *context = g_option_context_new(usage);
    GError *error = NULL;

    g_option_context_set_summary(context, c->command->summary);
    g_option_context_add_main_entries(context, common, NULL);
    if (c->command->run == cmd_sequence)
        g_option_context_add_main_entries(context, simulate_options, NULL);
    if (c->command->options)
        g_option_context_add_main_entries(context, c->command->options, NULL);
    bool good = g_option_context_parse(context, argc, argv, &error);
    g_option_context_free(context);
    if (!good) {
        cli_usage(c, "%s", error->message);
        g_error_free(error);
    }
    return good;
}

static int run_command(struct cli *c)
{
    char *why = NULL;
    int status;

    c->service = service_open(c->loop, c->config, &render_hooks, false, &why);
    if (!c->service || (c->command->needs_store && !service_connect(c->service, 0, CONNECT_TIMEOUT, &why)))
        status = cli_fail("%s", why);
    else
        status = c->command->run(c);
    g_free(why);
    service_close(c->service);
    return status;
}

static int run_with_log(struct cli *c, int argc, char **argv)
{
    const char *usual = strcmp(c->command->name, "serve") == 0 ? "info" : "error";
    const char *complaint = log_setup(c->log_format, c->log_level ? c->log_level : usual);

    if (complaint)
        return cli_usage(c, "%s", complaint);
    c->argc = argc;
    c->argv = argv;
    curl_global_init(CURL_GLOBAL_ALL);
    c->loop = ev_default_loop(0);
    int status = run_command(c);
    curl_global_cleanup();
    xmlCleanupParser();
    return status;
}

int cli_main(int argc, char **argv)
{
    struct cli c = { 0 };

    signal(SIGPIPE, SIG_IGN);
    if (argc > 1 && strcmp(argv[1], "serve") == 0)
        cli_hold_signals(true);                          /* until there is who hears them */
    if (argc == 3 && strcmp(argv[1], "smtp-agent") == 0) /* ours alone: email.c starts it */
        return smtp_agent_main(atoi(argv[2]));
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0)
        return print_help(argc < 2 ? stderr : stdout);
    if (strcmp(argv[1], "--version") == 0)
        return puts("tidings " TIDINGS_VERSION), 0;
    if (!(c.command = find_command(argv[1]))) {
        fprintf(stderr, "tidings: \"%s\" is no command\n\n", argv[1]);
        return print_help(stderr);
    }
    argc--, argv++;
    int status = parse_options(&c, &argc, &argv) ? run_with_log(&c, argc - 1, argv + 1) : 2;
    g_free(c.config);
    g_free(c.log_format);
    g_free(c.log_level);
    return status;
}
