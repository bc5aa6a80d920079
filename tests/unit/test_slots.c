/* Where a key lies, and what redis.url may say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <glib.h>
#include <string.h>

#include "dispatcher/store/wire/address.h"
#include "dispatcher/store/wire/slot.h"

/* CLUSTER KEYSLOT of Redis 7.0.15; the first is the check value of CRC-16/XMODEM. */
static void a_key_has_the_slot_that_redis_says(void **state)
{
    static const struct {
        const char *key;
        int slot;
    } table[] = {
        { "123456789", 0x31C3 },          { "foo", 12182 },
        { "{user1000}.following", 3443 }, { "{user1000}.followers", 3443 },
        { "foo{}{bar}", 8363 },           { "foo{{bar}}zap", 4015 },
        { "foo{bar}{zap}", 5061 },        { "", 0 },
        { "tidings:{3}:due:e1", 1584 },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(table); i++)
        assert_int_equal(slot_of(table[i].key), table[i].slot);
}

static void an_url_says_where_and_as_whom(void **state)
{
    static const struct {
        const char *url, *complaint; /* a part of it, NULL: content */
        enum redis_kind kind;
        int count, port, db;
        const char *host, *user, *password, *master;
    } table[] = {
        { "redis://h", NULL, REDIS_ONE, 1, 6379, 0, "h", NULL, NULL, NULL },
        { "redis://:p%40@h:7/3", NULL, REDIS_ONE, 1, 7, 3, "h", "", "p@", NULL },
        { "redis://[::1]:7", NULL, REDIS_ONE, 1, 7, 0, "::1", NULL, NULL, NULL },
        { "redis-cluster://u:p@a:1,b:2,c", NULL, REDIS_CLUSTER, 3, 1, 0, "a", "u", "p", NULL },
        { "redis-cluster://a:1/4", "no database but 0", REDIS_CLUSTER, 1, 1, 4, "a", NULL, NULL, NULL },
        { "redis-sentinel://a,b:2/main", NULL, REDIS_SENTINEL, 2, 26379, 0, "a", NULL, NULL, "main" },
        { "redis://h/abc", "is a number, not \"abc\"", REDIS_ONE, 1, 6379, 0, "h", NULL, NULL, NULL },
        { "redis-sentinel://a", "needs the name of the master", REDIS_SENTINEL, 1, 26379, 0, "a", NULL, NULL, "" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(table); i++) {
        struct redis_address a = { 0 };
        g_autofree char *why = address_parse(&a, table[i].url, NULL);
        if (table[i].complaint)
            assert_non_null(strstr(why, table[i].complaint));
        else
            assert_null(why);
        assert_int_equal(a.kind, table[i].kind);
        assert_int_equal(a.places[0].port, table[i].port);
        assert_string_equal(a.places[0].host, table[i].host);
        if (!why) {
            assert_int_equal(a.count, table[i].count);
            assert_int_equal(a.db, table[i].db);
            assert_true(g_strcmp0(a.user, table[i].user) == 0);
            assert_true(g_strcmp0(a.password, table[i].password) == 0);
            assert_true(g_strcmp0(a.master, table[i].master) == 0);
        }
        address_clear(&a);
    }
}

static void a_place_is_read_from_behind(void **state)
{
    struct redis_place p;

    assert_true(place_parse(&p, "::1:7000"));
    assert_string_equal(p.host, "::1");
    assert_int_equal(p.port, 7000);
    assert_false(place_parse(&p, "10.0.0.1"));
    assert_false(place_parse(&p, "10.0.0.1:0"));
    assert_false(place_parse(&p, "10.0.0.1:70000"));
    g_autofree char *long_one = g_strnfill(400, 'a'), *text = g_strconcat(long_one, ":1", NULL);
    assert_false(place_parse(&p, text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_has_the_slot_that_redis_says),
        cmocka_unit_test(an_url_says_where_and_as_whom),
        cmocka_unit_test(a_place_is_read_from_behind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
