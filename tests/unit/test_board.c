/*
 * The memory that a mail provider and its agent share, as channels/mail/board.h
 * describes it: two views of it, one for each end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glib.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "channels/mail/board.h"

#define SESSIONS 3

struct ends {
    struct board *provider, *agent;
    int bell;
};

static int begin(void **state)
{
    struct ends *e = g_new0(struct ends, 1);

    e->bell = eventfd(0, EFD_NONBLOCK);
    e->provider = board_new(SESSIONS, e->bell);
    e->agent = board_open(dup(board_fd(e->provider)), SESSIONS, e->bell);
    *state = e;
    return e->provider && e->agent ? 0 : -1;
}

static int end(void **state)
{
    struct ends *e = *state;

    board_close(e->provider);
    board_close(e->agent);
    close(e->bell);
    g_free(e);
    return 0;
}

static const struct parcel mail = {
    .from = "a@example.com", .to = "b@example.com", .bytes = "Subject: x\r\n\r\nhi", .len = 16
};

static bool rings(const struct ends *e)
{
    uint64_t n;
    return read(e->bell, &n, sizeof n) == sizeof n;
}

static struct outcome outcome(enum outcome_kind kind, int code, const char *detail)
{
    struct outcome o = { .kind = kind, .code = code };

    g_strlcpy(o.detail, detail, sizeof o.detail);
    return o;
}

static void a_mail_goes_over_and_its_result_comes_back(void **state)
{
    struct ends *e = *state;
    struct board_mail got;
    struct outcome said = outcome(OUTCOME_REFUSED, 550, "550 5.1.1 no"), heard;

    assert_false(board_take(e->agent, 1, 1, 0, &got));
    assert_true(board_put(e->provider, 1, 1, &mail));
    assert_false(board_take(e->agent, 2, 1, 0, &got)); /* of another session */
    assert_true(board_take(e->agent, 1, 1, 0, &got));
    assert_string_equal(got.from, mail.from);
    assert_string_equal(got.to, mail.to);
    assert_int_equal(got.len, mail.len);
    assert_memory_equal(got.bytes, mail.bytes, mail.len);
    assert_false(board_retract(e->provider, 1, 1)); /* the session has it */
    assert_int_equal(board_result(e->provider, 1, 1, &heard), BOARD_NOTHING);
    board_tell(e->agent, 1, 1, &said);
    assert_true(rings(e));
    assert_int_equal(board_result(e->provider, 1, 1, &heard), BOARD_RESULT);
    assert_int_equal(heard.kind, OUTCOME_REFUSED);
    assert_int_equal(heard.code, 550);
    assert_string_equal(heard.detail, said.detail);
    assert_int_equal(board_result(e->provider, 1, 1, &heard), BOARD_NOTHING); /* once */
}

static void so_many_mails_have_a_place_and_one_more_has_none(void **state)
{
    struct ends *e = *state;

    for (uint64_t number = 1; number <= BOARD_PLACES; number++)
        assert_true(board_put(e->provider, 0, number, &mail));
    assert_false(board_put(e->provider, 0, BOARD_PLACES + 1, &mail));
}

static void a_committed_mail_asks_nobody_and_its_dot_can_be_forbidden_until_it_is_sent(void **state)
{
    struct ends *e = *state;
    struct parcel committed = mail;
    struct board_mail got;

    committed.committed = true;
    for (uint64_t number = 1; number <= 3; number++)
        assert_true(board_put(e->provider, 0, number, &committed));
    assert_true(board_take(e->agent, 0, 1, 0, &got));
    assert_true(got.committed);
    assert_false(board_dotted(e->provider, 0, 1));
    assert_true(board_ask(e->agent, 0, 1, true));
    assert_true(board_dotted(e->provider, 0, 1));
    assert_int_equal(board_asked(e->provider, 0), 0);
    assert_false(board_forbid(e->provider, 0, 1)); /* too late */
    assert_true(board_forbid(e->provider, 0, 2));
    assert_false(board_ask(e->agent, 0, 2, true));
    assert_true(board_ask(e->agent, 0, 3, true));
}

static void what_no_session_has_taken_can_be_taken_back(void **state)
{
    struct ends *e = *state;
    struct board_mail got;

    board_put(e->provider, 0, 1, &mail);
    assert_true(board_retract(e->provider, 0, 1));
    assert_false(board_take(e->agent, 0, 1, 0, &got));
    assert_true(board_put(e->provider, 0, 1, &mail));
    assert_true(board_forbid(e->provider, 0, 1)); /* of the one that is taken back; the number goes to another */
    assert_true(board_retract(e->provider, 0, 1));
    assert_true(board_put(e->provider, 0, 1, &mail));
    assert_true(board_take(e->agent, 0, 1, 0, &got));
    assert_false(board_retract(e->provider, 0, 1));
    assert_true(board_ask(e->agent, 0, 1, true));
}

static void *answer_it(void *ends)
{
    struct ends *e = ends;
    struct pollfd bell = { e->bell, POLLIN, 0 };

    for (uint64_t number = 1; number <= 200; number++) {
        while (board_asked(e->provider, 0) != number) {
            poll(&bell, 1, 1000);
            rings(e);
            board_listen(e->provider);
        }
        board_answer(e->provider, 0, number, number % 3 != 0);
        board_wake(e->provider, 0);
    }
    return NULL;
}

static void each_question_gets_its_own_answer(void **state)
{
    struct ends *e = *state;
    pthread_t provider;

    pthread_create(&provider, NULL, answer_it, e);
    for (uint64_t number = 1; number <= 200; number++)
        assert_int_equal(board_ask(e->agent, 0, number, false), number % 3 != 0);
    pthread_join(provider, NULL);
}

static void *put_them(void *ends)
{
    struct ends *e = ends;
    struct outcome heard;

    for (uint64_t number = 1; number <= 2000;) {
        if (board_put(e->provider, 2, number, &mail))
            number++;
        board_wake(e->provider, 2);
        board_result(e->provider, 2, number, &heard); /* of the one that had this place before */
    }
    return NULL;
}

static void a_session_that_sleeps_is_woken_by_each_mail(void **state)
{
    struct ends *e = *state;
    struct board_mail got;
    struct outcome sent = outcome(OUTCOME_SENT, 250, "250 ok");
    pthread_t provider;

    pthread_create(&provider, NULL, put_them, e);
    for (uint64_t number = 1; number <= 2000; number++) {
        assert_true(board_take(e->agent, 2, number, 10000, &got));
        board_tell(e->agent, 2, number, &sent);
    }
    pthread_join(provider, NULL);
}

static void the_bell_rings_once_until_the_provider_listens(void **state)
{
    struct ends *e = *state;

    board_set_stage(e->agent, 0, STAGE_GREETING);
    assert_true(rings(e));
    board_set_stage(e->agent, 0, STAGE_MAIL);
    board_set_stage(e->agent, 1, STAGE_GREETING);
    assert_false(rings(e));
    board_listen(e->provider);
    assert_int_equal(board_stage(e->provider, 0), STAGE_MAIL);
    board_set_stage(e->agent, 1, STAGE_GREETING); /* no news */
    assert_false(rings(e));
    board_set_stage(e->agent, 1, STAGE_CONNECT);
    assert_true(rings(e));
}

static void what_no_agent_says_is_nonsense(void **state)
{
    struct ends *e = *state;
    struct board_mail got;
    struct outcome heard,
        kinds[] = { outcome((enum outcome_kind)(OUTCOME_UNABLE + 1), 0, ""), outcome((enum outcome_kind) - 1, 0, "") };

    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
        board_put(e->provider, (int)i, 1, &mail);
        board_take(e->agent, (int)i, 1, 0, &got);
        board_tell(e->agent, (int)i, 1, &kinds[i]);
        assert_int_equal(board_result(e->provider, (int)i, 1, &heard), BOARD_NONSENSE);
    }
    board_set_stage(e->agent, 2, (enum smtp_stage)77);
    assert_int_equal(board_stage(e->provider, 2), STAGE_MAIL);
}

static void a_large_mail_goes_over_and_leaves_no_memory_behind(void **state)
{
    struct ends *e = *state;
    struct board_mail got;
    size_t len = BOARD_MAIL_MOST - 100;
    g_autofree char *bytes = g_malloc(len);
    struct parcel large = mail;
    struct outcome sent = outcome(OUTCOME_SENT, 250, "250 ok"), heard;

    memset(bytes, 'x', len);
    large.bytes = bytes;
    large.len = len;
    for (uint64_t number = 1; number <= 4; number++) {
        assert_true(board_put(e->provider, 0, number, &large));
        assert_true(board_take(e->agent, 0, number, 0, &got));
        assert_int_equal(got.len, len);
        assert_memory_equal(got.bytes, bytes, len);
        board_tell(e->agent, 0, number, &sent);
        assert_int_equal(board_result(e->provider, 0, number, &heard), BOARD_RESULT);
    }
    struct stat st;
    assert_int_equal(fstat(board_fd(e->provider), &st), 0);
    assert_true(st.st_blocks * 512 < 1 << 20);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(a_mail_goes_over_and_its_result_comes_back),
        TEST(so_many_mails_have_a_place_and_one_more_has_none),
        TEST(a_committed_mail_asks_nobody_and_its_dot_can_be_forbidden_until_it_is_sent),
        TEST(what_no_session_has_taken_can_be_taken_back),
        TEST(each_question_gets_its_own_answer),
        TEST(a_session_that_sleeps_is_woken_by_each_mail),
        TEST(the_bell_rings_once_until_the_provider_listens),
        TEST(what_no_agent_says_is_nonsense),
        TEST(a_large_mail_goes_over_and_leaves_no_memory_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
