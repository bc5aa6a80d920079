/* The gates that values decide: expiry, preference, quiet hours; what contract and README say of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <glib.h>

#include "dispatcher/config/config.h"
#include "dispatcher/policy/gates.h"
#include "dispatcher/policy/policy_load.h"
#include "schedules/instant.h"
#include "schedules/zone.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

static const char rules[] = "quiet_hours: { from: \"22:00\", to: \"08:00\", channels: [email, sms] }\n"
                            "categories:\n"
                            "  account: { kind: transactional }\n"
                            "  tips: { kind: service }\n"
                            "  brief: { kind: service, quiet_hours: drop }\n";

static struct policy *policy;
static struct config *config;

static int open_policy(void **state)
{
    g_autofree char *name = NULL, *why = NULL;
    int fd = g_file_open_tmp("gates-XXXXXX.yaml", &name, NULL);

    assert_int_equal(write(fd, rules, strlen(rules)), strlen(rules));
    close(fd);
    config = config_load(name, &why);
    policy = config ? policy_new(config, &why) : NULL;
    unlink(name);
    assert_non_null(policy);
    return 0;
}

static int close_policy(void **state)
{
    policy_free(policy);
    config_free(config);
    return 0;
}

static int64_t at(const char *text)
{
    int64_t ms = 0;
    assert_null(*text ? instant_parse(&ms, text) : NULL);
    return ms;
}

/* Somebody in Berlin who wants everything, on a winter's day at noon. */
static struct question ask(const char *category, enum channel channel, const char *now)
{
    return (struct question){ .policy = policy,
                              .who = { policy_category(policy, category), channel, zone_open("Europe/Berlin"), NULL },
                              .lane = LANE_NORMAL,
                              .recipient = "ada",
                              .now = at(now),
                              .planned = at(now),
                              .wanted = true };
}

static void what_has_expired_is_told_so_at_that_instant(void **state)
{
    static const struct {
        const char *now, *expires;
        enum gate_verdict verdict;
    } rows[] = { { "2026-12-01T12:00:00Z", "", GATE_PASS },
                 { "2026-12-01T12:00:00Z", "2026-12-01T12:00:00.001Z", GATE_PASS },
                 { "2026-12-01T12:00:00Z", "2026-12-01T12:00:00Z", GATE_EXPIRED },
                 { "2026-12-01T12:00:00Z", "2026-11-01T12:00:00Z", GATE_EXPIRED } };

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct question q = ask("tips", CHANNEL_EMAIL, rows[i].now);
        q.expires_at = at(rows[i].expires);
        assert_int_equal(gate_expiry(&q).verdict, rows[i].verdict);
    }
}

static void what_is_too_late_is_dropped_or_waits_for_the_next_opening(void **state)
{
    struct question q = ask("tips", CHANNEL_EMAIL, "2026-12-01T12:00:00Z");

    q.planned = at("2026-12-01T10:00:00Z");
    q.max_lateness_ms = 7200000;
    assert_int_equal(gate_expiry(&q).verdict, GATE_PASS); /* just in time */
    q.max_lateness_ms--;
    q.late = LATE_DROP;
    assert_int_equal(gate_expiry(&q).verdict, GATE_EXPIRED);
    q.late = LATE_NEXT_WINDOW;
    struct answer a = gate_expiry(&q);
    assert_int_equal(a.verdict, GATE_DEFERRED);
    assert_int_equal(a.until, at("2026-12-02T07:00:00Z")); /* 8:00 in Berlin, when quiet hours end */
}

static void what_a_person_wants_is_asked_before_the_hour(void **state)
{
    struct question q = ask("tips", CHANNEL_EMAIL, "2026-12-01T23:00:00Z");

    assert_int_equal(gate_preference(&q).verdict, GATE_PASS);
    q.pause_until = q.now;
    assert_int_equal(gate_preference(&q).verdict, GATE_PASS); /* it is over */
    q.pause_until = q.now + 1;
    assert_int_equal(gate_preference(&q).verdict, GATE_DEFERRED);
    assert_int_equal(gate_preference(&q).until, q.now + 1);
    q.wanted = false;
    assert_int_equal(gate_preference(&q).verdict, GATE_SUPPRESSED);
}

static void quiet_hours_hold_by_the_persons_clock(void **state)
{
    static const struct {
        const char *category;
        enum channel channel;
        const char *now, *until;
        enum gate_verdict verdict;
    } rows[] = {
        { "tips", CHANNEL_EMAIL, "2026-12-01T20:59:59.999Z", "", GATE_PASS },
        { "tips", CHANNEL_EMAIL, "2026-12-01T21:00:00Z", "2026-12-02T07:00:00Z", GATE_DEFERRED },
        { "tips", CHANNEL_SMS, "2026-12-02T06:59:59.999Z", "2026-12-02T07:00:00Z", GATE_DEFERRED },
        { "tips", CHANNEL_EMAIL, "2026-12-02T07:00:00Z", "", GATE_PASS },
        { "tips", CHANNEL_EMAIL, "2026-07-01T20:00:00Z", "2026-07-02T06:00:00Z", GATE_DEFERRED }, /* summer time */
        { "tips", CHANNEL_IN_APP, "2026-12-01T23:00:00Z", "", GATE_PASS },
        { "brief", CHANNEL_EMAIL, "2026-12-01T23:00:00Z", "", GATE_SUPPRESSED },
        { "account", CHANNEL_EMAIL, "2026-12-01T23:00:00Z", "", GATE_PASS },
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct question q = ask(rows[i].category, rows[i].channel, rows[i].now);
        struct answer a = gate_quiet_hours(&q);
        assert_int_equal(a.verdict, rows[i].verdict);
        assert_int_equal(a.until, at(rows[i].until));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_has_expired_is_told_so_at_that_instant),
        cmocka_unit_test(what_is_too_late_is_dropped_or_waits_for_the_next_opening),
        cmocka_unit_test(what_a_person_wants_is_asked_before_the_hour),
        cmocka_unit_test(quiet_hours_hold_by_the_persons_clock),
    };
    return cmocka_run_group_tests(tests, open_policy, close_policy);
}
