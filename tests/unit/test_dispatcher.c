/* Identities, tokens, settings, caps and retries: tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <glib.h>

#include "dispatcher/base/ident.h"
#include "dispatcher/config/settings.h"
#include "dispatcher/config/values.h"
#include "dispatcher/base/token.h"
#include "dispatcher/config/yaml.h"
#include "dispatcher/policy/policy.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

static void an_id_carries_its_partition_and_a_seed_makes_it_again(void **state)
{
    char a[MESSAGE_ID_SIZE], b[MESSAGE_ID_SIZE], message[MESSAGE_ID_SIZE], letter;

    for (int p = 0; p < MAX_PARTITIONS; p += 31) {
        ident_make(a, p, NULL, 0);
        assert_int_equal(ident_partition(a), p);
    }
    ident_make(a, 3, "seed", 4);
    ident_make(b, 3, "seed", 4);
    assert_string_equal(a, b);
    g_autofree char *delivery = g_strconcat(a, "-e", NULL);
    assert_true(ident_delivery(delivery, message, &letter) && letter == 'e' && strcmp(message, a) == 0);
    static const char *const bad[] = { "", "x", "0000000000000000000000-x", "../../../../../../../..",
                                       "000000000000000000000u" };
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_true(ident_partition(bad[i]) < 0 && !ident_delivery(bad[i], message, &letter));
    assert_true(ident_good("cus_4711") && ident_good("a@b.c") && !ident_good("a b") && !ident_good("a:b") &&
                !ident_good("{1}") && !ident_good("..") && !ident_good(""));
}

static void no_changed_bit_of_a_token_is_taken(void **state)
{
    struct token t = { .recipient = "cus_1", .category = "marketing", .message = "0m" }, read;
    g_autofree char *text = token_make("secret", TOKEN_UNSUBSCRIBE, &t);

    assert_true(token_read("secret", TOKEN_UNSUBSCRIBE, text, 0, &read));
    assert_string_equal(read.recipient, "cus_1");
    assert_string_equal(read.category, "marketing");
    assert_string_equal(read.message, "0m");
    assert_false(token_read("secret", TOKEN_INBOX, text, 0, &read));
    assert_false(token_read("other", TOKEN_UNSUBSCRIBE, text, 0, &read));
    for (size_t i = 0; text[i]; i++)
        for (int bit = 0; bit < 7; bit++) {
            text[i] ^= 1 << bit;
            assert_false(text[i] && token_read("secret", TOKEN_UNSUBSCRIBE, text, 0, &read));
            text[i] ^= 1 << bit;
        }
    g_autofree char *cut = g_strndup(text, strlen(text) - 1), *padded = g_strconcat(text, "=", NULL);
    assert_false(token_read("secret", TOKEN_UNSUBSCRIBE, cut, 0, &read) ||
                 token_read("secret", TOKEN_UNSUBSCRIBE, padded, 0, &read));
    t.expires_ms = 1000;
    g_autofree char *brief = token_make("secret", TOKEN_INBOX, &t);
    assert_true(token_read("secret", TOKEN_INBOX, brief, 999, &read) &&
                !token_read("secret", TOKEN_INBOX, brief, 1000, &read));
}

static void every_default_of_the_table_is_a_value_of_its_type(void **state)
{
    const struct setting *all = settings_table;

    for (size_t i = 0; i < settings_count; i++) {
        if (!all[i].fallback || !*all[i].fallback || strpbrk(all[i].path, "*["))
            continue;
        g_auto(GStrv) words = g_strsplit(all[i].path, ".", 0);
        json_t *value = json_string(all[i].fallback);
        for (int w = (int)g_strv_length(words) - 1; w >= 0; w--) {
            json_t *outer = json_object();
            json_object_set_new(outer, words[w], value);
            value = outer;
        }
        g_autoptr(GHashTable) lines = g_hash_table_new(g_str_hash, g_str_equal);
        g_autofree char *why = settings_check(value, lines, "defaults");
        if (why)
            fail_msg("%s", why);
        json_decref(value);
    }
}

/* What an operator may write wrongly, and the line and the path that the complaint names. */
static void what_is_wrong_in_a_configuration_is_named_with_its_line(void **state)
{
    static const struct {
        const char *text, *complaint; /* NULL: none */
    } rows[] = {
        { "", NULL },
        { "data_dir: ./data\nhttp: { listen: \"127.0.0.1:8080\" }\n", NULL },
        { "defaults:\n  locale: en\n  timezone: Europe/Vienna\n", NULL },
        { "caps:\n  - { name: a, max: 3, per: 1 calendar day }\n", NULL },
        { "nonsense: 1\n", "x.yaml:1: nonsense" },
        { "data_dir: ./data\nhttp:\n  lisen: 1\n", "x.yaml:3: http.lisen" },
        { "http: 5\n", "x.yaml:1: http" },
        { "\nhttp:\n  max_body: many\n", "x.yaml:3: http.max_body" },
        { "http:\n  max_body: 1\n", "x.yaml:2: http.max_body" },
        { "http:\n  listen: somewhere\n", "x.yaml:2: http.listen" },
        { "defaults:\n  timezone: Mars/Base\n", "x.yaml:2: defaults.timezone" },
        { "worker:\n  lease: 6\n", "x.yaml:2: worker.lease" },
        { "worker:\n  lease: 9m\n", "x.yaml:2: worker.lease" },
        { "email:\n  providers:\n    - name: a\n      url: smtp://h:25\n    - name: b\n      url: ftp://h\n",
          "x.yaml:6: email.providers[1].url" },
        { "email:\n  providers:\n    - { name: a, url: \"smtp://h:25\", tls: maybe }\n",
          "x.yaml:3: email.providers[0].tls" },
        { "email:\n  providers:\n    - { url: \"smtp://h:25\" }\n", "x.yaml:3: email.providers[0] needs" },
        { "categories:\n  news: { kind: important }\n", "x.yaml:2: categories.news.kind" },
        { "caps:\n  - { name: a, max: 3, per: 1 fortnight }\n", "x.yaml:2: caps[0].per" },
        { "caps:\n  - { name: a, max: 3, per: 7d, channels: [email, fax] }\n", "x.yaml:2: caps[0].channels" },
        { "quiet_hours:\n  from: 25:00\n  to: \"07:00\"\n", "x.yaml:2: quiet_hours.from" },
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        g_autoptr(GHashTable) lines = NULL;
        char *why = NULL;
        json_auto_t *config = yaml_parse("x.yaml", rows[i].text, strlen(rows[i].text), YAML_TEXT, &lines, &why);
        if (!config)
            config = json_object();
        g_autofree char *complaint = settings_check(config, lines, "x.yaml");
        if ((complaint == NULL) != (rows[i].complaint == NULL) ||
            (complaint && !g_str_has_prefix(complaint, rows[i].complaint)))
            fail_msg("row %zu: %s", i, complaint);
        g_free(why);
    }
}

static void calendar_windows_begin_at_the_persons_midnight(void **state)
{
    static const struct {
        const char *per, *zone, *now, *since, *next;
    } rows[] = { { "1 calendar day", "Europe/Berlin", "2026-03-29T10:00:00Z", "2026-03-28T23:00:00Z",
                   "2026-03-29T22:00:00Z" }, /* a day of 23 hours */
                 { "1 calendar week", "UTC", "2026-06-03T10:00:00Z", "2026-06-01T00:00:00Z", "2026-06-08T00:00:00Z" },
                 { "1 calendar month", "Asia/Kathmandu", "2026-12-31T19:00:00Z", "2026-12-31T18:15:00Z",
                   "2027-01-31T18:15:00Z" } };
    int64_t now, since, next, want;

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct cap cap = { 0 };
        assert_null(span_parse(&cap.per, rows[i].per));
        instant_parse(&now, rows[i].now);
        cap_window(&cap, zone_open(rows[i].zone), now, &since, &next);
        instant_parse(&want, rows[i].since);
        assert_int_equal(since, want);
        instant_parse(&want, rows[i].next);
        assert_int_equal(next, want);
    }
    zone_forget();
}

static void waits_grow_to_their_limit_and_vary_by_the_jitter(void **state)
{
    struct retry r = { .max_attempts = 8, .first_ms = 10000, .max_ms = 3600000, .factor = 3, .jitter = 0.2 };

    assert_int_equal(retry_wait(&r, 1, 0.5), 10000);
    assert_int_equal(retry_wait(&r, 3, 0.5), 90000);
    assert_int_equal(retry_wait(&r, 20, 0.5), 3600000);
    assert_int_equal(retry_wait(&r, 1, 0), 8000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_id_carries_its_partition_and_a_seed_makes_it_again),
        cmocka_unit_test(no_changed_bit_of_a_token_is_taken),
        cmocka_unit_test(every_default_of_the_table_is_a_value_of_its_type),
        cmocka_unit_test(what_is_wrong_in_a_configuration_is_named_with_its_line),
        cmocka_unit_test(calendar_windows_begin_at_the_persons_midnight),
        cmocka_unit_test(waits_grow_to_their_limit_and_vary_by_the_jitter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
