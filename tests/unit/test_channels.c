/* Addresses, SMS sizes, mail composition and signatures: tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <glib.h>

#include "channels/address.h"
#include "channels/gsm.h"
#include "channels/in_app.h"
#include "channels/mime.h"
#include "channels/web/webhook.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

static void mail_addresses_come_to_one_form_or_are_refused(void **state)
{
    static const struct {
        const char *in, *out; /* NULL: refused */
    } rows[] = { { "ada@example.com", "ada@example.com" },
                 { " A+tag@B.EXAMPLE ", "A+tag@b.example" },
                 { "a@b\xc3\xbc"
                   "cher.example",
                   "a@xn--bcher-kva.example" },
                 { "a@fa\xc3\x9f.de", "a@xn--fa-hia.de" },
                 { "", NULL },
                 { "@", NULL },
                 { "a@", NULL },
                 { "@b.example", NULL },
                 { "a@b", NULL },
                 { "a@b@c", NULL },
                 { "a@b.c\r\nRCPT TO:<x@y.z>", NULL },
                 { "a@b.example> NOTIFY=NEVER", NULL },
                 { ".a@b.example", NULL },
                 { "a..b@c.example", NULL },
                 { "a@-b.example", NULL },
                 { "a@b_c.example", NULL },
                 { "a@[127.0.0.1]", NULL },
                 { "a@127.0.0.1", NULL },
                 { "\xc3\xa4@b.example", "\xc3\xa4@b.example" },  /* RFC 6531 */
                 { "a\xcc\x88@b.example", "\xc3\xa4@b.example" }, /* composed */
                 { "a\xe2\x80\xae"
                   "b@b.example",
                   NULL }, /* turns what follows around */
                 { "a\xc2\xa0@b.example", NULL },
                 { "a@b..example", NULL },
                 { "Name <a@b.example>", NULL },
                 { "a@b.example, c@d.example", NULL },
                 { "a\tb@c.example", NULL },
                 { "mailto:a@b.example", NULL } };
    char out[ADDRESS_SIZE];

    for (size_t i = 0; i < COUNT(rows); i++) {
        const char *why = address_email(out, rows[i].in);
        if (rows[i].out && why)
            fail_msg("%s: %s", rows[i].in, why);
        if (!rows[i].out && !why)
            fail_msg("%s was taken as %s", rows[i].in, out);
        if (rows[i].out)
            assert_string_equal(out, rows[i].out);
    }
    assert_null(address_key(out, "Ada@Example.COM"));
    assert_string_equal(out, "ada@example.com");
    assert_null(address_key(out, "\xc3\x84@Example.COM"));
    assert_string_equal(out, "\xc3\xa4@example.com");
}

static void phone_numbers_come_to_e164_or_are_refused(void **state)
{
    static const struct {
        const char *in, *out;
    } rows[] = { { "+49 170 1234567", "+491701234567" },
                 { "+49-(170)-123.4567", "+491701234567" },
                 { "+\xd9\xa4\xd9\xa9"
                   "1701234567",
                   "+491701234567" },
                 { "", NULL },
                 { "+", NULL },
                 { "0170 1234567", NULL },
                 { "+0170123456", NULL },
                 { "+49 (0) 170 1234567", NULL },
                 { "+1234567890123456", NULL },
                 { "+49170x5", NULL },
                 { "112", NULL },
                 { "tel:+491701234567", NULL },
                 { "+49170\r\nTo: x", NULL } };
    char out[ADDRESS_SIZE];

    for (size_t i = 0; i < COUNT(rows); i++) {
        const char *why = address_phone(out, rows[i].in);
        if (!rows[i].out != !!why)
            fail_msg("%s: %s", rows[i].in, why ? why : out);
        if (rows[i].out)
            assert_string_equal(out, rows[i].out);
    }
}

static void sms_are_counted_as_operators_bill_them(void **state)
{
    static const struct {
        const char *unit;
        int times;
        const char *encoding;
        int segments;
    } rows[] = { { "a", 160, "gsm7", 1 },
                 { "a", 161, "gsm7", 2 },
                 { "a", 306, "gsm7", 2 },
                 { "a", 307, "gsm7", 3 },
                 { "\xe2\x82\xac", 80, "gsm7", 1 },
                 { "\xe2\x82\xac", 81, "gsm7", 2 },
                 { "\xe2\x82\xac", 153, "gsm7", 3 }, /* 76 of two septets fit into 153 */
                 { "\xc4\x85", 70, "ucs2", 1 },
                 { "\xc4\x85", 71, "ucs2", 2 },
                 { "\xf0\x9f\x98\x80", 35, "ucs2", 1 },
                 { "\xf0\x9f\x98\x80", 67, "ucs2", 3 }, /* 33 pairs fit into 67 */
                 { "a", 1530, "gsm7", 10 } };

    for (size_t i = 0; i < COUNT(rows); i++) {
        g_autoptr(GString) text = g_string_new(NULL);
        for (int n = 0; n < rows[i].times; n++)
            g_string_append(text, rows[i].unit);
        struct sms_size size = sms_measure(text->str);
        assert_string_equal(size.encoding, rows[i].encoding);
        assert_int_equal(size.segments, rows[i].segments);
    }
}

static void an_sms_is_cut_at_a_word_that_is_near_and_never_inside_a_character(void **state)
{
    g_autoptr(GString) parcels = g_string_new("Your parcels:"), words = g_string_new(NULL), family = g_string_new(NULL),
                       one = g_string_new("x ");

    for (int i = 0; i < 40; i++)
        g_string_append_printf(parcels, "\nPK-%05d", i);
    for (int i = 0; i < 60; i++)
        g_string_append(words, "many words ");
    for (int i = 0; i < 30; i++)
        g_string_append(family, "ab\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x91\xa7");
    for (int i = 0; i < 300; i++)
        g_string_append_c(one, 'a');
    sms_prepare(parcels, false, 1);
    assert_true(g_str_has_suffix(parcels->str, "PK-00015...") && parcels->len <= 160);
    sms_prepare(words, false, 2);
    assert_true(g_str_has_suffix(words->str, "many...") || g_str_has_suffix(words->str, "words..."));
    assert_int_equal(sms_measure(words->str).segments, 2);
    sms_prepare(family, false, 1);
    assert_true(g_str_has_suffix(family->str, "\xf0\x9f\x91\xa7...") || g_str_has_suffix(family->str, "b..."));
    sms_prepare(one, false, 1);
    assert_int_equal(one->len, 160);
}

static void a_mail_is_seven_bit_short_lined_and_takes_no_injection(void **state)
{
    struct mail m = { .from = "a@example.com",
                      .from_name = "\xc5\x81ukasz, Bank",
                      .to = "b@example.com",
                      .subject = "x",
                      .message_id = "id@example.com" };
    g_autoptr(GString) body = g_string_new(".\r\n..\nFrom me\n\xe2\x82\xac trailing \n");

    for (int i = 0; i < 300; i++)
        g_string_append(body, "word\xc3\xa4");
    m.text = m.html = (struct mime_text){ .text = body->str, .len = body->len };
    m.subject = "\xd9\x85\xd8\xb1\xd8\xad\xd8\xa8\xd9\x8b\xd8\xa7 \xd9\x85\xd8\xb1\xd8\xad\xd8\xa8\xd9\x8b\xd8\xa7 "
                "\xd9\x85\xd8\xb1\xd8\xad\xd8\xa8\xd9\x8b\xd8\xa7 and a long tail of plain words to fold it";
    g_autoptr(GString) out = g_string_new(NULL);
    assert_null(mime_compose(&m, out));
    int column = 0;
    for (size_t i = 0; i < out->len; i++) {
        assert_true((unsigned char)out->str[i] < 0x80 && out->str[i] != '\0');
        if (out->str[i] == '\n')
            assert_int_equal(out->str[i - 1], '\r');
        if (out->str[i] == '\r')
            assert_int_equal(out->str[i + 1], '\n');
        if (column == 0)
            assert_int_not_equal(out->str[i], '.');
        column = out->str[i] == '\n' ? 0 : column + 1;
        assert_true(column <= 78);
    }
    static const char *const bad[] = { "a\r\nBcc: x@y.z", "a\nb", "a\rb", "a\001b", "", "\xff" };
    for (size_t i = 0; i < COUNT(bad); i++) {
        m.subject = bad[i];
        assert_non_null(mime_compose(&m, out));
    }
    m.subject = "fine";
    m.from_name = "a\r\nb";
    assert_non_null(mime_compose(&m, out));
    m.from_name = NULL;
    static const char *const addresses[] = { "b@x\r\nBcc: e@x", "b@x> <e@x", "nobody", "" };
    for (size_t i = 0; i < COUNT(addresses); i++) {
        m.to = addresses[i];
        assert_non_null(mime_compose(&m, out));
    }
    m.to = "b@example.com";
    m.feedback_id = "a:b\r\nX: y";
    assert_non_null(mime_compose(&m, out));
    m.feedback_id = "black-friday-2026:order-confirmation:transactional-mail:example-sender";
    g_string_truncate(out, 0);
    assert_null(mime_compose(&m, out));
    assert_non_null(strstr(
        out->str, "\r\nFeedback-ID: black-friday-2026:order-confirmation:transactional-mail:example-sender\r\n"));
}

static void a_card_links_only_where_a_browser_may_go(void **state)
{
    static const char *const good[] = { "https://example.com/x", "http://example.com", "/orders/1", "" },
                             *const bad[] = { "javascript:alert(1)", "//evil.example", "/\\evil", "data:x" };

    for (size_t i = 0; i < COUNT(good); i++) {
        const char *why = NULL;
        char *card = in_app_card(&(struct card){ .title = "t", .url = good[i] }, &why);
        assert_non_null(card);
        free(card);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        const char *why = NULL;
        assert_null(in_app_card(&(struct card){ .title = "t", .url = bad[i] }, &why));
        assert_non_null(why);
    }
}

/* The example of the Standard Webhooks specification. */
static void a_signature_is_that_of_standard_webhooks(void **state)
{
    const char *body = "{\"test\": 2432232314}";
    g_autofree char *signature = webhook_sign("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek",
                                              1614265330, body, strlen(body));
    assert_string_equal(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mail_addresses_come_to_one_form_or_are_refused),
        cmocka_unit_test(phone_numbers_come_to_e164_or_are_refused),
        cmocka_unit_test(sms_are_counted_as_operators_bill_them),
        cmocka_unit_test(an_sms_is_cut_at_a_word_that_is_near_and_never_inside_a_character),
        cmocka_unit_test(a_mail_is_seven_bit_short_lined_and_takes_no_injection),
        cmocka_unit_test(a_card_links_only_where_a_browser_may_go),
        cmocka_unit_test(a_signature_is_that_of_standard_webhooks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
