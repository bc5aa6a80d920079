/*
 * Mails, read back by GMime: any Unicode text in any header or body is the same
 * after the journey, and what is encoded beforehand is byte for byte what is
 * encoded at once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <gmime/gmime.h>
#include <string.h>

#include "channels/mime.h"
#include "channels/transfer.h"

#define ROUNDS 3000

/* ---------------------------------------------------------------- any text */

static gunichar any_character(GRand *r, bool with_controls)
{
    static const gunichar awkward[] = { '.', '=', '?', '_', '"',  '\\', '<',  '>',    ',',    ';',   ':',    '@',
                                        '(', ')', ' ', ' ', '\'', '%',  0xa0, 0x200f, 0xfeff, 0x301, 0x1f600 };
    for (;;) {
        gunichar c = 0;
        switch (g_rand_int_range(r, 0, 6)) {
        case 0: c = awkward[g_rand_int_range(r, 0, G_N_ELEMENTS(awkward))]; break;
        case 1: c = (gunichar)g_rand_int_range(r, 0x80, 0x800); break;
        case 2: c = (gunichar)g_rand_int_range(r, 0x800, 0x10000); break;
        case 3: c = (gunichar)g_rand_int_range(r, 0x10000, 0x110000); break;
        case 4: c = with_controls ? (gunichar)g_rand_int_range(r, 1, 0x20) : 'x'; break;
        default: c = (gunichar)g_rand_int_range(r, 0x20, 0x7f); break;
        }
        if (g_unichar_validate(c) && c != '\r' && c != 0x7f)
            return c;
    }
}

static char *any_text(GRand *r, int most, bool with_controls)
{
    GString *s = g_string_new(NULL);
    int n = g_rand_int_range(r, 1, most);

    if (g_rand_int_range(r, 0, 8) == 0)
        g_string_append(s, g_rand_boolean(r) ? "From ." : "=?UTF-8?Q?=41?=");
    while (n-- > 0)
        g_string_append_unichar(s, any_character(r, with_controls));
    return g_string_free(s, FALSE);
}

/* Lines of any text, with any number of empty ones, ended or not. */
static char *any_body(GRand *r)
{
    GString *s = g_string_new(NULL);

    for (int lines = g_rand_int_range(r, 1, 12); lines > 0; lines--) {
        g_autofree char *line = any_text(r, g_rand_int_range(r, 2, 200), true);
        g_string_append(s, line);
        if (g_rand_int_range(r, 0, 4))
            g_string_append_c(s, '\n');
    }
    return g_string_free(s, FALSE);
}

/* ---------------------------------------------------------------- reading */

static GMimeMessage *read_mail(const GString *raw)
{
    GMimeStream *stream = g_mime_stream_mem_new_with_buffer(raw->str, raw->len);
    GMimeParser *parser = g_mime_parser_new_with_stream(stream);
    GMimeMessage *message = g_mime_parser_construct_message(parser, NULL);

    g_object_unref(parser);
    g_object_unref(stream);
    assert_non_null(message);
    return message;
}

static char *content_of(GMimeObject *part, gsize *len)
{
    GMimeStream *stream = g_mime_stream_mem_new();
    GMimeDataWrapper *content = g_mime_part_get_content(GMIME_PART(part));

    g_mime_data_wrapper_write_to_stream(content, stream);
    GByteArray *bytes = g_mime_stream_mem_get_byte_array(GMIME_STREAM_MEM(stream));
    *len = bytes->len;
    char *text = g_malloc(bytes->len + 1);
    if (bytes->len)
        memcpy(text, bytes->data, bytes->len);
    text[bytes->len] = 0;
    g_object_unref(stream);
    return text;
}

static void assert_same_text(GMimeObject *part, const char *expected)
{
    gsize len;
    g_autofree char *got = content_of(part, &len);
    g_auto(GStrv) lines = g_strsplit(got, "\r\n", -1);
    g_autofree char *plain = g_strjoinv("\n", lines);
    assert_string_equal(plain, expected);
}

static const char *name_of(InternetAddressList *list)
{
    return internet_address_get_name(internet_address_list_get_address(list, 0));
}

/* Blanks at the ends of a header are not kept by anybody who reads mail. */
static char *header_of(GRand *r, int most)
{
    char *text = any_text(r, most, false);
    g_strstrip(text);
    if (!*text || !g_utf8_validate(text, -1, NULL))
        return g_free(text), g_strdup("x");
    return text;
}

/* ---------------------------------------------------------------- the properties */

static void any_text_survives_the_journey(void **state)
{
    GRand *r = g_rand_new_with_seed(4711);

    for (int i = 0; i < ROUNDS; i++) {
        g_autofree char *subject = header_of(r, 120), *from = header_of(r, 80), *to = header_of(r, 80),
                        *text = any_body(r), *html = any_body(r);
        struct mail m = { .from = "a@example.com",
                          .from_name = from,
                          .to = "b@example.com",
                          .to_name = to,
                          .subject = subject,
                          .message_id = "id-1@example.com",
                          .text = { .text = text, .len = strlen(text) },
                          .html = { .text = html, .len = strlen(html) } };
        g_autoptr(GString) raw = g_string_new(NULL);
        assert_null(mime_compose(&m, raw));
        for (size_t n = 0, column = 0; n < raw->len; n++) {
            column = raw->str[n] == '\n' ? 0 : column + 1;
            assert_true(column <= 77); /* with its CR */
        }
        GMimeMessage *read = read_mail(raw);
        assert_string_equal(g_mime_message_get_subject(read), subject);
        assert_string_equal(name_of(g_mime_message_get_from(read)), from);
        assert_string_equal(name_of(g_mime_message_get_to(read)), to);
        GMimeMultipart *parts = GMIME_MULTIPART(g_mime_message_get_mime_part(read));
        assert_int_equal(g_mime_multipart_get_count(parts), 2);
        assert_same_text(g_mime_multipart_get_part(parts, 0), text);
        assert_same_text(g_mime_multipart_get_part(parts, 1), html);
        g_object_unref(read);
    }
    g_rand_free(r);
}

static void any_attachment_survives_the_journey(void **state)
{
    GRand *r = g_rand_new_with_seed(42);

    for (int i = 0; i < ROUNDS / 10; i++) {
        guchar bytes[500];
        size_t len = (size_t)g_rand_int_range(r, 0, sizeof bytes);
        for (size_t n = 0; n < len; n++)
            bytes[n] = (guchar)g_rand_int(r);
        g_autofree char *name = header_of(r, 40);
        if (mime_filename_check(name))
            continue;
        struct mime_attachment files[] = { { name, "application/pdf", NULL, bytes, len },
                                           { "logo.png", "image/png", "logo@x", bytes, len } };
        struct mail m = { .from = "a@example.com",
                          .to = "b@example.com",
                          .subject = "s",
                          .message_id = "id@example.com",
                          .html = { .text = "<p>x", .len = 4 },
                          .text = { .text = "x", .len = 1 },
                          .attachments = files,
                          .attachment_count = 2 };
        g_autoptr(GString) raw = g_string_new(NULL);
        assert_null(mime_compose(&m, raw));
        GMimeMessage *read = read_mail(raw);
        GMimeMultipart *mixed = GMIME_MULTIPART(g_mime_message_get_mime_part(read));
        assert_int_equal(g_mime_multipart_get_count(mixed), 2);
        GMimeMultipart *related = GMIME_MULTIPART(g_mime_multipart_get_part(mixed, 0));
        assert_true(
            g_mime_content_type_is_type(g_mime_object_get_content_type(GMIME_OBJECT(related)), "multipart", "related"));
        GMimeObject *logo = g_mime_multipart_get_part(related, 1), *file = g_mime_multipart_get_part(mixed, 1);
        assert_string_equal(g_mime_object_get_content_id(logo), "logo@x");
        assert_string_equal(g_mime_part_get_filename(GMIME_PART(file)), name);
        gsize got_len;
        g_autofree char *got = content_of(file, &got_len);
        assert_int_equal(got_len, len);
        assert_memory_equal(got, bytes, len);
        g_object_unref(read);
    }
    g_rand_free(r);
}

/* A text in pieces, some of them prepared. */
static void what_is_encoded_beforehand_is_the_same(void **state)
{
    GRand *r = g_rand_new_with_seed(7);

    for (int i = 0; i < ROUNDS; i++) {
        g_autoptr(GString) text = g_string_new(NULL), whole = g_string_new(NULL), pieces = g_string_new(NULL);
        g_autoptr(GPtrArray) literals = g_ptr_array_new_with_free_func((GDestroyNotify)qp_literal_free);
        struct qp_span spans[8];
        size_t count = 0;
        for (int n = g_rand_int_range(r, 1, 9); n > 0; n--) {
            g_autofree char *piece = g_rand_int_range(r, 0, 9) ? any_body(r) : g_strdup("\r\n");
            if (g_rand_boolean(r) && count < G_N_ELEMENTS(spans)) {
                g_ptr_array_add(literals, qp_literal_new(piece, strlen(piece)));
                spans[count++] = (struct qp_span){ text->len, literals->pdata[literals->len - 1] };
            }
            g_string_append(text, piece);
        }
        transfer_qp(whole, text->str, text->len, NULL, 0);
        transfer_qp(pieces, text->str, text->len, spans, count);
        assert_string_equal(whole->str, pieces->str);
    }
    g_rand_free(r);
}

static void names_and_types_of_attachments_are_safe(void **state)
{
    static const char *const
        bad_names[] = { "",   ".",  "..",   ".bashrc", "a/b", "a\\b", "c:x", "a\r\nb", "a\nContent-Type: x",
                        "x.", " x", "\xff", "a\"b" },
        *const bad_types[] = { "",
                               "text",
                               "text/",
                               "/plain",
                               "text/plain; charset",
                               "multipart/mixed",
                               "Message/rfc822",
                               "a/b\r\nX: y" },
        *const good_ids[] = { "a@b", "x.y-1@mail.example.com" }, *const bad_ids[] = { "",      "a",          "a@",
                                                                                      "@b",    "a b@c",      "a@b>",
                                                                                      "a@b@c", "a@b\r\nX: y" };

    for (size_t i = 0; i < G_N_ELEMENTS(bad_names); i++)
        assert_non_null(mime_filename_check(bad_names[i]));
    for (size_t i = 0; i < G_N_ELEMENTS(bad_types); i++)
        assert_non_null(mime_type_check(bad_types[i]));
    for (size_t i = 0; i < G_N_ELEMENTS(bad_ids); i++)
        assert_false(mime_id_good(bad_ids[i]));
    for (size_t i = 0; i < G_N_ELEMENTS(good_ids); i++)
        assert_true(mime_id_good(good_ids[i]));
    assert_null(mime_filename_check("Rechnung \xc3\xa4 2026.pdf"));
    assert_null(mime_type_check("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"));
    assert_non_null(mime_cid_check("a>b"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_text_survives_the_journey),
        cmocka_unit_test(any_attachment_survives_the_journey),
        cmocka_unit_test(what_is_encoded_beforehand_is_the_same),
        cmocka_unit_test(names_and_types_of_attachments_are_safe),
    };
    g_mime_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
