#include "dispatcher/reload.h"

#include <glib.h>
#include <string.h>

#include "dispatcher/policy/policy_load.h"
#include "dispatcher/base/log.h"
#include "dispatcher/content/lint.h"

static void log_finding(void *arg, bool error, const char *place, const char *what)
{
    if (error)
        log_error("template.broken", "{s:s, s:s}", "place", place, "what", what);
}

void reload_lint(const struct service *s, struct library *library)
{
    lint_templates(s, library, NULL, log_finding, NULL);
}

static void reload_templates(struct service *s)
{
    char *why = NULL;
    struct library *fresh = service_library(s, &why);

    if (!fresh) {
        log_error("reload.kept", "{s:s, s:s}", "what", "templates", "why", why);
        g_free(why);
        return;
    }
    reload_lint(s, fresh);
    if (s->library)
        library_adopt(fresh, s->library);
    s->library = fresh;
}

void reload(struct service *s)
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
    if (s->store) { /* what the old ones held back may go now */
        store_rules(s->store, s->policy->version);
        store_templates_anew(s->store);
    }
    log_info("reload.done", "{s:s}", "what", "templates");
}
