#include "dispatcher/config/values.h"
#include "dispatcher/policy/policy_load.h"

#include <stdlib.h>
#include <string.h>

#include "dispatcher/policy/hours.h"

static const char *const consents[] = { "none", "opt_out", "opt_in", "double_opt_in", NULL };
static const char *const quiets[] = { "ignore", "defer", "drop", NULL };
static const char *const lates[] = { "send", "drop", "next_window", NULL };
static const char *const overs[] = { "drop", "defer", "next_channel", NULL };

/* ---------------------------------------------------------------- categories */

static void add_category(struct policy *p, const char *name, const json_t *from)
{
    struct category *c = g_new0(struct category, 1);
    const char *consent = setting_text(from, "categories.*.consent"),
               *quiet = setting_text(from, "categories.*.quiet_hours");
    const char *unknown = setting_text(from, "categories.*.on_unknown");

    c->name = g_strdup(name);
    c->kind = (enum kind)word_index(kind_names, setting_text(from, "categories.*.kind"));
    c->consent = consent ? (enum consent_rule)word_index(consents, consent) : (enum consent_rule)c->kind;
    c->quiet = quiet                           ? (enum quiet_action)word_index(quiets, quiet)
               : c->kind == KIND_TRANSACTIONAL ? QUIET_IGNORE
                                               : QUIET_DEFER;
    c->resend_unknown = unknown ? strcmp(unknown, "resend") == 0 : c->kind == KIND_TRANSACTIONAL;
    c->late = (enum late)word_index(lates, setting_text(from, "categories.*.late"));
    if (setting_text(from, "categories.*.max_lateness") && c->late != LATE_SEND)
        c->max_lateness_ms = setting_ms(from, "categories.*.max_lateness");
    c->confirm_within_ms = setting_ms(from, "categories.*.confirm_within");
    c->sms_max_segments = (int)setting_int(from, "categories.*.sms_max_segments");
    c->sms_cut = strcmp(setting_text(from, "categories.*.sms_over"), "cut") == 0;
    c->sms_transliterate = setting_bool(from, "categories.*.sms_transliterate");
    g_hash_table_insert(p->categories, c->name, c);
}

/* What becomes of the late ones, and how late that is, make sense together only. */
static char *check_category(const struct policy *p, const struct config *config, const char *name)
{
    const struct category *c = policy_category(p, name);
    g_autofree char *path = g_strdup_printf("categories.%s.late", name);

    if (c->late != LATE_SEND && !c->max_lateness_ms)
        return config_complaint(config, path, "needs \"max_lateness\", which says how late is too late");
    return NULL;
}

static char *add_categories(struct policy *p, const struct config *config)
{
    const json_t *map = setting_json(config->root, "categories");
    const char *name;
    json_t *category;
    char *why = NULL;

    json_object_foreach ((json_t *)map, name, category) {
        add_category(p, name, category);
        why = why ? why : check_category(p, config, name);
    }
    if (why || g_hash_table_size(p->categories))
        return why;
    static const char *const built_in[][2] = { { "account", "transactional" },
                                               { "onboarding", "service" },
                                               { "marketing", "marketing" } };
    for (size_t i = 0; i < G_N_ELEMENTS(built_in); i++) {
        json_auto_t *row = json_pack("{s:s}", "kind", built_in[i][1]);
        add_category(p, built_in[i][0], row);
    }
    return NULL;
}

/* ---------------------------------------------------------------- caps */

static char **names_of(const json_t *list)
{
    char **names = list ? g_new0(char *, json_array_size(list) + 1) : NULL;
    json_t *item;
    size_t i;

    json_array_foreach ((json_t *)list, i, item)
        names[i] = g_strdup(json_string_value(item));
    return names;
}

static struct cap_selector few_of(const json_t *kind_list, const json_t *categories, const json_t *sources)
{
    return (struct cap_selector){ .kinds = word_bits(kind_names, kind_list, 0),
                                  .categories = names_of(categories),
                                  .sources = names_of(sources) };
}

static void take_selectors(struct cap *c, const json_t *from)
{
    const json_t *categories = setting_json(from, "caps[].categories");

    c->held = (struct cap_selector){
        .kinds = word_bits(kind_names, setting_json(from, "caps[].kinds"),
                           categories ? KINDS_ALL : 1u << KIND_SERVICE | 1u << KIND_MARKETING),
        .channels = word_bits(channel_names, setting_json(from, "caps[].channels"), CHANNELS_ALL),
        .lanes = word_bits(lane_names, setting_json(from, "caps[].priorities"), LANES_ALL),
        .categories = names_of(categories),
        .sources = names_of(setting_json(from, "caps[].sources")),
        .roles = names_of(setting_json(from, "caps[].roles")),
    };
    c->also = few_of(setting_json(from, "caps[].count_only.kinds"), setting_json(from, "caps[].count_only.categories"),
                     setting_json(from, "caps[].count_only.sources"));
    c->free = few_of(setting_json(from, "caps[].exempt.kinds"), setting_json(from, "caps[].exempt.categories"),
                     setting_json(from, "caps[].exempt.sources"));
}

static char *check_names(const struct policy *p, const struct config *config, int index, const char *key, char **names)
{
    for (int i = 0; names && names[i]; i++)
        if (!policy_category(p, names[i])) {
            g_autofree char *path = g_strdup_printf("caps[%d].%s[%d]", index, key, i);
            return config_complaint(config, path, "names a category that does not exist");
        }
    return NULL;
}

static char *check_cap(const struct policy *p, const struct config *config, int index)
{
    const struct cap *c = &p->caps[index];
    char *why = check_names(p, config, index, "categories", c->held.categories);

    why = why ? why : check_names(p, config, index, "count_only.categories", c->also.categories);
    why = why ? why : check_names(p, config, index, "exempt.categories", c->free.categories);
    for (int j = 0; j < index && !why; j++)
        if (strcmp(p->caps[j].name, c->name) == 0) {
            g_autofree char *path = g_strdup_printf("caps[%d].name", index);
            why = config_complaint(config, path, "is the name of another cap already");
        }
    if (!why && strcmp(c->name, CAP_OWN) == 0) {
        g_autofree char *path = g_strdup_printf("caps[%d].name", index);
        why = config_complaint(config, path, "is the name of what people choose for themselves");
    }
    return why;
}

static char *add_cap(struct policy *p, const struct config *config, int index, const json_t *from)
{
    struct cap *c = &p->caps[index];

    c->name = g_strdup(setting_text(from, "caps[].name"));
    c->account = strcmp(setting_text(from, "caps[].scope"), "account") == 0;
    take_selectors(c, from);
    c->keep[LANE_HIGH] = (int)setting_int(from, "caps[].keep.high");
    c->keep[LANE_NORMAL] = (int)setting_int(from, "caps[].keep.normal");
    c->max = (int)setting_int(from, "caps[].max");
    span_parse(&c->per, setting_text(from, "caps[].per"));
    c->over = (enum over)word_index(overs, setting_text(from, "caps[].over"));
    return check_cap(p, config, index);
}

/* The last rule is the one that people choose for themselves: so many a week of what is not needed. */
static void add_own_cap(struct policy *p)
{
    struct cap *own = &p->caps[p->n_caps];

    own->name = g_strdup(CAP_OWN);
    own->held = (struct cap_selector){ .kinds = 1u << KIND_SERVICE | 1u << KIND_MARKETING,
                                       .channels = CHANNELS_ALL,
                                       .lanes = LANES_ALL };
    own->per = (struct span){ .ms = CAP_OWN_MS };
    own->over = OVER_DROP;
}

static char *add_caps(struct policy *p, const struct config *config)
{
    const json_t *list = setting_json(config->root, "caps");
    json_t *item;
    size_t i;
    char *why = NULL;

    if (json_array_size(list) > CAPS_MAX)
        return config_complaint(config, "caps", "has more than 31 rules");
    p->n_caps = (int)json_array_size(list);
    p->caps = g_new0(struct cap, p->n_caps + 1);
    json_array_foreach ((json_t *)list, i, item)
        if (!why)
            why = add_cap(p, config, (int)i, item);
    add_own_cap(p);
    return why;
}

/* ---------------------------------------------------------------- all of it */

/* Of all rules that a reload takes in: where it is another one, what waits is looked at again. */
static void set_version(struct policy *p, const json_t *root)
{
    json_auto_t *rules = json_pack("{s:O?}", "defaults", json_object_get(root, "defaults"));

    for (const char *const *path = settings_reloaded; *path; path++) {
        g_auto(GStrv) words = g_strsplit(*path, ".", 2);
        const json_t *section = words[1] ? json_object_get(root, words[0]) : root;
        json_t *value = json_object_get(section, words[1] ? words[1] : words[0]);
        if (value)
            json_object_set(rules, *path, value);
    }
    char *text = json_dumps(rules, JSON_COMPACT | JSON_SORT_KEYS);
    g_autofree char *hash = g_compute_checksum_for_string(G_CHECKSUM_SHA256, text, -1);
    g_strlcpy(p->version, hash, sizeof p->version);
    free(text);
}

struct policy *policy_new(const struct config *config, char **why)
{
    struct policy *p = g_new0(struct policy, 1);
    const json_t *root = config->root;

    p->holds = 1;
    p->categories = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, policy_category_free);
    set_version(p, root);
    p->retry = (struct retry){ .max_attempts = (int)setting_int(root, "retry.max_attempts"),
                               .first_ms = setting_ms(root, "retry.first"),
                               .max_ms = setting_ms(root, "retry.max"),
                               .factor = setting_real(root, "retry.factor"),
                               .jitter = setting_real(root, "retry.jitter") };
    p->retry.give_up_ms = setting_ms(root, "retry.give_up");
    p->inbox_keep_ms = setting_ms(root, "in_app.keep");
    p->inbox_max = (int)setting_int(root, "in_app.max_per_recipient");
    p->suppress = names_of(setting_json(root, "email.suppress"));
    if (setting_json(root, "email.soft_bounces"))
        p->soft = (struct soft_bounces){ names_of(setting_json(root, "email.soft_bounces.codes")),
                                         (int)setting_int(root, "email.soft_bounces.max"),
                                         setting_ms(root, "email.soft_bounces.within"),
                                         setting_ms(root, "email.soft_bounces.suppress_for") };
    *why = add_categories(p, config);
    if (!*why)
        *why = add_caps(p, config);
    if (!*why)
        *why = hours_load(p, config);
    if (!*why)
        return p;
    policy_free(p);
    return NULL;
}
