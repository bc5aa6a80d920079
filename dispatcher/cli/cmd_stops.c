#include <stdio.h>
#include <string.h>

#include "dispatcher/carry/stops.h"
#include "dispatcher/cli/cli.h"

static gboolean opt_all, opt_cancel, opt_dry;
static char *opt_channel, *opt_provider, *opt_category, *opt_template, *opt_sequence, *opt_source, *opt_tag,
    *opt_reason, *opt_until;
#define PROPERTIES                                                                                                     \
    { "all", 0, 0, G_OPTION_ARG_NONE, &opt_all, "everything", NULL },                                                  \
        { "channel", 0, 0, G_OPTION_ARG_STRING, &opt_channel, "email, sms or in_app", "C" },                           \
        { "provider", 0, 0, G_OPTION_ARG_STRING, &opt_provider, "what would go by it; others may take it over", "P" }, \
        { "category", 0, 0, G_OPTION_ARG_STRING, &opt_category, "messages of this category", "C" },                    \
        { "template", 0, 0, G_OPTION_ARG_STRING, &opt_template, "… of this template", "T" },                           \
        { "sequence", 0, 0, G_OPTION_ARG_STRING, &opt_sequence, "… that runs of this sequence send", "S" },            \
        { "source", 0, 0, G_OPTION_ARG_STRING, &opt_source, "… of this sender", "S" },                                 \
    {                                                                                                                  \
        "tag", 0, 0, G_OPTION_ARG_STRING, &opt_tag, "… with this tag, KEY:VALUE or KEY", "TAG"                         \
    }

const GOptionEntry stop_options[] = {
    PROPERTIES,
    { "reason", 0, 0, G_OPTION_ARG_STRING, &opt_reason, "why, for those who find it", "TEXT" },
    { "until", 0, 0, G_OPTION_ARG_STRING, &opt_until, "RFC 3339; else until it is lifted", "T" },
    { "cancel", 0, 0, G_OPTION_ARG_NONE, &opt_cancel, "cancels what waits; else it goes on when the stop is lifted",
      NULL },
    { "dry-run", 0, 0, G_OPTION_ARG_NONE, &opt_dry, "only counts what it would hold", NULL },
    { 0 },
};
const GOptionEntry resume_options[] = { PROPERTIES, { 0 } };

/* The property that the options name. */
static json_t *property(void)
{
    json_t *how = json_pack("{s:s*, s:s*, s:s*, s:s*, s:s*, s:s*, s:s*}", "channel", opt_channel, "provider",
                            opt_provider, "category", opt_category, "template", opt_template, "sequence", opt_sequence,
                            "source", opt_source, "tag", opt_tag);
    if (opt_all)
        json_object_set_new(how, "all", json_true());
    return how;
}

static int refuse(struct cli *c, const json_t *errors)
{
    g_autofree char *why = cli_complaint(errors);
    return cli_usage(c, "%s", why);
}

static void print_receipt(const json_t *receipt)
{
    printf("%s %s: %lld held, %lld cancelled, %zu in flight\n", opt_dry ? "would stop" : "stopped",
           json_string_value(json_object_get(receipt, "id")),
           (long long)json_integer_value(json_object_get(receipt, "held")),
           (long long)json_integer_value(json_object_get(receipt, "cancelled")),
           json_array_size(json_object_get(receipt, "in_flight")));
}

int cmd_stop(struct cli *c)
{
    json_auto_t *how = property(), *errors = json_array();
    struct cli_answer a = { 0 };

    if (c->argc)
        return cli_usage(c, "takes no further words; tidings resume lifts a stop");
    json_object_update_new(how, json_pack("{s:s*, s:s*, s:s, s:b}", "reason", opt_reason, "until", opt_until, "waiting",
                                          opt_cancel ? "cancel" : "hold", "dry_run", opt_dry));
    if (!stop_set(c->service, how, g_get_user_name(), errors, on_cli_answer, &a))
        return refuse(c, errors);
    cli_wait(c, &a);
    json_auto_t *receipt = a.result;
    if (!a.ok)
        return cli_fail("the store did not answer for all partitions: the stop may hold in a part; repeat it");
    if (c->json)
        cli_print(receipt);
    else
        print_receipt(receipt);
    return 0;
}

int cmd_resume(struct cli *c)
{
    json_auto_t *how = property(), *errors = json_array();
    g_autofree char *id = c->argc == 1 ? g_strdup(c->argv[0]) : stop_id(how, errors);
    struct cli_answer a = { 0 };

    if (c->argc > 1 || (c->argc == 1 && json_object_size(how)))
        return cli_usage(c, "needs one stop, by its id or its property");
    if (!id)
        return refuse(c, errors);
    stop_lift(c->service, id, g_get_user_name(), on_cli_answer, &a);
    cli_wait(c, &a);
    json_auto_t *lifted = a.result;
    if (!a.ok)
        return cli_fail("the store did not answer for all partitions; repeat it");
    if (!json_is_true(json_object_get(lifted, "lifted")))
        return cli_fail("there is no stop %s; tidings stops lists those that stand", id);
    if (c->json)
        cli_print(lifted);
    else
        printf("%s goes on\n", id);
    return 0;
}

static void print_stop(const json_t *stop)
{
    const char *until = json_string_value(json_object_get(stop, "until"));

    printf("%-32s by %s since %s%s%s  %s\n", json_string_value(json_object_get(stop, "id")),
           json_string_value(json_object_get(stop, "who")), json_string_value(json_object_get(stop, "since")),
           until ? " until " : "", until ? until : "", json_string_value(json_object_get(stop, "reason")));
}

int cmd_stops(struct cli *c)
{
    struct cli_answer a = { 0 };
    json_t *stop;
    size_t i;

    if (c->argc)
        return cli_usage(c, "takes no further words");
    stops_list(c->service, on_cli_answer, &a);
    cli_wait(c, &a);
    json_auto_t *list = a.result;
    if (!a.ok)
        return cli_answer_failed();
    if (c->json) {
        cli_print(list);
        return 0;
    }
    json_array_foreach (json_object_get(list, "stops"), i, stop)
        print_stop(stop);
    return 0;
}
