#include "dispatcher/content/lint.h"

#include <stdlib.h>
#include <string.h>

#include "channels/gsm.h"
#include "channels/in_app.h"
#include "dispatcher/content/render.h"
#include "schedules/instant.h"
#include "templates/check.h"

struct linting {
    const struct service *s;
    const char *only;
    lint_finding_fn *finding;
    void *arg;
};

static bool is_marketing(void *arg, const char *category)
{
    const struct category *c = policy_category(((struct linting *)arg)->s->policy, category);
    return c && c->kind == KIND_MARKETING;
}

static int offset_here(void *arg, int64_t ms)
{
    return render_offset((void *)((struct linting *)arg)->s->default_zone, ms);
}

static char *check_sms(void *arg, const char *category, const char *text)
{
    const struct category *c = policy_category(((struct linting *)arg)->s->policy, category);
    g_autoptr(GString) sms = g_string_new(text);

    if (!c)
        return NULL;
    sms_prepare(sms, c->sms_transliterate, c->sms_cut ? c->sms_max_segments : 0);
    if (!sms->len)
        return g_strdup("is empty");
    int segments = sms_measure(sms->str).segments;
    return segments > c->sms_max_segments ? g_strdup_printf("needs %d segments; at most %d are sent in \"%s\"",
                                                            segments, c->sms_max_segments, category)
                                          : NULL;
}

static char *check_card(void *arg, const char *title, const char *body, const char *url)
{
    g_autofree char *plain = g_strchomp(g_strdup(title)), *address = url ? g_strchomp(g_strdup(url)) : NULL;
    const char *why = NULL;

    free(in_app_card(&(struct card){ .title = plain, .body = body, .url = address }, &why));
    return why ? g_strdup(why) : NULL;
}

static void on_finding(void *arg, bool error, const char *place, const char *what)
{
    const struct linting *l = arg;
    l->finding(l->arg, error, place, what);
}

static void check_category(void *arg, struct template *t)
{
    const struct linting *l = arg;
    const char *name = template_category(t);

    if ((l->only && strcmp(l->only, template_name(t)) != 0) || !name || template_fault(t) ||
        policy_category(l->s->policy, name))
        return;
    g_autofree char *place =
        g_strdup_printf("%s/%s/template.yaml:1", library_view(template_library(t)).dir, template_name(t));
    g_autofree char *what = g_strdup_printf("the category \"%s\" is not in the configuration", name);
    g_autofree char *flaw = g_strconcat(place, ": ", what, NULL);
    template_set_flaw(t, flaw);
    on_finding(arg, true, place, what);
}

void lint_templates(const struct service *s, struct library *library, const char *only, lint_finding_fn *finding,
                    void *arg)
{
    struct linting l = { s, only, finding, arg };
    struct check_options o = { .only = only,
                               .marketing = is_marketing,
                               .offset = offset_here,
                               .instant = instant_parse,
                               .sms = check_sms,
                               .card = check_card,
                               .finding = on_finding,
                               .arg = &l };

    library_check(library, &o);
    library_each(library, check_category, &l);
}
