#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ev.h>

#include "dispatcher/base/clock.h"
#include "dispatcher/config/settings.h"
#include "dispatcher/outlets/drivers.h"
#include "dispatcher/store/wire/upgrade.h"
#include "dispatcher/http/faces.h"
#include "dispatcher/cli/cli.h"

static gboolean opt_settings;
const GOptionEntry check_options[] = {
    { "settings", 0, 0, G_OPTION_ARG_NONE, &opt_settings, "print every setting with type, default and help", NULL },
    { 0 },
};

static int print_settings(void)
{
    const struct setting *all = settings_table;

    printf("| setting | type | default | range | meaning |\n| --- | --- | --- | --- | --- |\n");
    for (size_t i = 0; i < settings_count; i++)
        if (*all[i].help) {
            g_auto(GStrv) range = g_strsplit(all[i].range ? all[i].range : "", "|", 0);
            g_autofree char *ranges = g_strjoinv(", ", range);
            printf("| `%s` | %s | %s | %s | %s |\n", all[i].path, setting_type_name(all[i].type),
                   !all[i].fallback   ? ""
                   : *all[i].fallback ? all[i].fallback
                                      : "(required)",
                   ranges, all[i].help);
        }
    return 0;
}

/* ---------------------------------------------------------------- findings */

struct checking {
    struct cli *cli;
    json_t *list;
    int errors;
};

static void say(struct checking *k, const char *level, const char *what, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static void say(struct checking *k, const char *level, const char *what, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    g_autofree char *text = g_strdup_vprintf(format, ap);
    va_end(ap);
    k->errors += strcmp(level, "error") == 0;
    if (k->cli->json)
        json_array_append_new(k->list, json_pack("{s:s, s:s, s:s}", "level", level, "what", what, "detail", text));
    else
        printf("%-8s %-22s %s\n", level, what, text);
}

static void check_secret(struct checking *k, const char *what, const char *secret, size_t least)
{
    if (secret && strlen(secret) < least)
        say(k, "warning", what, "this secret is short enough to be guessed; make one with: openssl rand -base64 32");
}

/* ---------------------------------------------------------------- providers, by a conversation that sends nothing */

static size_t swallow(char *bytes, size_t size, size_t n, void *arg)
{
    return size * n;
}

static void probe(struct checking *k, const char *name, CURL *easy)
{
    char error[CURL_ERROR_SIZE] = "";

    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, 5000L);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, 10000L);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, error);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, swallow);
    CURLcode code = curl_easy_perform(easy);
    if (code == CURLE_OK)
        say(k, "ok", name, "answers");
    else
        say(k, "error", name, "%s", *error ? error : curl_easy_strerror(code));
    curl_easy_cleanup(easy);
}

struct probing {
    struct provider *provider;
    struct ticket *ticket;
    struct outcome outcome;
    bool done;
};

static void on_probe_ask(void *arg)
{
    struct probing *p = arg;
    p->provider->type->answer(p->ticket, false);
}

static void on_probe_done(void *arg, const struct outcome *o)
{
    struct probing *p = arg;

    p->outcome = *o;
    p->done = true;
}

/* The worker's own client, as far as the envelope of a mail from us to ourselves: greeting, TLS, log-in, name, sender.
 */
static void probe_mail(struct checking *k, const char *what, const json_t *p)
{
    struct service *s = k->cli->service;
    struct probing probing = { .provider = driver_mail(s, p) };
    struct parcel parcel = { .id = "check", .from = s->from, .to = s->from, .bytes = "", .len = 0 };

    probing.ticket = probing.provider->type->send(probing.provider, &parcel,
                                                  (struct parcel_events){ on_probe_ask, on_probe_done, &probing });
    while (!probing.done)
        ev_run(k->cli->loop, EVRUN_ONCE);
    probing.provider->type->close(probing.provider);
    if (probing.outcome.kind == OUTCOME_STOPPED)
        say(k, "ok", what, "answers");
    else if (probing.outcome.kind == OUTCOME_REFUSED || probing.outcome.kind == OUTCOME_DEFERRED)
        say(k, "warning", what, "answers, but would not take a mail from %s to itself: %s", s->from,
            probing.outcome.detail);
    else
        say(k, "error", what, "%s", probing.outcome.detail);
}

static void check_mail(struct checking *k, const json_t *p)
{
    const char *url = setting_text(p, "email.providers[].url"), *tls = setting_text(p, "email.providers[].tls");
    g_autofree char *what = g_strdup_printf("email %s", setting_text(p, "email.providers[].name"));
    bool verified = strcmp(tls, "implicit") == 0 || strcmp(tls, "required") == 0 || g_str_has_prefix(url, "smtps:");

    if (!verified && strchr(url, '@'))
        say(k, "warning", what, "the password travels without a verified certificate; set tls: required");
    if (strcmp(tls, "none") == 0 && !g_str_has_prefix(url, "smtps:"))
        say(k, "warning", what, "mail travels in the clear");
    probe_mail(k, what, p);
}

static void check_gateway(struct checking *k, const json_t *p)
{
    const char *url = setting_text(p, "sms.providers[].url");
    g_autofree char *what = g_strdup_printf("sms %s", setting_text(p, "sms.providers[].name"));
    CURL *easy = curl_easy_init();

    if (g_str_has_prefix(url, "http:"))
        say(k, "warning", what, "texts and numbers travel in the clear; use https");
    if (!setting_text(p, "sms.providers[].signing_secret"))
        say(k, "warning", what, "requests are not signed; set signing_secret");
    check_secret(k, what, setting_text(p, "sms.providers[].signing_secret"), 38); /* whsec_ and 24 bytes */
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L); /* name, connection and certificate; no request */
    probe(k, what, easy);
}

static void check_providers(struct checking *k)
{
    const json_t *root = k->cli->service->config->root;
    json_t *p;
    size_t i;

    if (!json_array_size(setting_json(root, "email.providers")))
        say(k, "warning", "email", "no provider is configured: mail will fail as provider_unavailable");
    if (!json_array_size(setting_json(root, "sms.providers")))
        say(k, "warning", "sms", "no provider is configured: SMS will fail as provider_unavailable");
    json_array_foreach ((json_t *)setting_json(root, "email.providers"), i, p)
        check_mail(k, p);
    json_array_foreach ((json_t *)setting_json(root, "sms.providers"), i, p)
        check_gateway(k, p);
}

/* ---------------------------------------------------------------- the rest */

static void check_redis(struct checking *k)
{
    char *why = NULL;

    if (!service_connect(k->cli->service, 0, 8, &why)) {
        say(k, "error", "redis", "%s", why);
        g_free(why);
        return;
    }
    const struct store *s = k->cli->service->store;
    say(k, "ok", "redis", "version %s, schema %d, %d partitions, durability %s", s->version, SCHEMA, s->partitions,
        durability_name(s->durability));
    if (clock_rate() != 1)
        say(k, "warning", "clock", "service time runs %g times as fast (--clock-rate): for demonstrations only",
            clock_rate());
    if (s->warning)
        say(k, "warning", "redis", "%s", s->warning);
}

static void on_template(void *arg, struct template *t)
{
    if (template_fault(t))
        say(arg, "error", template_name(t), "%s", template_fault(t));
}

static void check_http(struct checking *k)
{
    const json_t *root = k->cli->service->config->root;
    json_t *key;
    size_t i;

    check_secret(k, "http.secret", setting_text(root, "http.secret"), 16);
    json_array_foreach ((json_t *)setting_json(root, "http.keys"), i, key)
        check_secret(k, setting_text(key, "http.keys[].name"), setting_text(key, "http.keys[].secret"), 16);

    if (!json_array_size(setting_json(root, "http.keys")))
        say(k, "warning", "http", "without http.keys whoever reaches %s may do everything",
            setting_text(root, "http.listen"));
    if (!g_str_has_prefix(k->cli->service->public_url, "https:"))
        say(k, "warning", "http", "links that customers get begin with %s; set http.public_url to an https address",
            k->cli->service->public_url);
}

int cmd_check(struct cli *c)
{
    struct checking k = { .cli = c, .list = json_array() };

    if (c->argc) {
        json_decref(k.list);
        return cli_usage(c, "takes no further words");
    }
    if (opt_settings) {
        json_decref(k.list);
        return print_settings();
    }
    say(&k, "ok", "configuration", "%s", c->service->config->file);
    if (c->service->library)
        library_each(c->service->library, on_template, &k);
    else
        say(&k, "error", "templates", "the folder of templates cannot be read");
    check_http(&k);
    check_redis(&k);
    check_providers(&k);
    g_autofree char *integrity = face_integrity("inbox.js");
    if (c->json)
        cli_print(k.list);
    else
        printf("/inbox.js has integrity=\"%s\"\n", integrity);
    json_decref(k.list);
    return k.errors ? cli_fail("%d thing(s) must be mended", k.errors) : 0;
}
