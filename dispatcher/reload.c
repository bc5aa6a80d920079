#include "dispatcher/reload.h"

#include <ev.h>
#include <glib.h>
#include <string.h>

#include "dispatcher/policy/policy_load.h"
#include "dispatcher/base/log.h"
#include "dispatcher/config/settings.h"
#include "dispatcher/content/lint.h"
#include "templates/check.h"
#include "dispatcher/store/pipeline.h"

static void log_finding(void *arg, bool error, const char *place, const char *what)
{
    if (error)
        log_error("template.broken", "{s:s, s:s}", "place", place, "what", what);
}

void reload_lint(const struct service *s, struct library *library)
{
    lint_templates(s, library, NULL, log_finding, NULL);
}

/* What a running service does not take in, and so must be said. */
static char *needs_restart(const json_t *old, const json_t *new)
{
    GString *list = g_string_new(NULL);

    for (size_t i = 0; i < settings_count; i++) {
        const char *path = settings_table[i].path;
        g_auto(GStrv) words = g_strsplit(path, ".", 3);
        const char *last = words[1] ? words[1] : words[0];
        g_autofree char *head = words[1] ? g_strdup_printf("%s.%s", words[0], words[1]) : g_strdup(path);
        if (strpbrk(path, "[*") || (words[1] && words[2]) || settings_table[i].type == SET_SECTION ||
            g_strv_contains(settings_reloaded, words[0]) || g_strv_contains(settings_reloaded, head))
            continue;
        const json_t *a = words[1] ? json_object_get(old, words[0]) : old,
                     *b = words[1] ? json_object_get(new, words[0]) : new;
        if (!json_equal(json_object_get(a, last), json_object_get(b, last)) &&
            (json_object_get(a, last) || json_object_get(b, last)))
            g_string_append_printf(list, "%s%s", list->len ? ", " : "", path);
    }
    return g_string_free(list, FALSE);
}

static void take_policy(struct service *s)
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
        log_info("reload.done", "{s:s}", "what", "policy");
        if (s->store && strcmp(before, policy->version) != 0)
            store_rules(s->store, policy->version, true); /* what the old one held back may go now */
    } else {
        log_error("reload.kept", "{s:s, s:s}", "what", "policy", "why", why);
    }
    g_free(why);
    config_free(config); /* what needs a restart stays as it was */
}

/* ---------------------------------------------------------------- templates, one at a time */

struct reload {
    struct service *service;
    struct library *fresh;
    bool loaded, again;
    GQueue to_check; /* names of templates */
    ev_timer next;
    void (*done)(void *arg);
    void *arg;
};

static void finish(struct reload *r)
{
    struct service *s = r->service;

    if (r->fresh && s->library)
        library_adopt(r->fresh, s->library);
    if (r->fresh)
        s->library = g_steal_pointer(&r->fresh);
    ev_timer_stop(s->loop, &r->next);
    if (s->store)
        store_rules(s->store, s->policy->version, false); /* what waited for a template may go now */
    log_info("reload.done", "{s:s}", "what", "templates");
    r->done(r->arg);
    if (r->again)
        reload_begin(r);
}

static void add_to_check(void *queue, struct template *t)
{
    g_queue_push_tail(queue, g_strdup(template_name(t)));
}

static void on_next(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct reload *r = timer->data;

    if (!r->loaded) {
        r->loaded = !library_go_on(r->fresh);
        if (r->loaded)
            library_each(r->fresh, add_to_check, &r->to_check);
        return;
    }
    g_autofree char *name = g_queue_pop_head(&r->to_check);
    lint_templates(r->service, r->fresh, name ? name : CHECK_SHARED, log_finding, NULL);
    if (!name)
        finish(r);
}

struct reload *reload_new(struct service *s, void (*done)(void *), void *arg)
{
    struct reload *r = g_new0(struct reload, 1);

    r->service = s;
    r->done = done;
    r->arg = arg;
    ev_timer_init(&r->next, on_next, 0, 0.0001);
    r->next.data = r;
    return r;
}

void reload_begin(struct reload *r)
{
    char *why = NULL;

    take_policy(r->service); /* at once, whatever else is under way: nobody decides by the old one any more */
    r->again = ev_is_active(&r->next);
    if (r->again)
        return;
    r->fresh = service_library(r->service, &why);
    r->loaded = false;
    if (r->fresh) {
        ev_timer_again(r->service->loop, &r->next);
        return;
    }
    log_error("reload.kept", "{s:s, s:s}", "what", "templates", "why", why);
    g_free(why);
    finish(r);
}

void reload_free(struct reload *r)
{
    if (!r)
        return;
    ev_timer_stop(r->service->loop, &r->next);
    g_queue_clear_full(&r->to_check, g_free);
    library_free(r->fresh);
    g_free(r);
}
