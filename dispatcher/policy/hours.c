#include "dispatcher/policy/hours.h"

#include <string.h>

#include "dispatcher/config/yaml.h"

#define MAX_STEPS    400
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
    p->quiet_channels = policy_channel_bits(setting_json(root, "quiet_hours.channels"));
    p->spread_ms = setting_ms(root, "quiet_hours.spread");
    char *why = add_holidays(p, config);
    return why ? why : add_blackout(p, config);
}

static char *add_window(struct policy *p, const struct config *config, size_t index, const json_t *from)
{
    struct window_rule *w = &p->windows[p->n_windows++];
    const json_t *days = setting_json(from, "windows[].days");

    w->kinds = policy_kind_bits(setting_json(from, "windows[].kinds"));
    w->channels = policy_channel_bits(setting_json(from, "windows[].channels"));
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

char *times_new(struct policy *p, const struct config *config)
{
    p->holidays = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_ptr_array_unref);
    p->blackout = days_new();
    p->accounts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    add_accounts(p, config->root);
    char *why = add_quiet(p, config);
    return why ? why : add_windows(p, config);
}

void times_free(struct policy *p)
{
    g_clear_pointer(&p->holidays, g_hash_table_unref);
    g_clear_pointer(&p->blackout, g_ptr_array_unref);
    g_clear_pointer(&p->accounts, g_hash_table_unref);
    g_free(p->windows);
}

/* ---------------------------------------------------------------- the answer */

static int64_t quiet_ends(const struct policy *p, const struct reach *r, int64_t at, const char **cause)
{
    static const char *const names[] = { "", "hours", "holiday", "blackout" };
    struct quiet quiet = p->quiet;
    const GPtrArray *own = r->region ? g_hash_table_lookup(p->holidays, r->region) : NULL;
    enum quiet_cause why;

    if (!p->has_quiet || !(p->quiet_channels >> r->channel & 1))
        return 0;
    if (own)
        quiet.holidays = day_list_of(own);
    int64_t until = quiet_until(&quiet, r->zone, at, &why);
    if (until)
        *cause = names[why];
    return until;
}

static int64_t window_begins(const struct policy *p, const struct reach *r, int64_t at)
{
    g_autofree struct window *list = g_new(struct window, p->n_windows + 1);
    int n = 0;

    for (int i = 0; i < p->n_windows; i++)
        if (p->windows[i].kinds >> r->category->kind & 1 && p->windows[i].channels >> r->channel & 1)
            list[n++] = p->windows[i].window;
    return n ? window_opens(list, n, r->zone, at) : 0;
}

int64_t policy_reach(const struct policy *p, const struct reach *r, int64_t now, const char **cause)
{
    int64_t at = now, next;
    const char *here = NULL;

    *cause = NULL;
    if (r->category->quiet == QUIET_IGNORE)
        return 0;
    for (int steps = 0; steps < MAX_STEPS; steps++) {
        next = quiet_ends(p, r, at, &here);
        if (!next && (next = window_begins(p, r, at)))
            here = "window";
        if (!next)
            return at == now ? 0 : at;
        *cause = *cause ? *cause : here;
        at = next;
    }
    return -1;
}

static bool opens_at(const struct policy *p, const struct reach *r, int64_t at)
{
    const char *cause;
    return policy_reach(p, r, at, &cause) == 0 && policy_reach(p, r, at - 1, &cause) != 0;
}

/* The soonest of the instants at which something ends or begins on the day `days` after c: midnight, the end of quiet
 * hours, windows. */
static int64_t opening_on(const struct policy *p, const struct reach *r, const struct civil *c, int days, int64_t now)
{
    int64_t first = INT64_MAX;

    for (int i = -2; i < p->n_windows; i++) {
        int minutes = i == -2 ? 0 : i == -1 ? p->quiet.to : p->windows[i].window.from;
        struct civil clock = civil_day_at(c, days, minutes);
        int64_t at = zone_instant(r->zone, &clock);
        if (at > now && at < first && opens_at(p, r, at))
            first = at;
    }
    return first;
}

/* Today at the clock time of `planned`, or tomorrow when that is over. */
static int64_t same_clock(const struct zone *zone, int64_t now, int64_t planned)
{
    struct civil today, then;
    int64_t at = 0;

    zone_local(zone, now, &today);
    zone_local(zone, planned, &then);
    for (int days = 0; days < 3 && at <= now; days++) {
        struct civil clock = civil_day_at(&today, days, then.hour * 60 + then.minute);
        clock.second = then.second;
        at = zone_instant(zone, &clock);
    }
    return at;
}

int64_t policy_opening(const struct policy *p, const struct reach *r, int64_t now, int64_t planned)
{
    struct civil today;
    const char *cause;
    int64_t at = policy_reach(p, r, now, &cause);

    if (at > 0)
        return at;
    zone_local(r->zone, now, &today);
    for (int days = 0; days <= 8; days++)
        if ((at = opening_on(p, r, &today, days, now)) != INT64_MAX)
            return at;
    return same_clock(r->zone, now, planned);
}

int64_t policy_spread(const struct policy *p, const struct reach *r, int64_t opening, enum lane lane, const char *id)
{
    int64_t third = p->spread_ms / LANES, after = 0;
    const char *cause;

    if (third)
        after = third * lane + (int64_t)(g_str_hash(id) % (guint64)third);
    while (after > 0 && policy_reach(p, r, opening + after, &cause) != 0)
        after /= 2; /* it closes before: earlier then, in the same order */
    return opening + after;
}
