#include "dispatcher/people/consent.h"

#include <glib.h>
#include <string.h>

#include "dispatcher/base/vocab.h"
#include "dispatcher/base/clock.h"
#include "dispatcher/base/problem.h"
#include "dispatcher/people/entry.h"
#include "schedules/instant.h"
#include "dispatcher/store/people.h"

/* Categories that ask for no consent, as ",account,". */
static char *exempt_categories(const struct policy *p)
{
    GString *list = g_string_new(",");
    GHashTableIter i;
    struct category *c;

    g_hash_table_iter_init(&i, p->categories);
    while (g_hash_table_iter_next(&i, NULL, (void **)&c))
        if (c->consent == CONSENT_NONE)
            g_string_append_printf(list, "%s,", c->name);
    return g_string_free(list, FALSE);
}

static void check_category(const struct service *s, const char *name, bool withdrawn, json_t *errors)
{
    const struct category *c = name && strcmp(name, "*") != 0 ? policy_category(s->policy, name) : NULL;

    if (!name)
        problem_add(errors, "/category", "is required; \"*\" stands for all");
    else if (strcmp(name, "*") != 0 && !c && !withdrawn) /* stopping needs no configuration */
        problem_add(errors, "/category", "names no category of the configuration");
    else if (strpbrk(name, "|,\"") || strlen(name) > 64)
        problem_add(errors, "/category", "must have at most 64 characters, none of them | , or a quotation mark");
    else if (c && c->consent == CONSENT_NONE && withdrawn)
        problem_add(errors, "/category", "asks for no consent, so none can be withdrawn; suppress the address instead");
}

/* ---------------------------------------------------------------- double opt-in */

/* A grant of a category that must be confirmed, unless it comes from the person: "*" would go past the confirmation. */
static const struct category *to_confirm(const struct policy *p, const char *category, bool granted, const char *actor,
                                         json_t *errors)
{
    GHashTableIter i;
    const struct category *c;

    if (!category || !granted || strcmp(actor, "recipient") == 0)
        return NULL;
    c = policy_category(p, category);
    if (c)
        return c->consent == CONSENT_DOUBLE_OPT_IN ? c : NULL;
    g_hash_table_iter_init(&i, p->categories);
    while (g_hash_table_iter_next(&i, NULL, (void **)&c))
        if (c->consent == CONSENT_DOUBLE_OPT_IN)
            problem_add(errors, "/category", "must be named: %s asks the person to confirm", c->name);
    return NULL;
}

/* ---------------------------------------------------------------- changes */

/* What the person is told of a name that no category has (any more). */
static bool is_unknown(const struct policy *p, const char *category)
{
    return strcmp(category, "*") != 0 && !policy_category(p, category);
}

/* What an entry says, borrowed from it. */
struct told {
    const char *category, *channel, *source; /* channel "*" for all; source may be NULL */
    bool granted;
    const json_t *evidence;         /* NULL for none */
    int64_t at;                     /* -1: not said */
    const struct category *confirm; /* a grant for this one waits to be confirmed; NULL: it does not */
};

static void check_words(const struct service *s, const char *channel, const char *state, const json_t *evidence,
                        json_t *errors)
{
    if (!state || (strcmp(state, "granted") != 0 && strcmp(state, "withdrawn") != 0))
        problem_add(errors, "/state", "must be granted or withdrawn");
    if (channel && strcmp(channel, "*") != 0 && !channel_letter(channel))
        problem_add(errors, "/channel", "must be one of %s, or \"*\" for all", CHANNEL_LIST);
    if (evidence && !json_is_object(evidence))
        problem_add(errors, "/evidence", "must be an object");
}

static bool read_told(struct told *told, const struct service *s, const json_t *in, const char *actor, json_t *errors)
{
    static const char *const known[] = { "category", "channel", "state", "source", "evidence", "at", NULL };
    const char *state = entry_text(in, "state", errors), *channel = entry_text(in, "channel", errors);

    *told = (struct told){ .category = entry_text(in, "category", errors),
                           .channel = channel ? channel : "*",
                           .source = entry_text(in, "source", errors),
                           .granted = state && strcmp(state, "granted") == 0,
                           .evidence = json_object_get(in, "evidence"),
                           .at = entry_instant(in, "at", -1, errors) };
    entry_check_known(in, known, errors);
    check_words(s, channel, state, told->evidence, errors);
    check_category(s, told->category, state && !told->granted, errors);
    told->confirm = to_confirm(s->policy, told->category, told->granted, actor, errors);
    return json_array_size(errors) == 0;
}

bool consent_check(const struct service *s, const json_t *in, const char *actor, json_t *errors)
{
    struct told told;
    return read_told(&told, s, in, actor, errors);
}

/* The entry of the ledger. */
static json_t *ledger_entry(const struct service *s, const struct told *told, const char *actor, int64_t now)
{
    char at[32], recorded[32];
    json_t *entry =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "category", told->category, "channel", told->channel, "state",
                  told->confirm   ? "pending"
                  : told->granted ? "granted"
                                  : "withdrawn",
                  "at", instant_format(at, told->at < 0 ? now : MIN(told->at, now)), "recorded_at",
                  instant_format(recorded, now), "actor", actor);

    if (told->source)
        json_object_set_new(entry, "source", json_string(told->source));
    if (told->evidence)
        json_object_set(entry, "evidence", (json_t *)told->evidence);
    if (is_unknown(s->policy, told->category))
        json_object_set_new(entry, "detail", json_string("no category of the configuration has this name"));
    return entry;
}

bool consent_change(struct service *s, const char *recipient, const json_t *in, const char *actor, json_t *errors,
                    json_fn *fn, void *arg)
{
    int64_t now = clock_now();
    struct told told;

    if (json_array_size(errors) || !read_told(&told, s, in, actor, errors))
        return false;
    json_auto_t *entry = ledger_entry(s, &told, actor, now);
    g_autofree char *exempt = exempt_categories(s->policy);
    struct consent_entry e = { .recipient = recipient,
                               .category = told.category,
                               .letter = strcmp(told.channel, "*") == 0 ? '*' : channel_letter(told.channel),
                               .state = told.confirm   ? 'p'
                                        : told.granted ? 'g'
                                                       : 'w',
                               .at = told.at < now ? told.at : -1, /* nothing was granted in the future */
                               .history = strcmp(actor, "import") == 0,
                               .exempt = exempt,
                               .entry = entry };
    store_consent(s->store, &e, fn, arg);
    return true;
}
