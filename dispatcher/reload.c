#include "dispatcher/reload.h"

#include <glib.h>
#include <string.h>

#include "dispatcher/policy/policy_load.h"
#include "dispatcher/base/log.h"
#include "dispatcher/config/settings.h"
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

/* What a running service does not take in, and so must be said. */
static char *needs_restart(const json_t *old, const json_t *new)
{
    static const char *const taken[] = { "categories",         "caps",  "quiet_hours", "windows",
                                         "accounts",           "retry", "in_app",      "email.suppress",
                                         "email.soft_bounces", NULL };
    GString *list = g_string_new(NULL);

    for (size_t i = 0; i < settings_count; i++) {
        const char *path = settings_table[i].path;
        g_auto(GStrv) words = g_strsplit(path, ".", 3);
        const char *last = words[1] ? words[1] : words[0];
        g_autofree char *head = words[1] ? g_strdup_printf("%s.%s", words[0], words[1]) : g_strdup(path);
        if (strpbrk(path, "[*") || (words[1] && words[2]) || settings_table[i].type == SET_SECTION ||
            g_strv_contains(taken, words[0]) || g_strv_contains(taken, head))
            continue;
        const json_t *a = words[1] ? json_object_get(old, words[0]) : old,
                     *b = words[1] ? json_object_get(new, words[0]) : new;
        if (!json_equal(json_object_get(a, last), json_object_get(b, last)) &&
            (json_object_get(a, last) || json_object_get(b, last)))
            g_string_append_printf(list, "%s%s", list->len ? ", " : "", path);
    }
    return g_string_free(list, FALSE);
}

void reload(struct service *s)
{
    char *why = NULL;
    g_autofree char *before = g_strdup(s->policy->version);
    struct config *config = config_load(strcmp(s->config->file, "(built-in)") == 0 ? NULL : s->config->file, &why);
    struct policy *policy = config ? policy_new(config, &why) : NULL;

    if (policy) {
        policy_free(s->policy);
        s->policy = policy;
        g_autofree char *restart = needs_restart(s->config->root, config->root);
        if (*restart)
            log_warn("reload.needs_restart", "{s:s}", "settings", restart);
        config_free(config); /* what needs a restart stays as it was */
        log_info("reload.done", "{s:s}", "what", "policy");
    } else {
        log_error("reload.kept", "{s:s, s:s}", "what", "policy", "why", why);
        g_free(why);
        config_free(config);
    }
    reload_templates(s);
    if (s->store)
        store_rules(s->store, s->policy->version,
                    strcmp(before, s->policy->version) != 0); /* what the old ones held back may go now */
    log_info("reload.done", "{s:s}", "what", "templates");
}
