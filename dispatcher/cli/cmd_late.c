/* tidings late-report: what an outage has made late, dropped or kept waiting, by category and sender. */
#include <stdio.h>
#include <string.h>

#include "dispatcher/base/clock.h"
#include "dispatcher/base/figures.h"
#include "dispatcher/cli/cli.h"
#include "dispatcher/store/listing.h"
#include "schedules/duration.h"
#include "schedules/instant.h"

static char *opt_since, *opt_until, *opt_over;
const GOptionEntry late_options[] = {
    { "since", 0, 0, G_OPTION_ARG_STRING, &opt_since, "what was to go from then on, RFC 3339", "T" },
    { "until", 0, 0, G_OPTION_ARG_STRING, &opt_until, "and before this; default now", "T" },
    { "over", 0, 0, G_OPTION_ARG_STRING, &opt_over, "late is what went so long after its time; default 1m", "SPAN" },
    { 0 },
};

struct reported {
    int64_t since, until, over;
};

static int64_t instant_in(const json_t *in, const char *key)
{
    const char *text = json_string_value(json_object_get(in, key));
    int64_t ms;

    return text && instant_parse(&ms, text) == NULL ? ms : 0;
}

/* The row of a category and sender: {"category", "source", "late", "dropped", "waiting", "worst_seconds"}. */
static json_t *row_of(json_t *rows, const json_t *message)
{
    const json_t *category = json_object_get(message, "category"), *source = json_object_get(message, "source");
    json_t *row;
    size_t i;

    json_array_foreach (rows, i, row)
        if (json_equal(json_object_get(row, "category"), category) &&
            json_equal(json_object_get(row, "source"), source))
            return row;
    row = json_pack("{s:O, s:O?, s:i, s:i, s:i, s:i}", "category", category, "source", source, "late", 0, "dropped", 0,
                    "waiting", 0, "worst_seconds", 0);
    json_array_append_new(rows, row);
    return row;
}

static void count_late(json_t *row, const char *what, int64_t late)
{
    json_int_t worst = json_integer_value(json_object_get(row, "worst_seconds"));

    figure_add(row, what, 1);
    json_object_set_new(row, "worst_seconds", json_integer(MAX(worst, late / 1000)));
}

/* Its time is when a gate let it go, else its send time: who slept through quiet hours is not late. */
static void count_delivery(json_t *rows, const struct reported *span, const json_t *message, const json_t *delivery)
{
    const char *status = json_string_value(json_object_get(delivery, "status"));
    int64_t planned = MAX(instant_in(message, "send_at"), instant_in(delivery, "planned_at")),
            sent = instant_in(delivery, "sent_at");

    if (planned < span->since || planned >= span->until)
        return;
    if (sent && sent - planned > span->over)
        count_late(row_of(rows, message), "late", sent - planned);
    else if (strcmp(status, "expired") == 0)
        figure_add(row_of(rows, message), "dropped", 1);
    else if ((strcmp(status, "scheduled") == 0 || strcmp(status, "sending") == 0) &&
             MAX(planned, instant_in(delivery, "next_attempt_at")) + span->over < clock_now())
        count_late(row_of(rows, message), "waiting", clock_now() - planned);
}

struct counting {
    json_t *rows;
    struct reported span;
};

static void count_message(void *arg, const json_t *message)
{
    const struct counting *to = arg;
    const json_t *delivery;
    size_t i;

    json_array_foreach (json_object_get(message, "deliveries"), i, delivery)
        count_delivery(to->rows, &to->span, message, delivery);
}

static void print_rows(const json_t *rows)
{
    const json_t *row;
    size_t i;

    printf("%-20s %-20s %8s %8s %8s  %s\n", "category", "source", "late", "dropped", "waiting", "worst");
    json_array_foreach (rows, i, row) {
        const char *source = json_string_value(json_object_get(row, "source"));
        char worst[48];
        printf("%-20s %-20s %8lld %8lld %8lld  %s\n", json_string_value(json_object_get(row, "category")),
               source ? source : "", (long long)json_integer_value(json_object_get(row, "late")),
               (long long)json_integer_value(json_object_get(row, "dropped")),
               (long long)json_integer_value(json_object_get(row, "waiting")),
               duration_format(worst, json_integer_value(json_object_get(row, "worst_seconds")) * SECOND_MS));
    }
}

static const char *read_span(struct reported *span)
{
    const char *why = opt_since ? instant_parse(&span->since, opt_since) : "is required";

    span->until = clock_now();
    span->over = MINUTE_MS;
    if (!why && opt_until)
        why = instant_parse(&span->until, opt_until);
    if (!why && opt_over)
        why = duration_parse(&span->over, opt_over);
    return why;
}

int cmd_late_report(struct cli *c)
{
    json_auto_t *rows = json_array();
    struct counting to = { .rows = rows };
    const char *why = read_span(&to.span);

    if (c->argc || why)
        return cli_usage(c, "needs --since and takes --until and --over%s%s", why ? ": " : "", why ? why : "");
    if (!cli_each_message(c, &(struct message_filter){ 0 }, count_message, &to))
        return cli_answer_failed();
    if (c->json) {
        json_auto_t *report = json_pack("{s:O}", "by", rows);
        cli_print(report);
    } else {
        print_rows(rows);
    }
    return 0;
}
