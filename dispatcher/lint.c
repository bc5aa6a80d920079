#include "dispatcher/lint.h"

#include <string.h>

#include "channels/gsm.h"
#include "dispatcher/render.h"
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
    return zone_offset(((struct linting *)arg)->s->default_zone, ms);
}

static char *check_sms(void *arg, const char *category, const char *text)
{
    const struct category *c = policy_category(((struct linting *)arg)->s->policy, category);
    g_autoptr(GString) sms = g_string_new(text);

    if (!c)
        return NULL;
    sms_prepare(sms, c->sms_transliterate, c->sms_cut ? c->sms_max_segments : 0);
    int segments = sms_measure(sms->str).segments;
    return segments > c->sms_max_segments ? g_strdup_printf("needs %d segments; at most %d are sent in \"%s\"",
                                                            segments, c->sms_max_segments, category)
                                          : NULL;
}

static void on_finding(void *arg, struct template *t, bool error, const char *place, const char *what)
{
    const struct linting *l = arg;
    g_autofree char *flaw = g_strconcat(place, ": ", what, NULL);

    if (t && error && !template_flaw(t))
        template_set_flaw(t, flaw);
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
    on_finding(arg, t, true, place, what);
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
                               .finding = on_finding,
                               .arg = &l };

    library_check(library, &o);
    library_each(library, check_category, &l);
}
