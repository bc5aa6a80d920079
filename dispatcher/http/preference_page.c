/*
 * /p/{token}: why somebody got a message, what is planned for them, and what they
 * choose: channels and their order, categories, a pause, at most so many a week.
 *
 *   view ──▶ timeline ──▶ consents ──▶ message ──▶ page
 */
#include <stdlib.h>
#include <string.h>

#include "dispatcher/http/pages.h"
#include "dispatcher/base/vocab.h"
#include "dispatcher/people/preferences.h"
#include "dispatcher/store/messages.h"
#include "dispatcher/store/people.h"

#define PLANNED_MAX 5

/* A visit to the page: who, and in which language; the context fills as answers come. */
struct choosing {
    struct request *request;
    struct token token;
    char locale[LOCALE_SIZE];
    int status;
    json_t *context;
};

static struct choosing *choosing_new(const struct visit *v)
{
    struct choosing *c = g_new0(struct choosing, 1);

    *c = (struct choosing){ .request = v->request, .token = v->token, .status = 200 };
    g_strlcpy(c->locale, v->locale, sizeof c->locale);
    c->context = json_pack("{s:s}", "category", c->token.category);
    return c;
}

static void choosing_free(struct choosing *c)
{
    json_decref(c->context);
    g_free(c);
}

/* False when the store is gone: then all is over. */
static bool goes_on(struct choosing *c, bool ok)
{
    if (ok)
        return true;
    answer_unless_gone(c->request, false);
    choosing_free(c);
    return false;
}

/* ---------------------------------------------------------------- what there is to choose */

static json_t *choices_of(const json_t *view)
{
    json_t *list = json_array(), *on;
    const char *name;

    json_object_foreach (json_object_get(view, "categories"), name, on)
        json_array_append_new(list, json_pack("{s:s, s:O}", "category", name, "on", on));
    return list;
}

static void add_limit(json_t *list, int limit, json_int_t chosen)
{
    json_array_append_new(list, json_pack("{s:i, s:b}", "limit", limit, "chosen", chosen == limit));
}

/* The usual ones, and the one that was chosen by other means. */
static json_t *limits_of(const json_t *view)
{
    static const int limits[] = { 1, 2, 3, 5, 7 };
    const json_t *own = json_object_get(view, "max_per_week");
    json_int_t chosen = json_is_integer(own) ? json_integer_value(own) : -1;
    json_t *list = json_array();
    bool usual = chosen < 0;

    for (size_t i = 0; i < G_N_ELEMENTS(limits); i++) {
        add_limit(list, limits[i], chosen);
        usual |= chosen == limits[i];
    }
    if (!usual)
        add_limit(list, (int)chosen, chosen);
    return list;
}

static void add_channel(json_t *list, const char *name, bool on)
{
    int here = (int)json_array_size(list) + 1;
    json_t *places = json_array();

    for (int place = 1; place <= CHANNEL_COUNT; place++)
        json_array_append_new(places, json_pack("{s:i, s:b}", "place", place, "chosen", place == here));
    json_array_append_new(list, json_pack("{s:s, s:b, s:o}", "channel", name, "on", on, "places", places));
}

/* Those that the person has chosen, in their order, and the others behind them. */
static json_t *channels_of(const json_t *view)
{
    json_t *chosen = json_object_get(view, "channels"), *list = json_array(), *one;
    size_t i;

    json_array_foreach (chosen, i, one)
        add_channel(list, json_string_value(one), true);
    for (const char *l = channel_letters; *l; l++) {
        bool named = false;
        json_array_foreach (chosen, i, one)
            named |= strcmp(json_string_value(one), channel_name(*l)) == 0;
        if (!named)
            add_channel(list, channel_name(*l), !json_is_array(chosen));
    }
    return list;
}

static char *pause_day(const json_t *view)
{
    const char *pause = json_string_value(json_object_get(view, "pause_until"));
    return g_strndup(pause ? pause : "", 10);
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

/* ---------------------------------------------------------------- why */

static void answer_choices(struct choosing *c)
{
    answer_page(c->request, c->status, c->locale, "preferences", json_incref(c->context));
    choosing_free(c);
}

/* What set the message off, unless it has left by retention. */
static void on_message(void *arg, bool ok, json_t *message)
{
    struct choosing *c = arg;
    const json_t *source = json_object_get(message, "source"), *at = json_object_get(message, "send_at");

    if (!goes_on(c, ok))
        return;
    if (at)
        json_object_set_new(c->context, "trigger",
                            json_pack("{s:O, s:s, s:b}", "at", at, "source", json_string_value(source) ?: "",
                                      "from_whom", json_string_length(source) > 0));
    answer_choices(c);
}

/* The entry that the message rests on; without one, the rule of its category. */
static json_t *consent_of(const struct choosing *c, const json_t *ledger)
{
    const struct category *category = policy_category(c->request->service->policy, c->token.category);
    const json_t *entry = preferences_entry(ledger, c->token.category);
    const char *state = json_string_value(json_object_get(entry, "state"));

    if (!category)
        return json_null();
    const char *said = category->kind == KIND_TRANSACTIONAL ? "needed"
                       : category->consent == CONSENT_NONE  ? "unasked"
                       : state                              ? state
                                                            : consent_rule_name(category->consent);
    return json_pack("{s:s, s:O?}", "state", said, "at", json_object_get(entry, "at"));
}

static void on_consents(void *arg, bool ok, json_t *result)
{
    struct choosing *c = arg;

    if (!goes_on(c, ok))
        return;
    json_object_set_new(c->context, "consent", consent_of(c, json_object_get(result, "consents")));
    if (*c->token.message)
        store_show(c->request->service->store, c->token.message, SHOW_TRACE, on_message, c);
    else
        answer_choices(c);
}

/* ---------------------------------------------------------------- the page */

static void on_timeline(void *arg, bool ok, json_t *timeline)
{
    struct choosing *c = arg;

    if (!goes_on(c, ok))
        return;
    json_t *planned = planned_of(timeline);
    json_object_set_new(c->context, "any_planned", json_boolean(json_array_size(planned) > 0));
    json_object_set_new(c->context, "planned", planned);
    store_consents(c->request->service->store, c->token.recipient, on_consents, c);
}

static void on_view(void *arg, bool ok, json_t *view)
{
    struct choosing *c = arg;

    if (!goes_on(c, ok))
        return;
    g_autofree char *day = pause_day(view);
    json_object_set_new(c->context, "categories", choices_of(view));
    json_object_set_new(c->context, "limits", limits_of(view));
    json_object_set_new(c->context, "channels", channels_of(view));
    json_object_set_new(c->context, "pause", json_string(day));
    store_timeline(c->request->service->store, c->token.recipient, PLANNED_MAX, SHOW_BRIEF, on_timeline, c);
}

static void show_preferences(struct visit *v)
{
    preferences_read(v->request->service, v->token.recipient, on_view, choosing_new(v));
}

void get_preferences(struct request *r)
{
    visit(r, TOKEN_PREFERENCES, show_preferences);
}

/* ---------------------------------------------------------------- what was chosen */

/* The form comes in the order that holds: who moves up passes who stands there, who moves down lets them pass. */
static void take_place(json_t *places, const char *channel, int place)
{
    int stood = (int)json_object_size(places) + 1;

    place = CLAMP(place, 1, CHANNEL_COUNT);
    json_object_set_new(places, channel, json_integer(2 * place + (place > stood) - (place < stood)));
}

/* What is no number is left to be refused as what it is. */
static json_t *limit_of(const char *value)
{
    guint64 limit;
    return !*value                                                        ? json_null()
           : g_ascii_string_to_unsigned(value, 10, 0, 1000, &limit, NULL) ? json_integer((json_int_t)limit)
                                                                          : json_string(value);
}

/* One field of the form; what the page does not offer is not looked at. */
static void take_field(json_t *wish, const char *name, const char *value)
{
    if (g_str_has_prefix(name, "category.")) {
        json_object_set_new(json_object_get(wish, "categories"), name + strlen("category."),
                            json_boolean(strcmp(value, "on") == 0));
    } else if (strcmp(name, "channel") == 0) {
        json_array_append_new(json_object_get(wish, "channels"), json_string(value));
    } else if (g_str_has_prefix(name, "place.")) {
        take_place(json_object_get(wish, "places"), name + strlen("place."), atoi(value));
    } else if (strcmp(name, "max_per_week") == 0) {
        json_object_set_new(wish, name, limit_of(value));
    } else if (strcmp(name, "pause_until") == 0) {
        g_autofree char *midnight = g_strconcat(value, "T00:00:00Z", NULL);
        json_object_set_new(wish, name, *value ? json_string(midnight) : json_null());
    }
}

/* By the place that was chosen. */
static void sort_channels(json_t *channels, const json_t *places)
{
    for (size_t i = 1; i < json_array_size(channels); i++)
        for (size_t j = i; j > 0; j--) {
            json_t *left = json_array_get(channels, j - 1), *right = json_array_get(channels, j);
            if (json_integer_value(json_object_get(places, json_string_value(left))) <=
                json_integer_value(json_object_get(places, json_string_value(right))))
                break;
            json_incref(left);
            json_array_set(channels, j - 1, right);
            json_array_set_new(channels, j, left);
        }
}

static json_t *wish_of(const char *form)
{
    json_t *wish = json_pack("{s:{}, s:[], s:{}}", "categories", "channels", "places");
    g_auto(GStrv) pairs = g_strsplit(form, "&", -1);

    for (char **p = pairs; *p; p++) {
        g_auto(GStrv) words = g_strsplit(g_strdelimit(*p, "+", ' '), "=", 2);
        g_autofree char *name = words[0] ? g_uri_unescape_string(words[0], NULL) : NULL,
                        *value = words[0] && words[1] ? g_uri_unescape_string(words[1], NULL) : NULL;
        if (name && value)
            take_field(wish, name, value);
    }
    sort_channels(json_object_get(wish, "channels"), json_object_get(wish, "places"));
    json_object_del(wish, "places");
    return wish;
}

/* What the page showed as chosen, in its order. */
static json_t *shown_channels(const json_t *view)
{
    json_auto_t *shown = channels_of(view);
    json_t *names = json_array(), *one;
    size_t i;

    json_array_foreach (shown, i, one)
        if (json_is_true(json_object_get(one, "on")))
            json_array_append(names, json_object_get(one, "channel"));
    return names;
}

/* A form says all there is; only what differs from what holds is a wish.  So who saves the page as it came changes
 * nothing, neither a consent for one channel nor a pause until noon. */
static void leave_out_the_same(json_t *wish, const json_t *view)
{
    json_auto_t *channels = shown_channels(view);
    g_autofree char *day = pause_day(view);
    const char *name, *pause = json_string_value(json_object_get(wish, "pause_until"));
    json_t *wanted = json_object_get(wish, "categories"), *on;
    void *next;

    json_object_foreach_safe (wanted, next, name, on)
        if (json_equal(on, json_object_get(json_object_get(view, "categories"), name)))
            json_object_del(wanted, name);
    if (json_equal(json_object_get(wish, "channels"), channels))
        json_object_del(wish, "channels");
    if (json_equal(json_object_get(wish, "max_per_week"), json_object_get(view, "max_per_week")))
        json_object_del(wish, "max_per_week");
    if (pause ? g_str_has_prefix(pause, day) && *day : !*day)
        json_object_del(wish, "pause_until");
}

static void on_saved(void *arg, bool ok, json_t *nothing)
{
    struct choosing *c = arg;

    if (!goes_on(c, ok))
        return;
    answer_page(c->request, 200, c->locale, "saved", json_object());
    choosing_free(c);
}

static void on_view_to_save(void *arg, bool ok, json_t *view)
{
    struct choosing *c = arg;
    json_auto_t *wish = wish_of(c->request->body->str), *errors = json_array();
    const json_t *channels = json_object_get(wish, "channels");

    if (!goes_on(c, ok))
        return;
    if (json_array_size(channels) == 0) { /* the page cannot be left without a way to reach somebody */
        c->status = 400;
        json_object_set_new(c->context, "no_channel", json_true());
        on_view(c, true, view);
        return;
    }
    leave_out_the_same(wish, view);
    if (preferences_change(c->request->service, c->token.recipient, wish, "preference-page", errors, on_saved, c))
        return;
    answer_problem(c->request, 400, "nothing in this form can be changed");
    choosing_free(c);
}

static void save_preferences(struct visit *v)
{
    preferences_read(v->request->service, v->token.recipient, on_view_to_save, choosing_new(v));
}

void post_preferences(struct request *r)
{
    if (r->body->len > 16384)
        answer_problem(r, 413, "the form is too large");
    else
        visit(r, TOKEN_PREFERENCES, save_preferences);
}
