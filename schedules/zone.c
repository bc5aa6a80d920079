#include "schedules/zone.h"

#include <assert.h>
#include <ctype.h>
#include <glib.h>
#include <string.h>

struct zone {
    char *name;
    GTimeZone *tz;
};

static GHashTable *opened; /* name -> struct zone */

static void zone_free(void *p)
{
    struct zone *z = p;
    g_time_zone_unref(z->tz);
    g_free(z->name);
    g_free(z);
}

/* GTimeZone also understands POSIX strings ("CET+1DST"), which are no names of places. */
static gboolean name_is_iana(const char *name)
{
    if (strcmp(name, "UTC") == 0)
        return TRUE;
    /* files of that folder that are names of no place */
    static const char *const others[] = { "localtime", "posixrules", "Factory", NULL };
    if (!isalpha((unsigned char)*name) || strlen(name) > 64 || strstr(name, "..") || g_strv_contains(others, name) ||
        g_str_has_prefix(name, "posix/") || g_str_has_prefix(name, "right/"))
        return FALSE;
    for (const char *p = name; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("_+-/", *p))
            return FALSE;
    g_autofree char *path = g_build_filename("/usr/share/zoneinfo", name, NULL);
    g_autofree char *magic = NULL;
    gsize len;
    return g_file_test(path, G_FILE_TEST_IS_REGULAR) && g_file_get_contents(path, &magic, &len, NULL) && len > 4 &&
           memcmp(magic, "TZif", 4) == 0;
}

const struct zone *zone_open(const char *name)
{
    if (!opened)
        opened = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, zone_free);
    struct zone *z = g_hash_table_lookup(opened, name);
    if (z || !name_is_iana(name))
        return z;
    GTimeZone *tz = g_time_zone_new_identifier(name);
    if (!tz)
        return NULL;
    z = g_new0(struct zone, 1);
    z->name = g_strdup(name);
    z->tz = tz;
    g_hash_table_insert(opened, z->name, z);
    return z;
}

void zone_forget(void)
{
    g_clear_pointer(&opened, g_hash_table_unref);
}

const char *zone_name(const struct zone *z)
{
    return z->name;
}

static int64_t floor_seconds(int64_t ms)
{
    return ms >= 0 ? ms / 1000 : (ms - 999) / 1000;
}

#define LAST_YEAR                                                                                                      \
    2037 /* whose changes the files list (RFC 8536); GLib reads the rule behind them wrongly                           \
            where the standard time is the summer's (Europe/Dublin) */
#define FIRST_LIKE (LAST_YEAR - 10)    /* eleven years begin on every day of the week */
#define AFTER_LAST INT64_C(2145916800) /* 2038-01-01T00:00:00Z */

/* The same day of a year that the files list: the same weekday in the same week of the same month. */
static int64_t like_earlier(int64_t seconds)
{
    struct civil c;
    int64_t month, first;

    civil_from_seconds(&c, seconds);
    struct civil begin = { .year = c.year, .month = c.month, .day = 1 };
    month = civil_to_seconds(&begin);
    for (begin.year = LAST_YEAR; begin.year > FIRST_LIKE; begin.year--) {
        first = civil_to_seconds(&begin);
        if ((month - first) % (7 * 86400) == 0)
            break;
    }
    return seconds - month + civil_to_seconds(&begin);
}

static int offset_at(const struct zone *z, int64_t seconds)
{
    if (seconds >= AFTER_LAST)
        seconds = like_earlier(seconds);
    int interval = g_time_zone_find_interval(z->tz, G_TIME_TYPE_UNIVERSAL, seconds);
    return interval < 0 ? 0 : (int)g_time_zone_get_offset(z->tz, interval);
}

int zone_offset(const struct zone *z, int64_t instant_ms)
{
    return offset_at(z, floor_seconds(instant_ms));
}

void zone_local(const struct zone *z, int64_t instant_ms, struct civil *c)
{
    int64_t seconds = floor_seconds(instant_ms);
    civil_from_seconds(c, seconds + offset_at(z, seconds));
}

/*
 * The clock, seen from UTC, reads utc + offset(utc).  It never falls by more
 * than a change sets it back, so the first instant at which it reads at least
 * `local` is what the rule asks for: the end of the gap, or the earlier of two.
 * Intervals without a change are searched one after the other, from a day and
 * a half before (a zone that skipped a day moved by 24 h) to as much after.
 */
int64_t zone_instant(const struct zone *z, const struct civil *c)
{
    int64_t local = civil_to_seconds(c), from = local - 36 * 3600, end = local + 36 * 3600;
    int before = offset_at(z, from);

    /* the plain case, nearly always: no change within a day and a half */
    if (before == offset_at(z, end) && before == offset_at(z, local - before))
        return (local - before) * 1000;
    while (from < end) {
        int offset = offset_at(z, from);
        int64_t until = end, step = from;
        /* the next change after `from`, by quarters of an hour, then exactly */
        while ((step += 900) < end && offset_at(z, step) == offset)
            ;
        if (step < end) {
            int64_t low = step - 900, high = step;
            while (high - low > 1) {
                int64_t middle = low + (high - low) / 2;
                *(offset_at(z, middle) == offset ? &low : &high) = middle;
            }
            until = high;
        }
        if (from + offset >= local) /* a forward change has jumped over it */
            return from * 1000;
        if (local - offset < until)
            return (local - offset) * 1000;
        from = until;
    }
    assert(!"a clock reads every time within three days");
}

/* ---------------------------------------------------------------- the rules of all */

#define ZONE_FOLDER "/usr/share/zoneinfo"

static void hash_file(GChecksum *sum, const char *path, const char *name)
{
    g_autofree char *text = NULL;
    gsize len;

    if (!g_file_get_contents(path, &text, &len, NULL) || len < 4 || memcmp(text, "TZif", 4) != 0)
        return;
    g_checksum_update(sum, (const guchar *)name, (gssize)strlen(name));
    g_checksum_update(sum, (const guchar *)text, (gssize)len);
}

static gint by_text(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* "posix" and "right" are the same zones once more. */
static void hash_folder(GChecksum *sum, const char *folder)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    GDir *dir = g_dir_open(folder, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir)))
        if (strcmp(name, "posix") != 0 && strcmp(name, "right") != 0)
            g_ptr_array_add(names, g_strdup(name));
    if (dir)
        g_dir_close(dir);
    g_ptr_array_sort(names, by_text);
    for (guint i = 0; i < names->len; i++) {
        g_autofree char *path = g_build_filename(folder, names->pdata[i], NULL);
        if (g_file_test(path, G_FILE_TEST_IS_DIR))
            hash_folder(sum, path);
        else
            hash_file(sum, path, names->pdata[i]);
    }
}

void zone_rules(char hash[static ZONE_RULES_SIZE])
{
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA1);

    hash_folder(sum, ZONE_FOLDER);
    g_strlcpy(hash, g_checksum_get_string(sum), ZONE_RULES_SIZE);
}
