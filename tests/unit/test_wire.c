/*
 * What a mail agent says to its provider, as channels/mail/wire.h describes it:
 * read in any portions, and nothing else is taken for it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "channels/channel.h"
#include "channels/mail/wire.h"

static GByteArray *frame(GByteArray *to, uint32_t type, const void *bytes, uint32_t len)
{
    struct smtp_head head = { type, len };

    g_byte_array_append(to, (const guint8 *)&head, sizeof head);
    return g_byte_array_append(to, bytes, len);
}

static ssize_t read_one(uint32_t type, const void *bytes, uint32_t len, struct wire_said *said)
{
    GByteArray *b = frame(g_byte_array_new(), type, bytes, len);
    ssize_t used = wire_read(said, b->data, b->len);

    g_byte_array_unref(b);
    return used;
}

static void a_frame_is_read_when_all_of_it_is_there(void **state)
{
    struct smtp_result r = { .kind = OUTCOME_REFUSED, .code = 550, .detail = "550 no" };
    GByteArray *b = frame(g_byte_array_new(), FRAME_RESULT, &r, sizeof r);
    struct wire_said said;

    for (guint len = 0; len < b->len; len++)
        assert_int_equal(wire_read(&said, b->data, len), 0);
    frame(b, FRAME_ASK, "", 0); /* what follows stays for the next call */
    assert_int_equal(wire_read(&said, b->data, b->len), sizeof(struct smtp_head) + sizeof r);
    assert_int_equal(said.type, FRAME_RESULT);
    assert_int_equal(said.result.code, 550);
    assert_string_equal(said.result.detail, "550 no");
    g_byte_array_unref(b);
}

static void every_word_of_an_agent_is_understood(void **state)
{
    struct wire_said said;

    for (uint32_t stage = STAGE_CONNECT; stage <= STAGE_MAIL; stage++) {
        assert_true(read_one(FRAME_STAGE, &stage, sizeof stage, &said) > 0);
        assert_int_equal(said.stage, stage);
    }
    assert_true(read_one(FRAME_ASK, "", 0, &said) > 0);
    assert_int_equal(said.type, FRAME_ASK);
}

static void what_no_agent_says_is_refused(void **state)
{
    struct wire_said said;
    uint32_t beyond = STAGE_MAIL + 1;
    struct smtp_result r = { .kind = 99 };
    struct smtp_head huge = { FRAME_RESULT, UINT32_MAX };

    assert_int_equal(read_one(FRAME_STAGE, &beyond, sizeof beyond, &said), -1);
    assert_int_equal(read_one(FRAME_RESULT, &r, sizeof r, &said), -1);
    r.kind = -1;
    assert_int_equal(read_one(FRAME_RESULT, &r, sizeof r, &said), -1);
    assert_int_equal(read_one(FRAME_RESULT, &r, sizeof r - 1, &said), -1);
    assert_int_equal(read_one(FRAME_ASK, "x", 1, &said), -1);
    assert_int_equal(read_one(FRAME_JOB, "", 0, &said), -1); /* the other way round */
    assert_int_equal(read_one(0, "", 0, &said), -1);
    assert_int_equal(wire_read(&said, &huge, sizeof huge), -1); /* said at once, not waited for */
}

static void a_text_without_an_end_is_ended(void **state)
{
    struct smtp_result r = { .kind = OUTCOME_SENT };
    struct wire_said said;

    memset(r.detail, 'x', sizeof r.detail);
    assert_true(read_one(FRAME_RESULT, &r, sizeof r, &said) > 0);
    assert_int_equal(strlen(said.result.detail), sizeof r.detail - 1);
}

static void what_is_put_at_one_end_is_got_at_the_other(void **state)
{
    int pair[2];
    struct smtp_head head;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    wire_put(pair[0], FRAME_JOB, "a@example.com\0b@example.com\0hi", 30);
    wire_put(pair[0], FRAME_GO, "", 0);
    g_autofree char *job = wire_get(pair[1], &head);
    assert_int_equal(head.type, FRAME_JOB);
    assert_int_equal(head.len, 30);
    assert_memory_equal(job, "a@example.com\0b@example.com\0hi", 31);
    g_autofree char *go = wire_get(pair[1], &head);
    assert_int_equal(head.type, FRAME_GO);
    assert_string_equal(go, "");
    close(pair[0]);
    close(pair[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_frame_is_read_when_all_of_it_is_there),
        cmocka_unit_test(every_word_of_an_agent_is_understood),
        cmocka_unit_test(what_no_agent_says_is_refused),
        cmocka_unit_test(a_text_without_an_end_is_ended),
        cmocka_unit_test(what_is_put_at_one_end_is_got_at_the_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
