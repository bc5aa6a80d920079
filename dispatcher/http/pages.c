/*
 * The pages that customers see: /u/{token} (unsubscribe) and /c/{token} (confirm a
 * consent); /p/{token} has its own file.
 */
#include "dispatcher/http/pages.h"

#include <string.h>

#include "dispatcher/base/clock.h"
#include "dispatcher/base/log.h"
#include "dispatcher/people/consent.h"
#include "dispatcher/content/render.h"
#include "schedules/instant.h"
#include "dispatcher/store/people.h"

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

void answer_page(struct request *r, int status, const char *locale, const char *page, json_t *context)
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
void visit(struct request *r, enum token_purpose purpose, void (*then)(struct visit *))
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

static bool transactional(const struct visit *v)
{
    const struct category *c = policy_category(v->request->service->policy, v->token.category);
    return c && c->kind == KIND_TRANSACTIONAL;
}

static void leave(struct visit *v)
{
    struct leaving *l = leaving_new(v, "unsubscribed");

    if (change(v, l, *v->token.category ? v->token.category : "*", "withdrawn", "one-click"))
        return;
    g_free(l);
    answer_problem(v->request, 400,
                   transactional(v) ? "messages of this kind are needed for your account and cannot be unsubscribed"
                                    : "messages of this kind need no consent, so there is none to withdraw");
}

/* RFC 8058: the body is List-Unsubscribe=One-Click, as a form in whatever encoding is correct, or as multipart. */
static bool asks_to_leave(struct request *r)
{
    const char *part = strstr(r->body->str, "name=\"List-Unsubscribe\"");

    if (request_is(r, "multipart/form-data"))
        return part && strstr(part, "One-Click");
    g_autoptr(GHashTable) form =
        g_uri_parse_params(r->body->str, (gssize)r->body->len, "&", G_URI_PARAMS_WWW_FORM, NULL);
    const char *value = form ? g_hash_table_lookup(form, "List-Unsubscribe") : NULL;
    return value && strcmp(value, "One-Click") == 0;
}

void post_unsubscribe(struct request *r)
{
    if (r->body->len > 16384 || !asks_to_leave(r))
        answer_problem(r, 400, "POST with List-Unsubscribe=One-Click unsubscribes");
    else
        visit(r, TOKEN_UNSUBSCRIBE, leave);
}

/* ---------------------------------------------------------------- confirmation */

static void show_confirm(struct visit *v)
{
    answer_page(v->request, 200, v->locale, "confirm", category_context(v->token.category));
}

void get_confirm(struct request *r)
{
    visit(r, TOKEN_CONFIRM, show_confirm);
}

static void confirm(struct visit *v)
{
    struct leaving *l = leaving_new(v, "confirmed");

    if (change(v, l, v->token.category, "granted", "double-opt-in"))
        return;
    g_free(l);
    answer_problem(v->request, 400, "what this link confirms does not exist any more");
}

void post_confirm(struct request *r)
{
    visit(r, TOKEN_CONFIRM, confirm);
}
