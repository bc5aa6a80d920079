#include "dispatcher/service.h"

#include <glib.h>
#include <string.h>

#include "channels/address.h"
#include "dispatcher/base/log.h"
#include "dispatcher/config/settings.h"
#include "dispatcher/content/lint.h"
#include "dispatcher/content/render.h"

static struct library *open_library(const struct config *config, char **why)
{
    g_autofree char *dir = config_path(config, config->root, "templates");
    return library_open(dir, setting_text(config->root, "defaults.locale"), &render_hooks, why);
}

static void log_finding(void *arg, bool error, const char *place, const char *what)
{
    if (error)
        log_error("template.broken", "{s:s, s:s}", "place", place, "what", what);
}

void service_lint(const struct service *s, struct library *library)
{
    lint_templates(s, library, NULL, log_finding, NULL);
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
    s->default_zone = zone_open(setting_text(config->root, "defaults.timezone"));
    return NULL;
}

struct service *service_open(struct ev_loop *loop, const char *file, bool need_templates, char **why)
{
    struct service *s = g_new0(struct service, 1);

    s->loop = loop;
    *why = NULL;
    if ((s->config = config_load(file, why)) && (s->policy = policy_new(s->config, why)))
        *why = take_config(s, s->config);
    if (!*why && !(s->library = open_library(s->config, why)) && !need_templates)
        g_clear_pointer(why, g_free);
    if (!*why) {
        s->built_in = library_built_in(s->default_locale, &render_hooks);
        return s;
    }
    service_close(s);
    return NULL;
}

bool service_connect(struct service *s, double clock_rate, double timeout, char **why)
{
    s->store = store_open(s->loop, s->config, clock_rate, why);
    return s->store && store_wait(s->store, timeout, why);
}

void service_close(struct service *s)
{
    if (!s)
        return;
    store_close(s->store);
    library_free(s->library);
    library_free(s->built_in);
    policy_free(s->policy);
    config_free(s->config);
    g_free(s->public_url);
    g_free(s->from_name);
    g_free(s->from);
    g_free(s->default_locale);
    g_free(s);
}

static void reload_templates(struct service *s)
{
    char *why = NULL;
    struct library *fresh = open_library(s->config, &why);

    if (!fresh) {
        log_error("reload.kept", "{s:s, s:s}", "what", "templates", "why", why);
        g_free(why);
        return;
    }
    service_lint(s, fresh);
    if (s->library)
        library_adopt(fresh, s->library);
    s->library = fresh;
}

void service_reload(struct service *s)
{
    char *why = NULL;
    struct config *config = config_load(strcmp(s->config->file, "(built-in)") == 0 ? NULL : s->config->file, &why);
    struct policy *policy = config ? policy_new(config, &why) : NULL;

    if (policy) {
        policy_free(s->policy);
        s->policy = policy;
        config_free(config); /* what needs a restart stays as it was */
        log_info("reload.done", "{s:s}", "what", "policy");
    } else {
        log_error("reload.kept", "{s:s, s:s}", "what", "policy", "why", why);
        g_free(why);
        config_free(config);
    }
    reload_templates(s);
    log_info("reload.done", "{s:s}", "what", "templates");
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
