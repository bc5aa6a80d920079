/*
 * The two pages that customers see: /u/{token} and /p/{token}.
 *
 * Rendered here, no script, no cookie, nothing from elsewhere.  GET changes
 * nothing, because mail scanners follow links; POST needs only the token.
 */
#include <string.h>

#include "dispatcher/base/clock.h"
#include "dispatcher/base/token.h"
#include "dispatcher/consent.h"
#include "dispatcher/http/handlers.h"
#include "templates/locale.h"

enum text { TITLE, ASK, BUTTON, DONE, INVALID, PREFERENCES, INTRO, RECEIVE, OFF, SAVE, TEXTS };

static const struct {
    const char *locale, *text[TEXTS];
} languages[] = {
    { "en",
      { "Unsubscribe", "Do you no longer want to receive messages of this kind?", "Unsubscribe",
        "Done. You will not receive these messages any more.", "This link is not valid.", "Your messages",
        "Choose what you want to hear from us.", "on", "off", "Save" } },
    { "de",
      { "Abmelden", "Möchten Sie Nachrichten dieser Art nicht mehr erhalten?", "Abmelden",
        "Erledigt. Sie erhalten diese Nachrichten nicht mehr.", "Dieser Link ist nicht gültig.", "Ihre Nachrichten",
        "Wählen Sie, was Sie von uns hören möchten.", "an", "aus", "Speichern" } },
    { "fr",
      { "Se désabonner", "Vous ne souhaitez plus recevoir ce type de messages ?", "Se désabonner",
        "C’est fait. Vous ne recevrez plus ces messages.", "Ce lien n’est pas valide.", "Vos messages",
        "Choisissez ce que vous souhaitez recevoir.", "oui", "non", "Enregistrer" } },
    { "pl",
      { "Rezygnacja", "Nie chcesz już otrzymywać takich wiadomości?", "Zrezygnuj",
        "Gotowe. Nie będziesz już otrzymywać tych wiadomości.", "Ten link jest nieprawidłowy.", "Twoje wiadomości",
        "Wybierz, co chcesz od nas otrzymywać.", "tak", "nie", "Zapisz" } },
    { "ar",
      { "إلغاء الاشتراك", "هل لم تعد ترغب في تلقي هذا النوع من الرسائل؟", "إلغاء الاشتراك",
        "تم. لن تصلك هذه الرسائل بعد الآن.", "هذا الرابط غير صالح.", "رسائلك", "اختر ما تود أن يصلك منا.", "نعم", "لا",
        "حفظ" } },
};

/* One visit: the token's owner, and the language found in the profile. */
struct visit {
    struct request *request;
    struct token token;
    int language;
    char locale[LOCALE_SIZE];
    void (*then)(struct visit *);
};

static int language_of(const char *wanted, const char *fallback, char locale[static LOCALE_SIZE])
{
    struct locale_chain chain;

    locale_chain_make(&chain, wanted, fallback);
    for (int i = 0; i < chain.count; i++)
        for (size_t l = 0; l < G_N_ELEMENTS(languages); l++)
            if (strcmp(languages[l].locale, chain.tags[i]) == 0) {
                g_strlcpy(locale, chain.tags[i], LOCALE_SIZE);
                return (int)l;
            }
    g_strlcpy(locale, "en", LOCALE_SIZE);
    return 0;
}

static void answer_page(struct request *r, int status, int language, const char *locale, const char *title,
                        const char *content)
{
    g_autofree char *page =
        g_strdup_printf("<!doctype html><html lang=\"%s\" dir=\"%s\"><head><meta charset=\"utf-8\"><meta "
                        "name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
                        "<meta name=\"robots\" content=\"noindex\"><title>%s</title><style>:root{color-scheme:light "
                        "dark}body{font:1.1rem/1.5 system-ui,sans-serif;max-width:34rem;"
                        "margin:3rem auto;padding:0 1rem}button{font:inherit;padding:.6rem "
                        "1.4rem;border-radius:.4rem;border:1px solid;cursor:pointer}fieldset{border:0;padding:0}"
                        "legend{font-weight:600}label{margin-inline-end:1rem}</style></head><body><main><h1>%s</h1>%s</"
                        "main></body></html>",
                        locale, locale_is_rtl(locale) ? "rtl" : "ltr", title, title, content);

    answer_header(
        r, "Content-Security-Policy",
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'");
    answer_header(r, "Content-Language", locale);
    answer_text(r, status, "text/html; charset=utf-8", page, strlen(page));
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
    v->language = language_of(json_string_value(json_object_get(profile, "locale")),
                              v->request->service->default_locale, v->locale);
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
        int l = language_of(first, r->service->default_locale, v->locale);
        answer_page(r, 400, l, v->locale, languages[l].text[INVALID], "");
        g_free(v);
        return;
    }
    store_profile(r->service->store, v->token.recipient, on_profile, v);
}

/* ---------------------------------------------------------------- unsubscribe */

static void show_unsubscribe(struct visit *v)
{
    const char *const *text = languages[v->language].text;
    g_autofree char *content = g_strdup_printf(
        "<p>%s</p><form method=\"post\"><input type=\"hidden\" name=\"List-Unsubscribe\" value=\"One-Click\">"
        "<button type=\"submit\">%s</button></form>",
        text[ASK], text[BUTTON]);
    answer_page(v->request, 200, v->language, v->locale, text[TITLE], content);
}

void get_unsubscribe(struct request *r)
{
    visit(r, TOKEN_UNSUBSCRIBE, show_unsubscribe);
}

struct leaving {
    struct request *request;
    int language, open;
    char locale[LOCALE_SIZE];
    bool gone;
};

static void on_left(void *arg, bool ok, json_t *receipt)
{
    struct leaving *l = arg;

    l->gone |= !ok;
    if (--l->open > 0)
        return;
    if (answer_unless_gone(l->request, !l->gone))
        answer_page(l->request, 200, l->language, l->locale, languages[l->language].text[DONE], "");
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

static struct leaving *leaving_new(struct visit *v)
{
    struct leaving *l = g_new0(struct leaving, 1);

    *l = (struct leaving){ .request = v->request, .language = v->language };
    g_strlcpy(l->locale, v->locale, sizeof l->locale);
    return l;
}

static void leave(struct visit *v)
{
    struct leaving *l = leaving_new(v);

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

static void append_choice(GString *out, const struct category *c, bool on, const char *const *text)
{
    g_string_append_printf(
        out,
        "<fieldset><legend>%s</legend><label><input type=\"radio\" name=\"%s\" value=\"granted\"%s> %s</label>"
        "<label><input type=\"radio\" name=\"%s\" value=\"withdrawn\"%s> %s</label></fieldset>",
        c->name, c->name, on ? " checked" : "", text[RECEIVE], c->name, on ? "" : " checked", text[OFF]);
}

static void on_ledger(void *arg, bool ok, json_t *result)
{
    struct leaving *l = arg;
    const struct policy *p = l->request->service->policy;
    const char *const *text = languages[l->language].text;
    g_autoptr(GString) content = g_string_new(NULL);
    g_autoptr(GList) names = g_list_sort(g_hash_table_get_keys(p->categories), (GCompareFunc)strcmp);

    if (!answer_unless_gone(l->request, ok)) {
        g_free(l);
        return;
    }
    g_string_append_printf(content, "<p>%s</p><form method=\"post\">", text[INTRO]);
    for (GList *n = names; n; n = n->next) {
        const struct category *c = policy_category(p, n->data);
        const char *state = state_in_ledger(json_object_get(result, "consents"), c->name);
        if (c->consent != CONSENT_NONE)
            append_choice(content, c, state ? strcmp(state, "granted") == 0 : c->consent == CONSENT_OPT_OUT, text);
    }
    g_string_append_printf(content, "<p><button type=\"submit\">%s</button></p></form>", text[SAVE]);
    answer_page(l->request, 200, l->language, l->locale, text[PREFERENCES], content->str);
    g_free(l);
}

static void show_preferences(struct visit *v)
{
    store_consents(v->request->service->store, v->token.recipient, on_ledger, leaving_new(v));
}

void get_preferences(struct request *r)
{
    visit(r, TOKEN_PREFERENCES, show_preferences);
}

static void save_preferences(struct visit *v)
{
    struct leaving *l = leaving_new(v);
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
