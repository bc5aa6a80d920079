/*
 * The pages that customers see: /u/{token} (unsubscribe), /p/{token} (preferences) and
 * /c/{token} (confirm a consent).
 *
 * Rendered from templates/_pages: no script, no cookie, nothing from elsewhere.  GET changes
 * nothing, because mail scanners follow links; POST needs only the token.
 */
#include <stdlib.h>
#include <string.h>

#include "dispatcher/base/clock.h"
#include "dispatcher/base/log.h"
#include "dispatcher/base/token.h"
#include "dispatcher/consent.h"
#include "dispatcher/http/handlers.h"
#include "dispatcher/preferences.h"
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

/* ---------------------------------------------------------------- preferences */

#define PLANNED_MAX 5

/* A visit to the page: who, and in which language. */
struct choosing {
    struct request *request;
    char recipient[129], category[65], locale[LOCALE_SIZE];
    json_t *view;
};

static struct choosing *choosing_new(const struct visit *v)
{
    struct choosing *c = g_new0(struct choosing, 1);

    c->request = v->request;
    g_strlcpy(c->recipient, v->token.recipient, sizeof c->recipient);
    g_strlcpy(c->category, v->token.category, sizeof c->category);
    g_strlcpy(c->locale, v->locale, sizeof c->locale);
    return c;
}

static json_t *choices_of(const json_t *view)
{
    json_t *list = json_array(), *on;
    const char *name;

    json_object_foreach (json_object_get(view, "categories"), name, on)
        json_array_append_new(list, json_pack("{s:s, s:O}", "category", name, "on", on));
    return list;
}

static json_t *limits_of(const json_t *view)
{
    static const int limits[] = { 1, 2, 3, 5, 7 };
    const json_t *chosen = json_object_get(view, "max_per_week");
    json_t *list = json_array();

    for (size_t i = 0; i < G_N_ELEMENTS(limits); i++)
        json_array_append_new(list, json_pack("{s:i, s:b}", "limit", limits[i], "chosen",
                                              json_is_integer(chosen) && json_integer_value(chosen) == limits[i]));
    return list;
}

static json_t *channels_of(const json_t *view)
{
    static const char *const names[] = { "email", "sms", "in_app" };
    json_t *chosen = json_object_get(view, "channels"), *list = json_array(), *one;
    size_t n;

    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        bool on = !json_is_array(chosen);
        json_array_foreach (chosen, n, one)
            on |= strcmp(json_string_value(one), names[i]) == 0;
        json_array_append_new(list, json_pack("{s:s, s:b}", "channel", names[i], "on", on));
    }
    return list;
}

/* What comes next, as far as it is known: never what it says, which others may read over a shoulder. */
static json_t *planned_of(const json_t *timeline)
{
    json_t *list = json_array(), *message;
    size_t i;

    json_array_foreach (json_object_get(timeline, "pending"), i, message)
        if (i < PLANNED_MAX)
            json_array_append_new(list, json_pack("{s:O, s:O}", "category", json_object_get(message, "category"), "at",
                                                  json_object_get(message, "send_at")));
    return list;
}

static void on_timeline(void *arg, bool ok, json_t *timeline)
{
    struct choosing *c = arg;

    if (answer_unless_gone(c->request, ok)) {
        const char *pause = json_string_value(json_object_get(c->view, "pause_until"));
        g_autofree char *day = g_strndup(pause ? pause : "", 10);
        json_t *planned = planned_of(timeline);
        answer_page(c->request, 200, c->locale, "preferences",
                    json_pack("{s:o, s:o, s:o, s:s, s:o, s:b, s:s}", "categories", choices_of(c->view), "limits",
                              limits_of(c->view), "channels", channels_of(c->view), "pause", day, "planned", planned,
                              "any_planned", json_array_size(planned) > 0, "category", c->category));
    }
    json_decref(c->view);
    g_free(c);
}

static void on_view(void *arg, bool ok, json_t *view)
{
    struct choosing *c = arg;

    if (!ok) {
        answer_unless_gone(c->request, false);
        g_free(c);
        return;
    }
    c->view = json_incref(view);
    store_timeline(c->request->service->store, c->recipient, PLANNED_MAX, SHOW_BRIEF, on_timeline, c);
}

static void show_preferences(struct visit *v)
{
    preferences_read(v->request->service, v->token.recipient, on_view, choosing_new(v));
}

void get_preferences(struct request *r)
{
    visit(r, TOKEN_PREFERENCES, show_preferences);
}

/* One field of the form; what the page does not offer is not looked at. */
static void take_field(json_t *wish, const char *name, const char *value)
{
    if (g_str_has_prefix(name, "category.")) {
        json_object_set_new(json_object_get(wish, "categories"), name + strlen("category."),
                            json_boolean(strcmp(value, "on") == 0));
    } else if (strcmp(name, "channel") == 0) {
        if (!json_is_array(json_object_get(wish, "channels")))
            json_object_set_new(wish, "channels", json_array());
        json_array_append_new(json_object_get(wish, "channels"), json_string(value));
    } else if (strcmp(name, "max_per_week") == 0) {
        json_object_set_new(wish, name, *value ? json_integer(atoi(value)) : json_null());
    } else if (strcmp(name, "pause_until") == 0) {
        g_autofree char *midnight = g_strconcat(value, "T00:00:00Z", NULL);
        json_object_set_new(wish, name, *value ? json_string(midnight) : json_null());
    }
}

static json_t *wish_of(const char *form)
{
    json_t *wish = json_pack("{s:{}}", "categories");
    g_auto(GStrv) pairs = g_strsplit(form, "&", 64);

    for (char **p = pairs; *p; p++) {
        g_auto(GStrv) words = g_strsplit(g_strdelimit(*p, "+", ' '), "=", 2);
        g_autofree char *name = words[0] ? g_uri_unescape_string(words[0], NULL) : NULL,
                        *value = words[0] && words[1] ? g_uri_unescape_string(words[1], NULL) : NULL;
        if (name && value)
            take_field(wish, name, value);
    }
    return wish;
}

static void on_saved(void *arg, bool ok, json_t *nothing)
{
    struct choosing *c = arg;

    if (answer_unless_gone(c->request, ok))
        answer_page(c->request, 200, c->locale, "saved", json_object());
    g_free(c);
}

static void save_preferences(struct visit *v)
{
    json_auto_t *wish = wish_of(v->request->body->str), *errors = json_array();
    struct choosing *c = choosing_new(v);

    if (preferences_change(v->request->service, v->token.recipient, wish, "preference-page", errors, on_saved, c))
        return;
    g_free(c);
    answer_problem(v->request, 400, "nothing in this form can be changed");
}

void post_preferences(struct request *r)
{
    if (r->body->len > 16384)
        answer_problem(r, 413, "the form is too large");
    else
        visit(r, TOKEN_PREFERENCES, save_preferences);
}
