/* Durations, instants, zones, quiet hours: tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "schedules/duration.h"
#include "schedules/quiet.h"
#include "schedules/share.h"
#include "schedules/wave.h"
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

static void shares_have_the_bounds_of_wilson(void **state)
{
    static const struct {
        int64_t reached, of;
        double low, high;
    } rows[] = { { 1, 20, 0.0089, 0.2361 },   { 6, 60, 0.0466, 0.2015 },   { 0, 10, 0, 0.2775 },
                 { 10, 10, 0.7225, 1 },       { 4, 60, 0.0262, 0.1593 },   { 5, 60, 0.0361, 0.1807 },
                 { 33, 100, 0.2456, 0.4269 }, { 34, 100, 0.2546, 0.4372 }, { 488, 4000, 0.1122, 0.1325 },
                 { 1, 1, 0.2065, 1 },         { 0, 1, 0, 0.7935 },         { 250, 1000, 0.2242, 0.2778 },
                 { 50, 100, 0.4038, 0.5962 } };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct share s = share_of(rows[i].reached, rows[i].of);
        assert_int_equal(s.reached, rows[i].reached);
        assert_int_equal(s.of, rows[i].of);
        assert_float_equal(s.rate, (double)rows[i].reached / (double)rows[i].of, 1e-9);
        assert_float_equal(s.low, rows[i].low, 6e-5);
        assert_float_equal(s.high, rows[i].high, 6e-5);
    }
    struct share none = share_of(0, 0);
    assert_true(none.rate == 0 && none.low == 0 && none.high == 1);
}

static void no_complaint(void *arg, bool error, const char *at, const char *detail)
{
    fail_msg("%s: %s", at, detail);
}

static json_t *json_of(const char *text)
{
    json_t *json = json_loads(text, 0, NULL);
    assert_non_null(json);
    return json;
}

/* S57: 1 of 20 is no evidence, 6 of 60 are. */
static void gates_decide_on_evidence(void **state)
{
    static const char
        harm[] =
            "{\"settle\":\"1h\",\"least\":30,\"hold\":{\"bounced\":\"3%\",\"complained\":\"0.3%\",\"failed\":\"5%\"}}",
        goal[] =
            "{\"settle\":\"1h\",\"least\":30,\"hold\":{\"failed\":\"3%\"},\"open\":{\"goal\":{\"above\":\"25%\"}}}",
        yes[] = "{\"settle\":\"1h\",\"least\":30,\"open\":{\"goal\":{\"above\":\"25%\"},\"approve\":true}}",
        mean[] = "{\"settle\":\"1h\",\"least\":30,\"open\":{\"answered_score\":{\"event\":\"e\",\"field\":\"event."
                 "score\",\"mean_above\":6}}}",
        both[] = "{\"settle\":\"1h\",\"least\":30,\"open\":{\"goal\":{\"above\":\"25%\"},"
                 "\"answered_score\":{\"event\":\"e\",\"field\":\"event.score\",\"mean_above\":6}}}";
    static const struct {
        const char *gate;
        struct wave_figures figures;
        enum verdict verdict;
    } rows[] = {
        { harm, { .released = 60, .harmed = { [HARM_BOUNCED] = 4 }, .settled = 60 }, VERDICT_UNDECIDED },
        { harm, { .released = 60, .harmed = { [HARM_BOUNCED] = 5 }, .settled = 60 }, VERDICT_HOLD },
        { harm, { .released = 60, .harmed = { [HARM_BOUNCED] = 6 }, .settled = 60 }, VERDICT_HOLD },
        { harm, { .released = 60, .harmed = { [HARM_FAILED] = 6 }, .settled = 60 }, VERDICT_UNDECIDED },
        { harm, { .released = 60, .harmed = { [HARM_COMPLAINED] = 2 }, .settled = 60 }, VERDICT_HOLD },
        { harm,
          { .released = 60, .harmed = { [HARM_OPTED_OUT] = 60 }, .settled = 60 },
          VERDICT_UNDECIDED }, /* no limit */
        { harm, { .released = 20, .harmed = { [HARM_BOUNCED] = 1 }, .settled = 20 }, VERDICT_UNDECIDED },
        { harm, { .released = 60, .settled = 60 }, VERDICT_UNDECIDED }, /* nothing on which it opens */
        { harm, { 0 }, VERDICT_UNDECIDED },
        { harm, { .released = 60, .harmed = { [HARM_BOUNCED] = 6 } }, VERDICT_HOLD }, /* harm only grows */
        { goal, { .released = 100, .settled = 100, .goals = 33 }, VERDICT_UNDECIDED },
        { goal, { .released = 100, .settled = 100, .goals = 34 }, VERDICT_OPEN },
        { goal, { .released = 30, .settled = 30, .goals = 13 }, VERDICT_OPEN },
        { goal, { .released = 30, .settled = 30, .goals = 12 }, VERDICT_UNDECIDED },
        { goal, { .released = 100, .settled = 29, .goals = 29 }, VERDICT_UNDECIDED }, /* too few who count */
        { goal, { .released = 100, .settled = 100, .goals = 90, .harmed = { [HARM_FAILED] = 10 } }, VERDICT_HOLD },
        { yes, { .released = 100, .settled = 100, .goals = 90 }, VERDICT_OPEN },
        { yes, { .released = 100, .settled = 100, .goals = 30 }, VERDICT_UNDECIDED },
        { mean, { .released = 30, .settled = 30, .answered = 10, .answers = 60 }, VERDICT_UNDECIDED },
        { mean, { .released = 30, .settled = 30, .answered = 10, .answers = 61 }, VERDICT_OPEN },
        { mean, { .released = 30, .settled = 30 }, VERDICT_UNDECIDED },
        { mean, { .released = 29, .settled = 29, .answered = 29, .answers = 290 }, VERDICT_UNDECIDED },
        { both, { .released = 30, .settled = 30, .goals = 20, .answered = 10, .answers = 60 }, VERDICT_UNDECIDED },
        { both, { .released = 30, .settled = 30, .goals = 12, .answered = 10, .answers = 90 }, VERDICT_UNDECIDED },
        { both, { .released = 30, .settled = 30, .goals = 20, .answered = 10, .answers = 90 }, VERDICT_OPEN }
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct complaints c = { .fn = no_complaint };
        json_t *json = json_of(rows[i].gate), *reasons = json_array();
        struct gate *gate = gate_read(&c, "gate", json);
        enum verdict verdict = gate_judge(gate, &rows[i].figures, reasons);
        if (verdict != rows[i].verdict)
            fail_msg("row %zu: verdict %d, not %d: %s", i, verdict, rows[i].verdict, json_dumps(reasons, 0));
        if (verdict == VERDICT_HOLD)
            assert_true(json_array_size(reasons) > 0);
        if (verdict == VERDICT_UNDECIDED && gate->opens)
            assert_true(json_array_size(reasons) > 0);
        json_decref(json);
        json_decref(reasons);
        gate_free(gate);
    }
}

static void waves_open_within_their_windows(void **state)
{
    static const char work[] =
        "{\"name\":\"a\",\"where\":\"always\",\"window\":{\"at\":\"09:00\",\"until\":\"17:00\",\"only\":\"workdays\"}}",
                      day[] = "{\"name\":\"a\",\"where\":\"always\",\"window\":{\"at\":\"09:00\"}}",
                      sunday[] = "{\"name\":\"a\",\"where\":\"always\",\"window\":{\"at\":\"09:00\",\"until\":\"10:"
                                 "00\",\"only\":[\"sun\"]}}",
                      gap[] = "{\"name\":\"a\",\"where\":\"always\",\"window\":{\"at\":\"02:30\",\"until\":\"04:00\"}}",
                      none[] = "{\"name\":\"a\",\"where\":\"always\"}";
    static const char *holidays[] = { "2026-12-25", "2026-12-28" };
    static const struct almanac almanac = { .holidays = { holidays, 2 } };
    static const struct {
        const char *wave, *zone, *now, *opens; /* NULL: now */
    } rows[] = { { none, "UTC", "2026-06-06T03:00:00Z", NULL },
                 { work, "UTC", "2026-06-01T08:59:59Z", "2026-06-01T09:00:00Z" }, /* a Monday */
                 { work, "UTC", "2026-06-01T09:00:00Z", NULL },
                 { work, "UTC", "2026-06-01T12:00:00Z", NULL },
                 { work, "UTC", "2026-06-01T16:59:59.999Z", NULL },
                 { work, "UTC", "2026-06-01T17:00:00Z", "2026-06-02T09:00:00Z" },
                 { work, "UTC", "2026-06-05T18:00:00Z", "2026-06-08T09:00:00Z" }, /* over the weekend */
                 { work, "UTC", "2026-06-06T12:00:00Z", "2026-06-08T09:00:00Z" },
                 { work, "UTC", "2026-12-24T17:00:00Z", "2026-12-29T09:00:00Z" }, /* and over holidays */
                 { work, "UTC", "2026-12-25T10:00:00Z", "2026-12-29T09:00:00Z" },
                 { work, "Asia/Kathmandu", "2026-06-01T03:15:00Z", NULL }, /* nine o'clock there */
                 { work, "Asia/Kathmandu", "2026-06-01T11:15:00Z", "2026-06-02T03:15:00Z" },
                 { day, "UTC", "2026-06-06T23:59:59Z", NULL },
                 { day, "UTC", "2026-06-07T00:00:00Z", "2026-06-07T09:00:00Z" }, /* it has closed with the day */
                 { sunday, "UTC", "2026-06-07T09:30:00Z", NULL },
                 { sunday, "UTC", "2026-06-07T10:00:00Z", "2026-06-14T09:00:00Z" },
                 { sunday, "America/New_York", "2026-06-07T09:30:00Z", "2026-06-07T13:00:00Z" },
                 { gap, "Europe/Berlin", "2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z" }, /* there is no 02:30 */
                 { gap, "Europe/Berlin", "2026-03-29T01:30:00Z", NULL },
                 { gap, "Europe/Berlin", "2026-03-29T02:00:00Z", "2026-03-30T00:30:00Z" } };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char got[32];
        struct complaints c = { .fn = no_complaint };
        json_t *json = json_of(rows[i].wave);
        struct wave *wave = wave_read(&c, "wave", json);
        int64_t opens = wave_opens_at(wave, zone_open(rows[i].zone), &almanac, utc(rows[i].now));
        if (opens != utc(rows[i].opens ? rows[i].opens : rows[i].now))
            fail_msg("row %zu: %s", i, instant_format(got, opens));
        json_decref(json);
        wave_free(wave);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_read_as_people_write_them),
        cmocka_unit_test(instants_are_rfc_3339_with_a_zone),
        cmocka_unit_test(local_times_follow_the_stated_rule),
        cmocka_unit_test(quiet_hours_end_at_the_right_wall_clock),
        cmocka_unit_test(windows_open_at_the_right_wall_clock),
        cmocka_unit_test(shares_have_the_bounds_of_wilson),
        cmocka_unit_test(gates_decide_on_evidence),
        cmocka_unit_test(waves_open_within_their_windows),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    zone_forget();
    return failed;
}
