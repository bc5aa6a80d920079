#include "dispatcher/service.h"

#include <glib.h>
#include <string.h>

#include "channels/address.h"
#include "dispatcher/policy/policy_load.h"
#include "dispatcher/config/settings.h"
#include "dispatcher/config/values.h"
#include "dispatcher/store/journeys.h"
#include "dispatcher/store/messages.h"

struct library *service_library(const struct service *s, char **why)
{
    g_autofree char *dir = config_path(s->config, s->config->root, "templates");
    struct library *l = library_begin(dir, setting_text(s->config->root, "defaults.locale"), s->hooks, why);
    if (l)
        library_isolate(l, setting_bool(s->config->root, "defaults.isolate_values"));
    return l;
}

static char *take_config(struct service *s, struct config *config)
{
    char address[ADDRESS_SIZE], *name, *mailbox;
    const char *why;

    setting_mailbox_parse(&name, &mailbox, setting_text(config->root, "email.from"));
    why = address_email(address, mailbox);
    g_free(mailbox);
    if (why) {
        g_free(name);
        return config_complaint(config, "email.from", why);
    }
    g_free(s->from_name);
    g_free(s->from);
    g_free(s->public_url);
    g_free(s->default_locale);
    s->from_name = name;
    s->from = g_strdup(address);
    s->public_url = config_public_url(config);
    s->default_locale = g_strdup(setting_text(config->root, "defaults.locale"));
    s->feedback_sender = setting_text(config->root, "email.feedback_id");
    s->max_attachments = (size_t)setting_int(config->root, "email.max_attachments");
    s->default_zone = zone_open(setting_text(config->root, "defaults.timezone"));
    return NULL;
}

struct service *service_open(struct ev_loop *loop, const char *file, const struct library_hooks *hooks,
                             bool need_templates, char **why)
{
    struct service *s = g_new0(struct service, 1);

    s->loop = loop;
    s->hooks = hooks;
    *why = NULL;
    if ((s->config = config_load(file, why)) && (s->policy = policy_new(s->config, why)))
        *why = take_config(s, s->config);
    if (!*why && !(s->library = service_library(s, why)) && !need_templates)
        g_clear_pointer(why, g_free);
    while (s->library && library_go_on(s->library))
        ;
    if (!*why) {
        s->built_in = library_built_in(s->default_locale, hooks);
        return s;
    }
    service_close(s);
    return NULL;
}

bool service_connect(struct service *s, double clock_rate, double timeout, char **why)
{
    s->store = store_open(s->loop, s->config, clock_rate, s->takes_over, why);
    if (!s->store)
        return false;
    s->accepts = batches_new(s->store, s->loop, &accept_kind, 1, s->store);
    s->looks = batches_new(s->store, s->loop, &look_kind, 1, s->store);
    s->steps = batches_new(s->store, s->loop, &step_kind, 1, s->store);
    return store_wait(s->store, timeout, why);
}

void service_disconnect(struct service *s)
{
    if (!s || !s->store)
        return;
    batches_refuse(s->accepts);
    batches_refuse(s->looks);
    batches_refuse(s->steps);
    store_disconnect(s->store);
}

void service_close(struct service *s)
{
    if (!s)
        return;
    service_disconnect(s);
    batches_free(s->accepts);
    batches_free(s->looks);
    batches_free(s->steps);
    store_close(s->store);
    if (s->turns)
        g_hash_table_unref(s->turns);
    if (s->moved)
        g_hash_table_unref(s->moved);
    library_free(s->library);
    library_free(s->built_in);
    policy_free(s->policy);
    stops_free(s->stops);
    config_free(s->config);
    g_free(s->public_url);
    g_free(s->from_name);
    g_free(s->from);
    g_free(s->default_locale);
    g_free(s);
}

const struct zone *service_account_zone(const struct service *s, const json_t *profile)
{
    const char *account = json_string_value(json_object_get(profile, "account"));
    const struct zone *zone = account ? g_hash_table_lookup(s->policy->accounts, account) : NULL;

    return zone ? zone : s->default_zone;
}

const struct zone *service_zone(const struct service *s, const json_t *profile)
{
    const char *name = json_string_value(json_object_get(profile, "timezone"));
    const struct zone *zone = name ? zone_open(name) : NULL;

    return zone ? zone : service_account_zone(s, profile);
}

const char *service_region(const json_t *profile)
{
    return json_string_value(json_object_get(json_object_get(profile, "attributes"), "region"));
}
