#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/content/render.h"
#include "dispatcher/base/text.h"
#include "dispatcher/carry/stops.h"
#include "dispatcher/cli/cli.h"
#include "schedules/instant.h"
#include "dispatcher/carry/replay.h"
#include "dispatcher/cli/stream.h"
#include "dispatcher/intake/ingest.h"
#include "dispatcher/intake/intake.h"
#include "dispatcher/journeys/events.h"
#include "dispatcher/journeys/sequences.h"
#include "dispatcher/store/cancelling.h"
#include "dispatcher/store/messages.h"
#include "dispatcher/store/dead.h"

/* ---------------------------------------------------------------- enqueue */

static void on_enqueued(void *arg, const struct intake_answer *a)
{
    json_t *answer = json_copy((json_t *)a->body);

    if (a->replayed)
        json_object_set_new(answer, "replayed", json_true());
    stream_answer(arg, answer, a->status == 202);
}

static char *opt_send_at;
static gboolean opt_quiet;
const GOptionEntry enqueue_options[] = {
    { "send-at", 0, 0, G_OPTION_ARG_STRING, &opt_send_at, "when those go that do not say it themselves, RFC 3339",
      "T" },
    { "quiet", 'q', 0, G_OPTION_ARG_NONE, &opt_quiet, "one line at the end instead of an answer to each", NULL },
    { 0 },
};

/* The line with the time of --send-at, unless it has one, or is none; free() it. */
static char *with_time(const char *text, size_t len)
{
    json_auto_t *message =
        opt_send_at && !text_too_deep(text, len) ? json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL) : NULL;

    if (!json_is_object(message) || json_object_get(message, "send_at") || json_object_get(message, "send_at_local") ||
        json_object_get(message, "delay"))
        return NULL;
    json_object_set_new(message, "send_at", json_string(opt_send_at));
    return json_dumps(message, JSON_COMPACT);
}

static void enqueue_line(struct cli *c, const char *text, size_t len, struct stream_line *line, void *arg)
{
    char *timed = with_time(text, len);

    intake_text(c->service, timed ? timed : text, timed ? strlen(timed) : len,
                &(struct intake_origin){ .door = "cli", .source = "" }, on_enqueued, line);
    free(timed);
}

int cmd_enqueue(struct cli *c)
{
    char *why = NULL;

    int64_t at;
    const char *wrong = opt_send_at ? instant_parse(&at, opt_send_at) : NULL;

    if (c->argc > 1)
        return cli_usage(c, "one file at a time");
    if (wrong)
        return cli_usage(c, "--send-at %s", wrong);
    if (!c->service->library) {
        struct service *again = service_open(c->loop, c->config, &render_hooks, true, &why); /* for its words */
        service_close(again);
        int status = cli_fail("%s", why ? why : "the templates cannot be read");
        g_free(why);
        return status;
    }
    return stream_run(c, c->argc ? c->argv[0] : "-", &(struct stream_options){ .quiet = opt_quiet }, enqueue_line,
                      NULL);
}

/* ---------------------------------------------------------------- show and why */

static json_t *fetch(struct cli *c, int *status)
{
    struct cli_answer a = { 0 };
    char message[MESSAGE_ID_SIZE], letter;

    *status = 0;
    if (c->argc != 1) {
        *status = cli_usage(c, "needs one message id");
        return NULL;
    }
    /* the id of a delivery stands for its message */
    store_show(c->service->store, ident_delivery(c->argv[0], message, &letter) ? message : c->argv[0], SHOW_TRACE,
               on_cli_answer, &a);
    cli_wait(c, &a);
    if (!a.ok)
        *status = cli_answer_failed();
    else if (!a.result)
        *status = cli_fail("there is no message %s", c->argv[0]);
    return a.result;
}

int cmd_show(struct cli *c)
{
    int status;
    json_auto_t *message = fetch(c, &status);

    if (!status)
        cli_print(message);
    return status;
}

static const char *text_at(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "-";
}

static void print_delivery(const json_t *d)
{
    printf("  %-7s %s", text_at(d, "channel"), text_at(d, "status"));
    if (json_is_string(json_object_get(d, "reason")))
        printf(" (%s)", text_at(d, "reason"));
    if (json_is_string(json_object_get(d, "next_attempt_at")))
        printf(", next at %s", text_at(d, "next_attempt_at"));
    if (json_is_string(json_object_get(d, "sent_at")))
        printf(", at %s by %s", text_at(d, "sent_at"), text_at(d, "provider"));
    printf(", %d attempt(s)\n", (int)json_integer_value(json_object_get(d, "attempts")));
}

static void print_fact(const json_t *t)
{
    char *detail = json_dumps(json_object_get(t, "detail"), JSON_COMPACT);

    printf("  %-24s %-7s %-12s %-10s %s\n", text_at(t, "at"), text_at(t, "channel"), text_at(t, "gate"),
           text_at(t, "verdict"), strcmp(detail, "{}") == 0 ? "" : detail);
    free(detail);
}

int cmd_why(struct cli *c)
{
    int status;
    json_auto_t *message = fetch(c, &status);
    json_t *item;
    size_t i;

    if (status)
        return status;
    if (c->json) {
        cli_print(json_object_get(message, "trace"));
        return 0;
    }
    printf("message %s for %s: %s\n  template %s, category %s, send at %s\n\ndeliveries\n", text_at(message, "id"),
           text_at(message, "recipient"), text_at(message, "status"), text_at(message, "template"),
           text_at(message, "category"), text_at(message, "send_at"));
    json_array_foreach (json_object_get(message, "deliveries"), i, item)
        print_delivery(item);
    puts("\ngates");
    json_array_foreach (json_object_get(message, "trace"), i, item)
        print_fact(item);
    return 0;
}

int cmd_replay(struct cli *c)
{
    int status;
    json_auto_t *message = fetch(c, &status);
    json_t *line;
    size_t i;

    if (status)
        return status;
    json_auto_t *replay = replay_message(c->service, message);
    bool agrees = json_is_true(json_object_get(replay, "agrees"));
    if (c->json) {
        cli_print(replay);
    } else {
        json_array_foreach (json_object_get(replay, "gates"), i, line)
            printf("%s %-7s %-12s recorded %-10s replayed %s\n", text_at(line, "at"), text_at(line, "channel"),
                   text_at(line, "gate"), text_at(line, "recorded"), text_at(line, "replayed"));
    }
    return agrees ? 0
                  : cli_fail("the gates decide otherwise now; the rules were %s and are %s",
                             text_at(json_object_get(replay, "policy"), "recorded"),
                             text_at(json_object_get(replay, "policy"), "now"));
}

/* ---------------------------------------------------------------- cancel */

static char *cancel_recipient, *cancel_category, *cancel_template, *cancel_source, *cancel_sequence, *cancel_tag;
static int cancel_confirm = -1;
const GOptionEntry cancel_options[] = {
    { "recipient", 0, 0, G_OPTION_ARG_STRING, &cancel_recipient, "all pending messages of this recipient", "R" },
    { "category", 0, 0, G_OPTION_ARG_STRING, &cancel_category,
      "of this category; without --recipient everybody's: counted first", "C" },
    { "template", 0, 0, G_OPTION_ARG_STRING, &cancel_template, "everybody's of this template: counted first", "T" },
    { "source", 0, 0, G_OPTION_ARG_STRING, &cancel_source, "… of this sender", "S" },
    { "sequence", 0, 0, G_OPTION_ARG_STRING, &cancel_sequence, "… that runs of this sequence have enqueued", "S" },
    { "tag", 0, 0, G_OPTION_ARG_STRING, &cancel_tag, "… with this tag, KEY:VALUE or KEY", "TAG" },
    { "confirm", 0, 0, G_OPTION_ARG_INT, &cancel_confirm, "the number that was counted: does it", "N" },
    { 0 },
};

/* Of everybody, by one property: a count, and with that count done. */
static int cancel_where(struct cli *c)
{
    json_auto_t *errors = json_array(), *how = json_pack("{s:s*, s:s*, s:s*, s:s*, s:s*}", "category", cancel_category,
                                                         "template", cancel_template, "source", cancel_source,
                                                         "sequence", cancel_sequence, "tag", cancel_tag);
    struct cli_answer a = { 0 };

    if (cancel_confirm >= 0)
        json_object_set_new(how, "confirm", json_integer(cancel_confirm));
    if (!stop_cancel(c->service, how, g_get_user_name(), errors, on_cli_answer, &a))
        return cli_usage(
            c, "needs message ids, --recipient, or one of --category, --template, --source, --sequence and --tag");
    cli_wait(c, &a);
    json_auto_t *result = a.result;
    if (!a.ok)
        return cli_answer_failed();
    long long waiting = json_integer_value(json_object_get(result, "waiting"));
    if (json_object_get(result, "stale"))
        return cli_fail("there are %lld now: nothing was cancelled; count again", waiting);
    if (c->json)
        cli_print(result);
    else if (cancel_confirm < 0)
        printf("%lld wait; --confirm %lld cancels them\n", waiting, waiting);
    else
        printf("cancelled %lld, in flight %zu\n", (long long)json_integer_value(json_object_get(result, "cancelled")),
               json_array_size(json_object_get(result, "in_flight")));
    return 0;
}

int cmd_cancel(struct cli *c)
{
    struct cli_answer a = { 0 };
    json_auto_t *ids = json_array();

    if (!cancel_recipient && !c->argc)
        return cancel_where(c);
    if (cancel_recipient && c->argc)
        return cli_usage(c, "needs message ids, or --recipient, not both");
    for (int i = 0; i < c->argc; i++)
        json_array_append_new(ids, json_string(c->argv[i]));
    if (cancel_recipient)
        store_cancel_recipient(c->service->store, cancel_recipient, cancel_category, on_cli_answer, &a);
    else
        store_cancel_ids(c->service->store, ids, on_cli_answer, &a);
    cli_wait(c, &a);
    json_auto_t *result = a.result;
    if (!a.ok)
        return cli_answer_failed();
    json_auto_t *counts = json_object();
    static const char *const keys[] = { "cancelled", "already_sent", "in_flight", "final", "unknown" };
    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++)
        json_object_set_new(counts, keys[i],
                            json_integer((json_int_t)json_array_size(json_object_get(result, keys[i]))));
    if (c->json) {
        json_object_set_new(result, "counts", json_incref(counts));
        cli_print(result);
    } else {
        printf("cancelled %d, already sent %d, in flight %d, ended otherwise %d, not known %d\n",
               (int)json_integer_value(json_object_get(counts, "cancelled")),
               (int)json_integer_value(json_object_get(counts, "already_sent")),
               (int)json_integer_value(json_object_get(counts, "in_flight")),
               (int)json_integer_value(json_object_get(counts, "final")),
               (int)json_integer_value(json_object_get(counts, "unknown")));
    }
    return json_array_size(json_object_get(result, "unknown")) ? cli_fail("some of these messages are not known") : 0;
}

/* ---------------------------------------------------------------- dead letters */

static int dead_list(struct cli *c)
{
    struct cli_answer a = { 0 };
    json_t *item;
    size_t i;

    store_dead_list(c->service->store, 1000, on_cli_answer, &a);
    cli_wait(c, &a);
    json_auto_t *list = a.result;
    if (!a.ok)
        return cli_answer_failed();
    if (c->json) {
        cli_print(list);
        return 0;
    }
    json_array_foreach (list, i, item)
        printf("%-26s %-9s %-24s %s\n", text_at(item, "id"), text_at(item, "kind"), text_at(item, "at"),
               text_at(item, "reason"));
    return 0;
}

static json_t *dead_entry(struct cli *c, const char *id, bool *ok)
{
    struct cli_answer a = { 0 };

    store_dead_show(c->service->store, id, on_cli_answer, &a);
    cli_wait(c, &a);
    *ok = a.ok;
    return a.result;
}

static int dead_show(struct cli *c, const char *id)
{
    char message[MESSAGE_ID_SIZE], letter;
    bool ok;

    if (ident_delivery(id, message, &letter)) {
        c->argc = 1;
        c->argv[0] = (char *)id;
        return cmd_show(c);
    }
    json_auto_t *entry = dead_entry(c, id, &ok);
    if (!ok)
        return cli_answer_failed();
    if (!json_is_object(entry))
        return cli_fail("there is no dead letter %s", id);
    cli_print(entry);
    return 0;
}

struct redriving {
    bool done;
    int status;
    json_t *answer;
};

static void on_redriven(void *arg, const struct intake_answer *a)
{
    struct redriving *r = arg;

    r->done = true;
    r->status = a->status;
    r->answer = json_deep_copy(a->body);
}

/* What could not be accepted goes through the intake again, with the id it would have had. */
static int redrive_ingest(struct cli *c, const char *id)
{
    struct redriving r = { 0 };
    struct cli_answer forgot = { 0 };
    bool ok;
    json_auto_t *entry = dead_entry(c, id, &ok);
    const json_t *payload = json_object_get(entry, "payload");
    g_autofree char *seed = g_strdup_printf("dead:%s:%s", c->service->store->prefix, id);

    if (!ok)
        return cli_answer_failed();
    if (!json_is_object(entry))
        return cli_fail("there is no dead letter %s", id);
    ingest_door_fn *door = strcmp(text_at(entry, "source"), "event") == 0 ? event_text : intake_text;
    struct sequences *sequences = sequences_open(c->service, NULL, NULL);
    door(c->service, payload ? json_string_value(payload) : "", payload ? json_string_length(payload) : 0,
         &(struct intake_origin){ .door = "redrive", .source = "", .seed = seed }, on_redriven, &r);
    ev_now_update(c->loop);
    while (!r.done)
        ev_run(c->loop, EVRUN_ONCE);
    sequences_free(sequences);
    json_auto_t *answer = r.answer;
    cli_print(answer);
    if (r.status != 202)
        return cli_fail("%s still cannot be accepted", id);
    store_dead_forget(c->service->store, id, on_cli_answer, &forgot);
    cli_wait(c, &forgot);
    json_decref(forgot.result);
    return 0;
}

static int redrive(struct cli *c, const char *id)
{
    char message[MESSAGE_ID_SIZE], letter;
    struct cli_answer a = { 0 };

    if (!ident_delivery(id, message, &letter))
        return redrive_ingest(c, id);
    store_dead_redrive(c->service->store, id, on_cli_answer, &a);
    cli_wait(c, &a);
    json_auto_t *result = a.result;
    if (!a.ok)
        return cli_answer_failed();
    if (!json_is_true(result))
        return cli_fail("%s is no failed delivery", id);
    json_auto_t *answer = json_pack("{s:s, s:s}", "id", id, "status", "scheduled");
    cli_print(answer);
    return 0;
}

static int redrive_all(struct cli *c)
{
    struct cli_answer a = { 0 };
    json_t *item;
    size_t i;
    int status = 0;

    store_dead_list(c->service->store, 100000, on_cli_answer, &a);
    cli_wait(c, &a);
    json_auto_t *list = a.result;
    if (!a.ok)
        return cli_answer_failed();
    json_array_foreach (list, i, item)
        status |= redrive(c, text_at(item, "id"));
    return status;
}

int cmd_dead(struct cli *c)
{
    const char *what = c->argc ? c->argv[0] : "";
    int status = 0;

    if (strcmp(what, "list") == 0 && c->argc == 1)
        return dead_list(c);
    if (strcmp(what, "show") == 0 && c->argc == 2)
        return dead_show(c, c->argv[1]);
    if (strcmp(what, "redrive") != 0)
        return cli_usage(c, "needs list, show ID or redrive ID…");
    if (c->argc == 1 || (c->argc == 2 && strcmp(c->argv[1], "all") == 0))
        return redrive_all(c);
    for (int i = 1; i < c->argc; i++)
        status |= redrive(c, c->argv[i]);
    return status;
}
