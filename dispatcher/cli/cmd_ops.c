#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dispatcher/base/clock.h"
#include "dispatcher/base/vocab.h"
#include "dispatcher/cli/cli.h"
#include "schedules/duration.h"
#include "dispatcher/store/messages.h"
#include "dispatcher/store/roster.h"

static gboolean opt_watch, opt_wait;
static char *opt_timeout;
const GOptionEntry queue_options[] = {
    { "watch", 'w', 0, G_OPTION_ARG_NONE, &opt_watch, "again each second", NULL },
    { "wait", 0, 0, G_OPTION_ARG_NONE, &opt_wait, "return when nothing is due or under way any more", NULL },
    { "timeout", 0, 0, G_OPTION_ARG_STRING, &opt_timeout, "longest --wait, like 90s; then the exit status is 1", "D" },
    { 0 },
};

/* ---------------------------------------------------------------- one picture */

struct sums {
    json_int_t sent[CHANNEL_COUNT];
    int64_t at;
};

static void add_totals(struct sums *s, const json_t *totals)
{
    const char *labels;
    json_t *value;

    json_object_foreach ((json_t *)totals, labels, value)
        for (int i = 0; i < CHANNEL_COUNT; i++) {
            g_autofree char *want = g_strdup_printf("channel=\"%s\",status=\"sent\"", channel_rows[i].name);
            if (strcmp(labels, want) == 0)
                s->sent[i] += (json_int_t)json_real_value(value);
        }
}

static json_t *take_picture(struct cli *c, struct sums *last)
{
    struct cli_answer a = { 0 };
    struct sums now = { .at = clock_real() };
    json_t *worker;
    size_t i;

    store_queue(c->service->store, on_cli_answer, &a);
    cli_wait(c, &a);
    if (!a.ok)
        return NULL;
    struct cli_answer said = { 0 };
    store_workers(c->service->store, on_cli_answer, &said);
    cli_wait(c, &said);
    json_t *workers = said.ok ? said.result : json_array();
    json_array_foreach (workers, i, worker)
        add_totals(&now, json_object_get(worker, "totals"));
    for (int ch = 0; ch < CHANNEL_COUNT; ch++) {
        double seconds = (double)(now.at - last->at) / 1000,
               rate = last->at && seconds > 0 ? (double)(now.sent[ch] - last->sent[ch]) / seconds : 0;
        json_t *row = json_object_get(json_object_get(a.result, "channels"), channel_rows[ch].name);
        json_object_set_new(row, "sent", json_integer(now.sent[ch]));
        json_object_set_new(row, "rate", json_real(MAX(rate, 0)));
    }
    *last = now;
    json_object_set_new(a.result, "workers", workers);
    return a.result;
}

static void print_picture(const json_t *p)
{
    const char *channel;
    json_t *row, *worker, *provider;
    size_t i, j;

    printf("%-8s %9s %9s %9s %9s %9s %9s\n", "channel", "waiting", "due", "in flight", "sent", "per s", "lag s");
    json_object_foreach (json_object_get(p, "channels"), channel, row)
        printf("%-8s %9d %9d %9d %9d %9.0f %9.1f\n", channel, (int)json_integer_value(json_object_get(row, "waiting")),
               (int)json_integer_value(json_object_get(row, "due")),
               (int)json_integer_value(json_object_get(row, "in_flight")),
               (int)json_integer_value(json_object_get(row, "sent")), json_real_value(json_object_get(row, "rate")),
               json_real_value(json_object_get(row, "lag_seconds")));
    json_array_foreach (json_object_get(p, "workers"), i, worker)
        json_array_foreach (json_object_get(worker, "providers"), j, provider)
            printf("%s %s (%s): %s, %d in flight, %d sent\n", json_string_value(json_object_get(worker, "name")),
                   json_string_value(json_object_get(provider, "name")),
                   json_string_value(json_object_get(provider, "channel")),
                   json_is_true(json_object_get(provider, "paused")) ? "paused" : "working",
                   (int)json_integer_value(json_object_get(provider, "in_flight")),
                   (int)json_integer_value(json_object_get(provider, "sent")));
    printf("%d dead, %d worker(s)\n", (int)json_integer_value(json_object_get(p, "dead")),
           (int)json_array_size(json_object_get(p, "workers")));
}

static void on_pause_over(struct ev_loop *loop, ev_timer *w, int revents)
{
    *(bool *)w->data = true;
    ev_timer_stop(loop, w);
}

static void pause_for(struct cli *c, double seconds)
{
    bool over = false;
    ev_timer timer;

    ev_timer_init(&timer, on_pause_over, seconds, 0.);
    timer.data = &over;
    ev_now_update(c->loop);
    ev_timer_start(c->loop, &timer);
    while (!over)
        ev_run(c->loop, EVRUN_ONCE);
}

static int64_t left_of(const json_t *picture)
{
    int64_t left = json_integer_value(json_object_get(picture, "in_flight"));
    const char *channel;
    json_t *row;

    json_object_foreach (json_object_get(picture, "channels"), channel, row)
        left += json_integer_value(json_object_get(row, "due"));
    return left;
}

static int wait_until_drained(struct cli *c)
{
    int64_t longest = INT64_MAX, left, begun = g_get_monotonic_time() / 1000;
    const char *why = opt_timeout ? duration_parse(&longest, opt_timeout) : NULL;

    if (why)
        return cli_usage(c, "--timeout %s", why);
    for (;;) {
        struct cli_answer a = { 0 };
        store_queue(c->service->store, on_cli_answer, &a);
        cli_wait(c, &a);
        json_auto_t *picture = a.result;
        if (!a.ok)
            return cli_answer_failed();
        if ((left = left_of(picture)) == 0)
            return 0;
        if (g_get_monotonic_time() / 1000 - begun > longest)
            return cli_fail("after %s %" G_GINT64_FORMAT " messages are still due or under way", opt_timeout, left);
        pause_for(c, 0.2);
    }
}

int cmd_queue(struct cli *c)
{
    struct sums last = { 0 };

    if (c->argc)
        return cli_usage(c, "takes no further words");
    if (opt_wait)
        return wait_until_drained(c);
    for (;;) {
        json_auto_t *picture = take_picture(c, &last);
        if (!picture)
            return cli_answer_failed();
        if (c->json) {
            char *text = json_dumps(picture, JSON_COMPACT);
            puts(text);
            free(text);
        } else {
            if (opt_watch && isatty(STDOUT_FILENO))
                fputs("\033[H\033[2J", stdout);
            print_picture(picture);
        }
        fflush(stdout);
        if (!opt_watch)
            return 0;
        pause_for(c, 1);
    }
}
