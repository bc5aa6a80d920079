#include "dispatcher/config/values.h"
#include "dispatcher/policy/hours.h"

#include <string.h>

#include "dispatcher/base/vocab.h"
#include "dispatcher/config/yaml.h"

#define MAX_BLACKOUT 366

/* ---------------------------------------------------------------- days */

static gint by_text(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool day_good(const char *date, struct civil *day)
{
    g_autofree char *midnight = g_strconcat(date ? date : "", "T00:00", NULL);
    return civil_parse(day, midnight) == NULL;
}

static GPtrArray *days_new(void)
{
    return g_ptr_array_new_with_free_func(g_free);
}

static struct day_list day_list_of(const GPtrArray *days)
{
    return (struct day_list){ days ? (const char **)days->pdata : NULL, days ? (int)days->len : 0 };
}

/* A region of the file: a list of dates, or of {date, name}. */
static char *add_region(struct policy *p, const char *file, const char *region, const json_t *list)
{
    GPtrArray *days = days_new();
    struct civil day;
    json_t *item;
    size_t i;

    g_hash_table_insert(p->holidays, g_strdup(region), days);
    if (!json_is_array(list))
        return g_strdup_printf("%s:1: %s is no list of dates", file, region);
    json_array_foreach ((json_t *)list, i, item) {
        const char *date = json_string_value(json_is_object(item) ? json_object_get(item, "date") : item);
        if (!day_good(date, &day))
            return g_strdup_printf("%s:1: %s[%zu] is no date; write it like \"2026-01-01\"", file, region, i);
        g_ptr_array_add(days, g_strdup(date));
    }
    g_ptr_array_sort(days, by_text);
    return NULL;
}

static char *add_holidays(struct policy *p, const struct config *config)
{
    const char *region = setting_text(config->root, "quiet_hours.holidays.region"), *name;
    g_autofree char *file = config_path(config, config->root, "quiet_hours.holidays.file");
    char *why = NULL;
    json_t *list;

    if (!setting_json(config->root, "quiet_hours.holidays"))
        return NULL;
    if (!region || !file)
        return config_complaint(config, "quiet_hours.holidays", "needs \"region\" and \"file\"");
    json_auto_t *all = yaml_read(file, NULL, &why);
    if (!all)
        return why;
    if (!json_object_get(all, region))
        return g_strdup_printf("%s:1: has no list of holidays for %s", file, region);
    json_object_foreach (all, name, list)
        if (!why)
            why = add_region(p, file, name, list);
    p->quiet.holidays = day_list_of(g_hash_table_lookup(p->holidays, region));
    return why;
}

/* "2026-12-24", or from one day to another, both of them in it. */
static bool add_blackout_days(struct policy *p, const char *text)
{
    g_auto(GStrv) ends = g_strsplit(text, "/", 2);
    struct civil day, last;

    if (!day_good(ends[0], &day) || !day_good(ends[1] ? ends[1] : ends[0], &last))
        return false;
    int64_t from = civil_to_seconds(&day), to = civil_to_seconds(&last);
    if (to < from || (to - from) / 86400 >= MAX_BLACKOUT)
        return false;
    for (; from <= to; from += 86400) {
        civil_from_seconds(&day, from);
        g_ptr_array_add(p->blackout, g_strdup_printf("%04d-%02d-%02d", day.year, day.month, day.day));
    }
    return true;
}

static char *add_blackout(struct policy *p, const struct config *config)
{
    const json_t *list = setting_json(config->root, "quiet_hours.blackout");
    json_t *item;
    size_t i;

    json_array_foreach ((json_t *)list, i, item)
        if (!add_blackout_days(p, json_string_value(item))) {
            g_autofree char *path = g_strdup_printf("quiet_hours.blackout[%zu]", i);
            return config_complaint(
                config, path, "is no day; write it like \"2026-12-24\" or \"2026-12-24/2026-12-31\" (a year at most)");
        }
    g_ptr_array_sort(p->blackout, by_text);
    p->quiet.blackout = day_list_of(p->blackout);
    return NULL;
}

/* ---------------------------------------------------------------- hours */

static char *add_quiet(struct policy *p, const struct config *config)
{
    const json_t *root = config->root, *days = setting_json(root, "quiet_hours.days");
    const char *from = setting_text(root, "quiet_hours.from"), *to = setting_text(root, "quiet_hours.to");

    if (!setting_json(root, "quiet_hours"))
        return NULL;
    if (!from != !to)
        return config_complaint(config, "quiet_hours", "needs both \"from\" and \"to\"");
    if (from) {
        quiet_clock(&p->quiet.from, from);
        quiet_clock(&p->quiet.to, to);
        if (p->quiet.from == p->quiet.to)
            return config_complaint(config, "quiet_hours.to",
                                    "is the same as \"from\": nobody would ever be reached, or always");
    }
    p->has_quiet = true;
    p->quiet.days = 0x7f;
    if (days)
        setting_days_parse(&p->quiet.days, days);
    p->quiet_channels = word_bits(channel_names, setting_json(root, "quiet_hours.channels"), channels_ringing());
    p->spread_ms = setting_ms(root, "quiet_hours.spread");
    char *why = add_holidays(p, config);
    return why ? why : add_blackout(p, config);
}

static char *add_window(struct policy *p, const struct config *config, size_t index, const json_t *from)
{
    struct window_rule *w = &p->windows[p->n_windows++];
    const json_t *days = setting_json(from, "windows[].days");

    w->kinds = word_bits(kind_names, setting_json(from, "windows[].kinds"), 1u << KIND_SERVICE | 1u << KIND_MARKETING);
    w->channels = word_bits(channel_names, setting_json(from, "windows[].channels"), channels_ringing());
    quiet_clock(&w->window.from, setting_text(from, "windows[].from"));
    quiet_clock(&w->window.to, setting_text(from, "windows[].to"));
    w->window.days = 0x7f;
    if (days)
        setting_days_parse(&w->window.days, days);
    if (w->window.from != w->window.to && w->window.days)
        return NULL;
    g_autofree char *path = g_strdup_printf("windows[%zu]", index);
    return config_complaint(config, path, "never opens: give \"to\" another time than \"from\", and at least one day");
}

static char *add_windows(struct policy *p, const struct config *config)
{
    const json_t *list = setting_json(config->root, "windows");
    json_t *item;
    size_t i;
    char *why = NULL;

    p->windows = g_new0(struct window_rule, json_array_size(list) + 1);
    json_array_foreach ((json_t *)list, i, item)
        if (!why)
            why = add_window(p, config, i, item);
    return why;
}

static void add_accounts(struct policy *p, const json_t *root)
{
    const json_t *map = setting_json(root, "accounts");
    const char *name;
    json_t *account;

    json_object_foreach ((json_t *)map, name, account) {
        const char *zone = setting_text(account, "accounts.*.timezone");
        if (zone)
            g_hash_table_insert(p->accounts, g_strdup(name), (void *)zone_open(zone));
    }
}

char *hours_load(struct policy *p, const struct config *config)
{
    p->holidays = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_ptr_array_unref);
    p->blackout = days_new();
    p->accounts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    add_accounts(p, config->root);
    char *why = add_quiet(p, config);
    return why ? why : add_windows(p, config);
}
