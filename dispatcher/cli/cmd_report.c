/* tidings report: counts over all messages that a template, tag or category names, by channel, status and reason. */
#include <stdio.h>
#include <string.h>

#include "dispatcher/cli/cli.h"
#include "dispatcher/store/store.h"
#include "dispatcher/store/listing.h"

static char *opt_template, *opt_tag, *opt_category;
const GOptionEntry report_options[] = {
    { "template", 0, 0, G_OPTION_ARG_STRING, &opt_template, "messages of this template", "NAME" },
    { "tag", 0, 0, G_OPTION_ARG_STRING, &opt_tag, "messages with this tag", "KEY=VALUE" },
    { "category", 0, 0, G_OPTION_ARG_STRING, &opt_category, "messages of this category", "NAME" },
    { 0 },
};

static void count_one(json_t *rows, const json_t *delivery)
{
    const json_t *channel = json_object_get(delivery, "channel"), *status = json_object_get(delivery, "status"),
                 *reason = json_object_get(delivery, "reason");
    json_t *row, *count;
    size_t i;

    json_array_foreach (rows, i, row)
        if (json_equal(json_object_get(row, "channel"), channel) &&
            json_equal(json_object_get(row, "status"), status) && json_equal(json_object_get(row, "reason"), reason)) {
            count = json_object_get(row, "count");
            json_integer_set(count, json_integer_value(count) + 1);
            return;
        }
    json_array_append_new(
        rows, json_pack("{s:O, s:O, s:O, s:i}", "channel", channel, "status", status, "reason", reason, "count", 1));
}

struct counting {
    json_t *rows;
    int64_t total;
};

static void count_message(void *arg, const json_t *message)
{
    struct counting *to = arg;
    const json_t *delivery;
    size_t i;

    to->total++;
    json_array_foreach (json_object_get(message, "deliveries"), i, delivery)
        count_one(to->rows, delivery);
}

static void print_rows(const json_t *rows, int64_t total)
{
    const json_t *row;
    size_t i;

    printf("%" G_GINT64_FORMAT " messages\n", total);
    json_array_foreach (rows, i, row) {
        const char *reason = json_string_value(json_object_get(row, "reason"));
        printf("%8" JSON_INTEGER_FORMAT "  %-7s %-11s %s\n", json_integer_value(json_object_get(row, "count")),
               json_string_value(json_object_get(row, "channel")), json_string_value(json_object_get(row, "status")),
               reason ? reason : "");
    }
}

int cmd_report(struct cli *c)
{
    struct counting to = { 0 };

    if (c->argc || (!opt_template && !opt_tag && !opt_category))
        return cli_usage(c, "needs --template, --tag or --category");
    if (opt_tag && !strpbrk(opt_tag, "=:"))
        return cli_usage(c, "a tag is KEY=VALUE");
    const struct message_filter filter = { .category = opt_category, .template = opt_template, .tag = opt_tag };
    json_auto_t *rows = json_array();
    to.rows = rows;
    if (!cli_each_message(c, &filter, count_message, &to))
        return cli_answer_failed();
    if (c->json) {
        json_auto_t *report = json_pack("{s:I, s:O}", "total", (json_int_t)to.total, "by", rows);
        cli_print(report);
    } else {
        print_rows(rows, to.total);
    }
    return 0;
}
