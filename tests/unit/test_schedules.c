/* Durations, instants, zones, quiet hours: tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "schedules/duration.h"
#include "schedules/quiet.h"
#include "schedules/window.h"
#include "schedules/zone.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

static void durations_read_as_people_write_them(void **state)
{
    static const struct {
        const char *text;
        int64_t ms; /* -1: refused */
    } rows[] = { { "90s", 90000 },
                 { "2d", 172800000 },
                 { "1d12h", 129600000 },
                 { "1w", 604800000 },
                 { "250ms", 250 },
                 { "0s", 0 },
                 { "", -1 },
                 { "5", -1 },
                 { "5 s", -1 },
                 { "-1s", -1 },
                 { "1h1d", -1 },
                 { "1h1h", -1 },
                 { "1e9d", -1 },
                 { "99999999999w", -1 },
                 { "3x", -1 } };
    for (size_t i = 0; i < COUNT(rows); i++) {
        int64_t ms = 42;
        const char *why = duration_parse(&ms, rows[i].text);
        if (rows[i].ms < 0) {
            assert_non_null(why);
            assert_int_equal(ms, 42); /* untouched on complaint */
        } else {
            assert_null(why);
            assert_int_equal(ms, rows[i].ms);
        }
    }
    char buf[48];
    assert_string_equal(duration_format(buf, 129600000), "1d12h");
}

static void instants_are_rfc_3339_with_a_zone(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } rows[] = { { "1970-01-01T00:00:00Z", 0 },
                 { "2026-12-01T09:00:00Z", INT64_C(1796115600000) },
                 { "2026-12-01T10:00:00+01:00", INT64_C(1796115600000) },
                 { "2026-12-01T09:00:00.25Z", INT64_C(1796115600250) },
                 { "2016-12-31T23:59:60Z", INT64_C(1483228799000) }, /* a leap second is read as :59 */
                 { "2026-12-01T09:00:00", -1 },
                 { "2026-12-01", -1 },
                 { "tomorrow", -1 },
                 { "2026-02-29T00:00:00Z", -1 },
                 { "2026-13-01T00:00:00Z", -1 },
                 { "2026-12-01T24:00:00Z", -1 },
                 { "2026-12-01T09:00:00Zx", -1 },
                 { "9999-12-31T23:59:59.999Z", INT64_C(253402300799999) },
                 { "9999-12-31T23:59:59-01:00", -1 }, /* the year 10000 */
                 { "0000-01-01T09:00:05+11:00", -1 }, /* the year before 0: found by fuzzing */
                 { "2026-12-01T09:00:00.Z", -1 } };
    for (size_t i = 0; i < COUNT(rows); i++) {
        int64_t ms = 0;
        const char *why = instant_parse(&ms, rows[i].text);
        assert_int_equal(why == NULL, rows[i].ms >= 0);
        if (!why)
            assert_int_equal(ms, rows[i].ms);
    }
    char buf[32];
    assert_string_equal(instant_format(buf, INT64_C(1796115600250)), "2026-12-01T09:00:00.250Z");
}

static int64_t local(const char *zone, const char *text)
{
    struct civil c;
    const struct zone *z = zone_open(zone);

    assert_non_null(z);
    assert_null(civil_parse(&c, text));
    return zone_instant(z, &c);
}

static int64_t utc(const char *text)
{
    int64_t ms;
    assert_null(instant_parse(&ms, text));
    return ms;
}

/* gap: its end; twice: the earlier */
static void local_times_follow_the_stated_rule(void **state)
{
    static const struct {
        const char *zone, *local, *utc;
    } rows[] = { { "Europe/Berlin", "2026-07-01T09:00", "2026-07-01T07:00:00Z" },
                 { "Europe/Berlin", "2026-12-01T09:00", "2026-12-01T08:00:00Z" },
                 { "Europe/Berlin", "2026-03-29T02:30", "2026-03-29T01:00:00Z" },
                 { "Europe/Berlin", "2026-03-29T01:59:59", "2026-03-29T00:59:59Z" },
                 { "Europe/Berlin", "2026-10-25T02:30", "2026-10-25T00:30:00Z" },
                 { "Europe/Berlin", "2026-10-25T03:00", "2026-10-25T02:00:00Z" },
                 { "America/New_York", "2026-03-08T02:15", "2026-03-08T07:00:00Z" },
                 { "America/New_York", "2026-11-01T01:30", "2026-11-01T05:30:00Z" },
                 { "Australia/Lord_Howe", "2026-10-04T02:15", "2026-10-03T15:30:00Z" }, /* thirty minutes */
                 { "Asia/Kathmandu", "2026-06-01T09:00", "2026-06-01T03:15:00Z" },
                 { "Pacific/Apia", "2011-12-30T12:00", "2011-12-30T10:00:00Z" }, /* no such day */
                 { "UTC", "2026-01-01T00:00", "2026-01-01T00:00:00Z" } };
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_int_equal(local(rows[i].zone, rows[i].local), utc(rows[i].utc));
    static const char *const none[] = { "Mars/Base", "CET+1DST", "../../etc/passwd", "", "EST5EDT,M3.2.0,M11.1.0" };
    for (size_t i = 0; i < COUNT(none); i++)
        assert_null(zone_open(none[i]));
}

static void quiet_hours_end_at_the_right_wall_clock(void **state)
{
    static const char *holidays[] = { "2026-12-25", "2026-12-26" };
    struct quiet night = { 21 * 60, 8 * 60, 0x7f, { holidays, 2 }, { NULL, 0 } },
                 noon = { 12 * 60, 14 * 60, 0x7f, { NULL, 0 }, { NULL, 0 } },
                 friday = { 22 * 60, 6 * 60, 1 << 4, { NULL, 0 }, { NULL, 0 } };
    const struct {
        struct quiet *quiet;
        const char *zone, *now, *until; /* NULL: not quiet */
    } rows[] = { { &night, "UTC", "2026-06-01T20:59:59Z", NULL },
                 { &night, "UTC", "2026-06-01T21:00:00Z", "2026-06-02T08:00:00Z" },
                 { &night, "UTC", "2026-06-02T07:59:59Z", "2026-06-02T08:00:00Z" },
                 { &night, "UTC", "2026-06-02T08:00:00Z", NULL },
                 { &night, "Europe/Berlin", "2026-03-28T21:00:00Z",
                   "2026-03-29T06:00:00Z" }, /* the night of the change is an hour shorter */
                 { &night, "UTC", "2026-12-25T12:00:00Z",
                   "2026-12-27T08:00:00Z" }, /* two holidays, and then the night */
                 { &noon, "UTC", "2026-06-01T12:30:00Z", "2026-06-01T14:00:00Z" },
                 { &noon, "Asia/Kathmandu", "2026-06-01T06:15:00Z", "2026-06-01T08:15:00Z" },
                 { &friday, "UTC", "2026-06-05T23:00:00Z", "2026-06-06T06:00:00Z" },
                 { &friday, "UTC", "2026-06-06T05:00:00Z", "2026-06-06T06:00:00Z" }, /* begun on Friday */
                 { &friday, "UTC", "2026-06-06T23:00:00Z", NULL } };
    for (size_t i = 0; i < COUNT(rows); i++) {
        enum quiet_cause cause;
        assert_int_equal(quiet_until(rows[i].quiet, zone_open(rows[i].zone), utc(rows[i].now), &cause),
                         rows[i].until ? utc(rows[i].until) : 0);
        assert_int_equal(cause != QUIET_NONE, rows[i].until != NULL);
    }
}

static void windows_open_at_the_right_wall_clock(void **state)
{
    static const struct window day[] = { { 9 * 60, 12 * 60, 0x1f }, { 14 * 60, 18 * 60, 0x1f } },
                               night[] = { { 22 * 60, 2 * 60, 1 << 4 } }, gap[] = { { 150, 240, 0x7f } },
                               never[] = { { 60, 120, 0 } };
    const struct {
        const struct window *list;
        int count;
        const char *zone, *now, *opens; /* NULL: open */
    } rows[] = { { day, 2, "UTC", "2026-06-01T09:00:00Z", NULL },
                 { day, 2, "UTC", "2026-06-01T11:59:59Z", NULL },
                 { day, 2, "UTC", "2026-06-01T12:00:00Z", "2026-06-01T14:00:00Z" },
                 { day, 2, "UTC", "2026-06-05T18:00:00Z", "2026-06-08T09:00:00Z" }, /* over the weekend */
                 { day, 2, "Asia/Kathmandu", "2026-06-01T00:00:00Z", "2026-06-01T03:15:00Z" },
                 { day, 2, "Australia/Eucla", "2026-06-01T00:00:00Z", "2026-06-01T00:15:00Z" },
                 { day, 2, "Pacific/Apia", "2011-12-30T04:00:00Z",
                   "2012-01-01T19:00:00Z" },                        /* Friday the 30th was skipped; Monday */
                 { night, 1, "UTC", "2026-06-06T01:59:00Z", NULL }, /* opened on Friday */
                 { night, 1, "UTC", "2026-06-06T02:00:00Z", "2026-06-12T22:00:00Z" },
                 { gap, 1, "Europe/Berlin", "2026-03-28T23:30:00Z", "2026-03-29T01:00:00Z" },
                 /* 02:30 does not exist */ };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char got[32];
        int64_t opens = window_opens(rows[i].list, rows[i].count, zone_open(rows[i].zone), utc(rows[i].now));
        if (opens != (rows[i].opens ? utc(rows[i].opens) : 0))
            fail_msg("row %zu: %s", i, instant_format(got, opens));
    }
    assert_int_equal(window_opens(never, 1, zone_open("UTC"), 0), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_read_as_people_write_them),
        cmocka_unit_test(instants_are_rfc_3339_with_a_zone),
        cmocka_unit_test(local_times_follow_the_stated_rule),
        cmocka_unit_test(quiet_hours_end_at_the_right_wall_clock),
        cmocka_unit_test(windows_open_at_the_right_wall_clock),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    zone_forget();
    return failed;
}
