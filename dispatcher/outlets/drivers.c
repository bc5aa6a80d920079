#include "dispatcher/outlets/drivers.h"

#include <glib.h>
#include <string.h>

#include "channels/mail/pool.h"
#include "channels/web/sms.h"
#include "dispatcher/config/settings.h"

static char *keep(GPtrArray *strings, char *text)
{
    g_ptr_array_add(strings, text);
    return text;
}

static enum email_tls tls_of(const json_t *p)
{
    static const char *const modes[] = { "none", "opportunistic", "required", "implicit", NULL };

    return g_str_has_prefix(setting_text(p, "email.providers[].url"), "smtps:")
               ? EMAIL_TLS_IMPLICIT
               : (enum email_tls)word_index(modes, setting_text(p, "email.providers[].tls"));
}

struct provider *driver_mail(struct service *service, const json_t *p, GPtrArray *strings)
{
    GUri *uri = g_uri_parse(setting_text(p, "email.providers[].url"), G_URI_FLAGS_HAS_PASSWORD, NULL);
    struct email_settings s = {
        .name = setting_text(p, "email.providers[].name"),
        .host = keep(strings, g_strdup(g_uri_get_host(uri))),
        .user = keep(strings, g_strdup(g_uri_get_user(uri))),
        .password = keep(strings, g_strdup(g_uri_get_password(uri))),
        .ca_file = keep(strings, config_path(service->config, p, "email.providers[].ca_file")),
        .hello = setting_text(p, "email.providers[].hello"),
        .tls = tls_of(p),
        .connections = (int)setting_int(p, "email.providers[].connections"),
        .connect_timeout_ms = setting_ms(p, "email.providers[].connect_timeout"),
        .send_timeout_ms = setting_ms(p, "email.providers[].send_timeout"),
        .reply_timeout_ms = setting_ms(p, "email.providers[].reply_timeout"),
    };

    s.port = g_uri_get_port(uri) > 0 ? g_uri_get_port(uri) : s.tls == EMAIL_TLS_IMPLICIT ? 465 : 587;
    g_uri_unref(uri);
    return email_open(service->loop, &s);
}

struct provider *driver_sms(struct service *service, const json_t *p)
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
