/*
 * The command line.  A command is a row of the table in cli.c and a function
 * that returns the exit status: 0 done, 1 refused or failed (one line on
 * standard error says why and what to do), 2 wrong usage.
 */
#ifndef DISPATCHER_CLI_CLI_H
#define DISPATCHER_CLI_CLI_H

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>

#include "dispatcher/service.h"

struct cli {
    char *config, *log_format, *log_level;
    bool json;
    const struct command *command;
    struct ev_loop *loop;
    struct service *service;
    int argc; /* what is left behind the options: argv[0] is the first word */
    char **argv;
};

struct command {
    const char *name, *arguments, *summary;
    int (*run)(struct cli *);
    const GOptionEntry *options; /* its own; NULL for none */
    bool needs_store;
};

int cli_main(int argc, char **argv);

/* cli_hold_signals: SIGTERM, SIGINT and SIGHUP wait from the first moment until serve watches them. */
void cli_hold_signals(bool hold);

/* cli_fail: prints "tidings: …" and returns 1.  cli_usage: likewise with a hint at --help, and 2. */
int cli_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
int cli_usage(struct cli *, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* cli_print: JSON, pretty on a terminal, compact else. */
void cli_print(const json_t *);

/* cli_wait: runs the loop until an answer has come; used with on_cli_answer as the json_fn.  result is owned by the
 * answer. */
struct cli_answer {
    bool done, ok;
    json_t *result;
};
void on_cli_answer(void *arg, bool ok, json_t *result);
void cli_wait(struct cli *, struct cli_answer *);
/* cli_answer_failed: the sentence for an answer that did not come. */
int cli_answer_failed(void);

/* cli_each_message: all that fit, page by page; false when Redis went away. */
struct message_filter;
bool cli_each_message(struct cli *, const struct message_filter *, void (*fn)(void *arg, const json_t *message),
                      void *arg);
/* cli_complaint: the first of a door's errors, as a sentence; g_free. */
char *cli_complaint(const json_t *errors);

/* cmd_*.c */
int cmd_serve(struct cli *), cmd_enqueue(struct cli *), cmd_show(struct cli *), cmd_why(struct cli *),
    cmd_replay(struct cli *), cmd_cancel(struct cli *);
int cmd_recipient(struct cli *), cmd_consent(struct cli *), cmd_suppress(struct cli *), cmd_template(struct cli *),
    cmd_queue(struct cli *);
int cmd_dead(struct cli *), cmd_check(struct cli *);
int cmd_late_report(struct cli *);
extern const GOptionEntry late_options[];
int cmd_stop(struct cli *), cmd_resume(struct cli *), cmd_stops(struct cli *);
extern const GOptionEntry stop_options[], resume_options[];
/* cmd_simulate.c: part of the command sequence; asked: NAME[,NAME], NULL for none. */
int sequence_simulate(struct cli *, const char *asked);
/* sequence_why: a run's decisions, for a person; replay: made once more.  recipient NULL: looked for. */
int sequence_why(struct cli *, const char *run, const char *recipient, bool replay);
bool sequence_all(void);         /* --all, which wave hold has, too */
const char *sequence_from(void); /* --from, which migrate has, too */
extern const GOptionEntry simulate_options[];
int cmd_report(struct cli *), cmd_event(struct cli *), cmd_sequence(struct cli *);
extern const GOptionEntry event_options[], sequence_options[];
extern const GOptionEntry enqueue_options[], report_options[];
extern const GOptionEntry serve_options[], cancel_options[], recipient_options[], consent_options[], suppress_options[],
    template_options[], queue_options[], check_options[];

#endif
