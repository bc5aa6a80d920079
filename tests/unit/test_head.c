/* The head of a request, by RFC 9110 and RFC 9112: tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glib.h>
#include <string.h>

#include "dispatcher/http/head.h"

static void a_length_that_is_said_twice_or_wrongly_is_refused(void **state)
{
    static const struct {
        const char *headers[6]; /* name, value, … */
        bool good;
    } table[] = {
        { { "Host", "a", "Content-Length", "12" }, true },
        { { "Host", "a", "Transfer-Encoding", "chunked" }, true },
        { { "content-length", "0" }, true },
        { { "Content-Length", "12", "content-length", "12" }, false },
        { { "Content-Length", "12", "Transfer-Encoding", "chunked" }, false },
        { { "Transfer-Encoding", "chunked", "Transfer-Encoding", "identity" }, false },
        { { "Content-Length", "" }, false },
        { { "Content-Length", "+1" }, false },
        { { "Content-Length", "-1" }, false },
        { { "Content-Length", "1,1" }, false },
        { { "Content-Length", "0x10" }, false },
        { { "Content-Length ", "12" }, false },
        { { "Transfer Encoding", "chunked" }, false },
        { { "", "x" }, false },
        { { "Host", "a", "Host", "b" }, false },
        { { "Idempotency-Key", "a", "idempotency-key", "b" }, false },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(table); i++) {
        struct head h = { 0 };
        for (size_t k = 0; k < 6 && table[i].headers[k]; k += 2)
            head_count(&h, table[i].headers[k], table[i].headers[k + 1]);
        if ((head_fault(&h) == NULL) != table[i].good)
            fail_msg("row %zu: %s", i, head_fault(&h));
    }
}

static void a_target_is_split_and_its_query_decoded(void **state)
{
    static const struct {
        const char *uri, *path, *name, *value; /* name NULL: no such field is asked for */
    } table[] = {
        { "/", "/", NULL, NULL },
        { "/v1/messages", "/v1/messages", "status", NULL },
        { "/v1/messages?status=sent", "/v1/messages", "status", "sent" },
        { "/a%2Fb?x=1", "/a%2Fb", "x", "1" }, /* the path stays as it came: a slash within a part is no border */
        { "/?a=b=c", "/", "a", "b=c" },
        { "/?a", "/", "a", "" },
        { "/?a=", "/", "a", "" },
        { "/?a=%C3%A9", "/", "a", "é" },
        { "/?%61=1", "/", "a", "1" },
        { "/?a=1&&b=2", "/", "b", "2" },
        { "/?a=1&a=2", "/", "a", "2" },
        { "/?=1", "/", "", NULL },
        { "/?x=a?b", "/", "x", "a?b" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(table); i++) {
        g_autofree char *path = NULL;
        g_autoptr(GHashTable) query = NULL;
        if (!head_split(table[i].uri, &path, &query))
            fail_msg("refused: %s", table[i].uri);
        assert_string_equal(path, table[i].path);
        const char *value = table[i].name ? g_hash_table_lookup(query, table[i].name) : NULL;
        if (g_strcmp0(value, table[i].value) != 0)
            fail_msg("%s: %s is %s", table[i].uri, table[i].name, value);
    }
}

static void a_target_that_is_none_is_refused(void **state)
{
    g_autofree char *long_one = g_strdup_printf("/%08192d", 0);
    const char *const bad[] = { "",      "v1",     "*",       "http://a/b", "/?a=%zz",
                                "/?a=%", "/?a=%4", "/?%00=1", "/?a=%00",    long_one };

    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        char *path = NULL;
        GHashTable *query = NULL;
        if (head_split(bad[i], &path, &query))
            fail_msg("taken: %s", bad[i]);
        assert_null(path);
        assert_null(query);
    }
}

static void a_media_type_is_compared_whole_and_in_utf_8(void **state)
{
    static const struct {
        const char *value;
        bool is;
    } table[] = {
        { "application/json", true },
        { "Application/JSON", true },
        { "application/json; charset=utf-8", true },
        { "application/json;charset=\"UTF-8\"", true },
        { "application/json; charset=iso-8859-1", false },
        { "application/json-patch+json", false },
        { "application/jsonx", false },
        { "text/json", false },
        { "", false },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(table); i++)
        if (head_is_type(table[i].value, "application/json") != table[i].is)
            fail_msg("%s", table[i].value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_length_that_is_said_twice_or_wrongly_is_refused),
        cmocka_unit_test(a_target_is_split_and_its_query_decoded),
        cmocka_unit_test(a_target_that_is_none_is_refused),
        cmocka_unit_test(a_media_type_is_compared_whole_and_in_utf_8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
