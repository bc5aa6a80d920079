#include "dispatcher/outlets/drivers.h"

#include <assert.h>
#include <glib.h>
#include <string.h>

#include "channels/mail/pool.h"
#include "channels/rehearsal.h"
#include "channels/web/sms.h"
#include "dispatcher/base/vocab.h"
#include "dispatcher/config/settings.h"

#define LONGEST_REST_S 900.0
#define STORE_PLACES   256

static enum email_tls tls_of(const json_t *p)
{
    static const char *const modes[] = { "none", "opportunistic", "required", "implicit", NULL };

    return g_str_has_prefix(setting_text(p, "email.providers[].url"), "smtps:")
               ? EMAIL_TLS_IMPLICIT
               : (enum email_tls)word_index(modes, setting_text(p, "email.providers[].tls"));
}

struct provider *driver_mail(struct service *service, const json_t *p)
{
    g_autofree char *ca_file = config_path(service->config, p, "email.providers[].ca_file");
    g_autoptr(GUri) uri = g_uri_parse(setting_text(p, "email.providers[].url"), G_URI_FLAGS_HAS_PASSWORD, NULL);
    struct email_settings s = {
        .name = setting_text(p, "email.providers[].name"),
        .host = g_uri_get_host(uri),
        .user = g_uri_get_user(uri),
        .password = g_uri_get_password(uri),
        .ca_file = ca_file,
        .hello = setting_text(p, "email.providers[].hello"),
        .tls = tls_of(p),
        .connections = (int)setting_int(p, "email.providers[].connections"),
        .connect_timeout_ms = setting_ms(p, "email.providers[].connect_timeout"),
        .send_timeout_ms = setting_ms(p, "email.providers[].send_timeout"),
        .reply_timeout_ms = setting_ms(p, "email.providers[].reply_timeout"),
    };

    s.port = g_uri_get_port(uri) > 0 ? g_uri_get_port(uri) : s.tls == EMAIL_TLS_IMPLICIT ? 465 : 587;
    return email_open(service->loop, &s);
}

static struct provider *driver_sms(struct service *service, const json_t *p)
{
    const json_t *request = json_object_get(p, "request");
    struct sms_settings s = {
        .name = setting_text(p, "sms.providers[].name"),
        .url = setting_text(p, "sms.providers[].url"),
        .sender = setting_text(p, "sms.providers[].sender"),
        .signing_secret = setting_text(p, "sms.providers[].signing_secret"),
        .concurrency = (int)setting_int(p, "sms.providers[].concurrency"),
        .timeout_ms = setting_ms(p, "sms.providers[].timeout"),
        .headers = json_object_get(request, "headers"),
        .body = json_object_get(request, "body"),
        .form = strcmp(setting_text(p, "sms.providers[].request.format"), "form") == 0,
    };

    return sms_open(service->loop, &s);
}

/* ---------------------------------------------------------------- the tables */

/* The settings of a channel's outlets.  Without a list it is the store itself that takes what is sent. */
static const struct way {
    enum channel channel;
    const char *list, *name, *url, *places, *rate;
    const char *rest; /* longest one that an outlet may ask for; NULL: the default */
} ways[] = {
#define OF(list, places) list, list "[].name", list "[].url", list "[]." places, list "[].rate"
    { CHANNEL_EMAIL, OF("email.providers", "connections"), NULL },
    { CHANNEL_SMS, OF("sms.providers", "concurrency"), "sms.providers[].max_retry_after" },
    { CHANNEL_IN_APP, .list = NULL },
};

static const struct driver {
    enum channel channel;
    const char *schemes[3]; /* of the URL */
    struct provider *(*open)(struct service *, const json_t *entry);
} drivers[] = {
    { CHANNEL_EMAIL, { "smtp", "smtps" }, driver_mail },
    { CHANNEL_SMS, { "http", "https" }, driver_sms },
};

static const struct driver *driver_of(enum channel channel, const char *url)
{
    g_autofree char *scheme = g_uri_parse_scheme(url);

    for (size_t i = 0; i < G_N_ELEMENTS(drivers); i++)
        for (const char *const *s = drivers[i].schemes; *s; s++)
            if (drivers[i].channel == channel && g_ascii_strcasecmp(*s, scheme ? scheme : "") == 0)
                return &drivers[i];
    assert(!"the table of settings lets no other scheme pass");
    return NULL;
}

static void add_configured(struct outbox *o, struct service *service, const struct way *way, const json_t *entry)
{
    struct outlet_terms terms = { .name = setting_text(entry, way->name),
                                  .places = (int)setting_int(entry, way->places),
                                  .rate = setting_rate(entry, way->rate),
                                  .longest_rest =
                                      way->rest ? (double)setting_ms(entry, way->rest) / 1000 : LONGEST_REST_S };

    outbox_add(o, way->channel, driver_of(way->channel, setting_text(entry, way->url))->open(service, entry), &terms);
}

struct outbox *drivers_open(struct service *service)
{
    struct outbox *o = outbox_new(service->loop);
    json_t *entry;
    size_t at;

    for (size_t i = 0; i < G_N_ELEMENTS(ways); i++)
        if (ways[i].list && service->rehearsal)
            outbox_add(
                o, ways[i].channel,
                rehearsal_open(service->loop, channel_rows[ways[i].channel].name, service->rehearsal->outcome,
                               service->rehearsal->arg),
                &(struct outlet_terms){ .name = "rehearsal", .places = STORE_PLACES, .longest_rest = LONGEST_REST_S });
        else if (!ways[i].list)
            outbox_add(o, ways[i].channel, NULL, &(struct outlet_terms){ .name = "inbox", .places = STORE_PLACES });
        else
            json_array_foreach ((json_t *)setting_json(service->config->root, ways[i].list), at, entry)
                add_configured(o, service, &ways[i], entry);
    return o;
}
