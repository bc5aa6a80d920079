/*
 * The two pages that customers see: /u/{token} and /p/{token}.
 *
 * Rendered from templates/_pages: no script, no cookie, nothing from elsewhere.  GET changes
 * nothing, because mail scanners follow links; POST needs only the token.
 */
#include <string.h>

#include "dispatcher/base/clock.h"
#include "dispatcher/base/log.h"
#include "dispatcher/base/token.h"
#include "dispatcher/consent.h"
#include "dispatcher/http/handlers.h"
#include "dispatcher/render.h"
#include "schedules/instant.h"

/* One visit: the token's owner, and the language found in the profile. */
struct visit {
    struct request *request;
    struct token token;
    char locale[LOCALE_SIZE];
    void (*then)(struct visit *);
};

static int offset_here(void *arg, int64_t ms)
{
    return render_offset((void *)((const struct service *)arg)->default_zone, ms);
}

/* A page of the operator's own that cannot be rendered gives way to the built-in one. */
static bool render_page(struct service *s, const char *page, const struct render_request *request, GString *out,
                        char language[static LOCALE_SIZE])
{
    struct library *const from[] = { s->library, s->built_in };

    for (size_t i = 0; i < G_N_ELEMENTS(from); i++) {
        g_string_truncate(out, 0);
        g_autofree char *why =
            from[i] ? template_page(library_pages(from[i]), page, request, out, language) : g_strdup("no templates");
        if (!why)
            return true;
        if (from[i])
            log_error("page.failed", "{s:s, s:s}", "page", page, "why", why);
    }
    return false;
}

/* Takes the context. */
static void answer_page(struct request *r, int status, const char *locale, const char *page, json_t *context)
{
    struct render_request request = {
        .locale = locale, .context = context, .arg = r->service, .offset = offset_here, .instant = instant_parse
    };
    char language[LOCALE_SIZE] = "";
    g_autoptr(GString) out = g_string_new(NULL);

    if (render_page(r->service, page, &request, out, language)) {
        answer_header(r, "Content-Security-Policy",
                      "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; "
                      "frame-ancestors 'none'");
        answer_header(r, "Content-Language", language);
        answer_text(r, status, "text/html; charset=utf-8", out->str, out->len);
    } else {
        answer_problem(r, 500, "this page cannot be shown; the log says why");
    }
    json_decref(context);
}

static json_t *category_context(const char *category)
{
    return json_pack("{s:o}", "category", *category ? json_string(category) : json_null());
}

static void on_profile(void *arg, const char *text)
{
    struct visit *v = arg;
    json_auto_t *profile = text && *text ? json_loads(text, 0, NULL) : NULL;

    if (!text) {
        answer_unless_gone(v->request, false);
        g_free(v);
        return;
    }
    const char *locale = json_string_value(json_object_get(profile, "locale"));
    g_strlcpy(v->locale, locale ? locale : "", sizeof v->locale);
    v->then(v);
    g_free(v);
}

/* Mail programs leave a dot or a bracket behind a link. */
static void visit(struct request *r, enum token_purpose purpose, void (*then)(struct visit *))
{
    struct visit *v = g_new0(struct visit, 1);
    size_t len = strlen(r->param[0]);

    while (len && strchr(".)>,", r->param[0][len - 1]))
        r->param[0][--len] = '\0';
    v->request = r;
    v->then = then;
    if (!r->service->store->secret ||
        !token_read(r->service->store->secret, purpose, r->param[0], clock_now(), &v->token)) {
        const char *language = request_header(r, "Accept-Language");
        g_autofree char *first = g_strndup(language ? language : "", strcspn(language ? language : "", ",;"));
        answer_page(r, 400, first, "invalid", json_object());
        g_free(v);
        return;
    }
    store_profile(r->service->store, v->token.recipient, on_profile, v);
}

/* ---------------------------------------------------------------- unsubscribe */

static void show_unsubscribe(struct visit *v)
{
    answer_page(v->request, 200, v->locale, "unsubscribe", category_context(v->token.category));
}

void get_unsubscribe(struct request *r)
{
    visit(r, TOKEN_UNSUBSCRIBE, show_unsubscribe);
}

struct leaving {
    struct request *request;
    const char *page; /* that says so when it is done */
    char category[65], locale[LOCALE_SIZE];
    int open;
    bool gone;
};

static void on_left(void *arg, bool ok, json_t *receipt)
{
    struct leaving *l = arg;

    l->gone |= !ok;
    if (--l->open > 0)
        return;
    if (answer_unless_gone(l->request, !l->gone))
        answer_page(l->request, 200, l->locale, l->page, category_context(l->category));
    g_free(l);
}

static bool change(struct visit *v, struct leaving *l, const char *category, const char *state, const char *source)
{
    json_auto_t *entry =
        json_pack("{s:s, s:s, s:s, s:s}", "category", category, "channel", "*", "state", state, "source", source);
    json_auto_t *errors = json_array();
    bool begun = consent_change(v->request->service, v->token.recipient, entry, "recipient", errors, on_left, l);

    l->open += begun;
    return begun;
}

static struct leaving *leaving_new(struct visit *v, const char *page)
{
    struct leaving *l = g_new0(struct leaving, 1);

    *l = (struct leaving){ .request = v->request, .page = page };
    g_strlcpy(l->category, v->token.category, sizeof l->category);
    g_strlcpy(l->locale, v->locale, sizeof l->locale);
    return l;
}

static void leave(struct visit *v)
{
    struct leaving *l = leaving_new(v, "unsubscribed");

    if (change(v, l, *v->token.category ? v->token.category : "*", "withdrawn", "one-click"))
        return;
    g_free(l);
    answer_problem(v->request, 400, "messages of this kind are needed for your account and cannot be unsubscribed");
}

void post_unsubscribe(struct request *r)
{
    /* RFC 8058: the body is List-Unsubscribe=One-Click, as a form or as multipart */
    const char *at = strstr(r->body->str, "List-Unsubscribe");

    if (r->body->len > 16384 || !at || !strstr(at, "One-Click"))
        answer_problem(r, 400, "POST with List-Unsubscribe=One-Click unsubscribes");
    else
        visit(r, TOKEN_UNSUBSCRIBE, leave);
}

/* ---------------------------------------------------------------- preferences */

/* The newest entry that covers a category on all channels. */
static const char *state_in_ledger(const json_t *ledger, const char *category)
{
    const char *state = NULL, *at = "";
    json_t *entry;
    size_t i;

    json_array_foreach ((json_t *)ledger, i, entry) {
        const char *c = json_string_value(json_object_get(entry, "category")),
                   *when = json_string_value(json_object_get(entry, "at"));
        if ((strcmp(c, category) == 0 || strcmp(c, "*") == 0) &&
            strcmp(json_string_value(json_object_get(entry, "channel")), "*") == 0 && strcmp(when, at) >= 0)
            state = json_string_value(json_object_get(entry, "state")), at = when;
    }
    return state;
}

static void on_ledger(void *arg, bool ok, json_t *result)
{
    struct leaving *l = arg;
    const struct policy *p = l->request->service->policy;
    g_autoptr(GList) names = g_list_sort(g_hash_table_get_keys(p->categories), (GCompareFunc)strcmp);
    json_t *choices = json_array();

    for (GList *n = names; n; n = n->next) {
        const struct category *c = policy_category(p, n->data);
        const char *state = state_in_ledger(json_object_get(result, "consents"), c->name);
        if (c->consent != CONSENT_NONE)
            json_array_append_new(choices,
                                  json_pack("{s:s, s:b}", "category", c->name, "on",
                                            state ? strcmp(state, "granted") == 0 : c->consent == CONSENT_OPT_OUT));
    }
    if (answer_unless_gone(l->request, ok))
        answer_page(l->request, 200, l->locale, l->page, json_pack("{s:o}", "categories", json_incref(choices)));
    json_decref(choices);
    g_free(l);
}

static void show_preferences(struct visit *v)
{
    store_consents(v->request->service->store, v->token.recipient, on_ledger, leaving_new(v, "preferences"));
}

void get_preferences(struct request *r)
{
    visit(r, TOKEN_PREFERENCES, show_preferences);
}

static void save_preferences(struct visit *v)
{
    struct leaving *l = leaving_new(v, "saved");
    g_auto(GStrv) pairs = g_strsplit(v->request->body->str, "&", 64);
    bool any = false;

    l->open = 1;
    for (char **p = pairs; *p; p++) {
        g_auto(GStrv) words = g_strsplit(*p, "=", 2);
        if (words[0] && words[1])
            any |= change(v, l, words[0], words[1], "preference-page");
    }
    if (any) {
        on_left(l, true, NULL);
        return;
    }
    g_free(l);
    answer_problem(v->request, 400, "nothing in this form can be changed");
}

void post_preferences(struct request *r)
{
    if (r->body->len > 16384)
        answer_problem(r, 413, "the form is too large");
    else
        visit(r, TOKEN_PREFERENCES, save_preferences);
}
