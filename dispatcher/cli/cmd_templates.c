#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "channels/gsm.h"
#include "channels/header.h"
#include "dispatcher/base/clock.h"
#include "dispatcher/cli/cli.h"
#include "dispatcher/content/lint.h"
#include "dispatcher/content/preview.h"
#include "dispatcher/content/render.h"
#include "schedules/instant.h"
#include "templates/check.h"

static gboolean opt_strict;
static char *opt_out, *opt_channel, *opt_locale, *opt_data, *opt_part;
const GOptionEntry template_options[] = {
    { "channel", 0, 0, G_OPTION_ARG_STRING, &opt_channel, "email, sms or in_app (default: the template's first)",
      "CH" },
    { "locale", 0, 0, G_OPTION_ARG_STRING, &opt_locale, "BCP 47 tag (default: defaults.locale)", "TAG" },
    { "data", 0, 0, G_OPTION_ARG_FILENAME, &opt_data, "JSON with the message's data (default: the samples)", "FILE" },
    { "part", 0, 0, G_OPTION_ARG_STRING, &opt_part, "just this part, byte for byte", "PART" },
    { "out", 0, 0, G_OPTION_ARG_FILENAME, &opt_out, "preview: where the page goes (default: standard output)", "FILE" },
    { "strict", 0, 0, G_OPTION_ARG_NONE, &opt_strict, "check: warnings count as errors", NULL },
    { 0 },
};

/* ---------------------------------------------------------------- check */

struct findings {
    struct cli *cli;
    json_t *list;
    int errors, warnings;
};

static void on_finding(void *arg, bool error, const char *place, const char *what)
{
    struct findings *f = arg;

    f->errors += error;
    f->warnings += !error;
    if (f->cli->json)
        json_array_append_new(
            f->list, json_pack("{s:s, s:s, s:s}", "level", error ? "error" : "warning", "place", place, "what", what));
    else
        printf("%s: %s: %s\n", place, error ? "error" : "warning", what);
}

static int template_check(struct cli *c, const char *only)
{
    struct findings f = { c, json_array(), 0, 0 };

    if (only && !library_find(c->service->library, only)) {
        json_decref(f.list);
        return cli_fail("there is no template %s", only);
    }
    lint_templates(c->service, c->service->library, only, on_finding, &f);
    if (c->json)
        cli_print(f.list);
    else
        printf("%d error(s), %d warning(s)\n", f.errors, f.warnings);
    json_decref(f.list);
    return f.errors || (opt_strict && f.warnings) ? 1 : 0;
}

/* ---------------------------------------------------------------- render */

static json_t *context_of(struct cli *c, struct template *t, char **why)
{
    json_error_t error;

    if (!opt_data)
        return template_sample(t);
    json_t *data = strcmp(opt_data, "-") == 0 ? json_loadf(stdin, JSON_REJECT_DUPLICATES, &error)
                                              : json_load_file(opt_data, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(data)) {
        *why =
            g_strdup_printf("%s:%d: %s", opt_data, data ? 1 : error.line, data ? "must be a JSON object" : error.text);
        json_decref(data);
        return NULL;
    }
    json_auto_t *given = template_given(t), *links = render_links(c->service, "", "cus_1", template_category(t) ?: "");
    json_object_set(given, "links", links);
    json_object_update_missing(data, given);
    return data;
}

static void print_part(const char *name, const GString *part)
{
    if (opt_part)
        fwrite(part->str, 1, part->len, stdout);
    else
        printf("--- %s\n%s%s", name, part->str, part->len && part->str[part->len - 1] == '\n' ? "" : "\n");
}

static int print_rendered(const struct channel_parts *c, struct rendered *r)
{
    bool any = false;

    if (strcmp(c->channel, "email") == 0 && r->part[0])
        header_tidy(r->part[0]); /* as it is sent */
    if (strcmp(c->channel, "sms") == 0 && r->part[0])
        sms_clean(r->part[0]);

    for (int i = 0; c->part[i].name; i++)
        if (r->part[i] && (!opt_part || strcmp(opt_part, c->part[i].name) == 0)) {
            print_part(c->part[i].name, r->part[i]);
            any = true;
        }
    return any ? 0 : cli_fail("this template has no part \"%s\" for %s", opt_part ? opt_part : "", c->channel);
}

static int template_render_command(struct cli *c, const char *name)
{
    struct template *t = library_find(c->service->library, name);
    const char *channel = opt_channel ? opt_channel : t && !template_fault(t) ? template_channels(t)[0] : "email";
    const struct channel_parts *parts = channel_parts_of(channel);
    char *why = NULL;
    struct rendered r;

    if (!t)
        return cli_fail("there is no template %s", name);
    if (!parts)
        return cli_usage(c, "the channel is one of %s", CHANNEL_LIST);
    json_auto_t *context = context_of(c, t, &why);
    if (!context) {
        int status = cli_fail("%s", why);
        g_free(why);
        return status;
    }
    struct render_request request = { .channel = channel,
                                      .locale = opt_locale,
                                      .only_part = opt_part,
                                      .context = context,
                                      .arg = (void *)c->service->default_zone,
                                      .offset = render_offset,
                                      .instant = instant_parse };
    int status = template_render(t, &request, &r) ? print_rendered(parts, &r) : cli_fail("%s", r.why);
    rendered_clear(&r);
    return status;
}

/* ---------------------------------------------------------------- preview */

static int template_preview(struct cli *c)
{
    g_autoptr(GString) page = g_string_new(NULL);
    g_autofree char *why = preview_page(c->service, page);
    GError *error = NULL;

    if (why)
        return cli_fail("%s", why);
    if (!opt_out)
        return fwrite(page->str, 1, page->len, stdout) == page->len ? 0 : cli_fail("standard output is closed");
    if (g_file_set_contents(opt_out, page->str, (gssize)page->len, &error))
        return 0;
    int status = cli_fail("%s", error->message);
    g_error_free(error);
    return status;
}

int cmd_template(struct cli *c)
{
    const char *what = c->argc ? c->argv[0] : "";

    if (!c->service->library) {
        char *why = NULL;
        service_close(service_open(c->loop, c->config, &render_hooks, true, &why));
        int status = cli_fail("%s", why ? why : "the templates cannot be read");
        g_free(why);
        return status;
    }
    if (strcmp(what, "check") == 0 && c->argc <= 2)
        return template_check(c, c->argc == 2 ? c->argv[1] : NULL);
    if (strcmp(what, "render") == 0 && c->argc == 2)
        return template_render_command(c, c->argv[1]);
    if (strcmp(what, "preview") == 0 && c->argc == 1)
        return template_preview(c);
    return cli_usage(c, "needs check [NAME], render NAME or preview");
}
