/*
 * The journal alone, on a disk of its own: what was added is settled once the
 * store is back, however the process ended, and nothing in it stands in the way
 * of the others.  The test plays the store.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dispatcher/base/ident.h"
#include "dispatcher/store/journal.h"
#include "dispatcher/store/wire/script.h"

/* ---------------------------------------------------------------- the store, played */

static struct call {
    redis_answer_fn *fn;
    void *arg;
    char reason[40], trace[80];
    bool some; /* a settlement was in it */
} calls[64];
static int calls_count;
static bool throws; /* the script has thrown an error */

struct batch {
    struct settlement t;
    bool some;
};

struct batch *settle_batch(const struct store *s, const struct policy *p)
{
    return g_new0(struct batch, 1);
}

void settle_add(struct batch *b, const struct settlement *t)
{
    b->t = *t;
    b->some = true;
}

void batch_run(struct store *s, int partition, struct batch *b, redis_answer_fn *fn, void *arg)
{
    struct call *c = &calls[calls_count++];

    *c = (struct call){ .fn = fn, .arg = arg, .some = b->some };
    if (b->some) {
        g_strlcpy(c->reason, b->t.reason, sizeof c->reason);
        g_strlcpy(c->trace, b->t.trace, sizeof c->trace);
    }
    g_free(b);
}

bool script_failed(void)
{
    return throws;
}

static void answer_all(bool taken)
{
    redisReply reply = { .type = REDIS_REPLY_ARRAY };
    int n = calls_count;

    calls_count = 0;
    for (int i = 0; i < n; i++)
        calls[i].fn(calls[i].arg, taken ? &reply : NULL);
}

/* ---------------------------------------------------------------- helpers */

static char *dir;
static struct store store = { .partitions = 16 };

static int begin(void **state)
{
    dir = g_dir_make_tmp("journal-XXXXXX", NULL);
    calls_count = 0;
    throws = false;
    return 0;
}

static int end(void **state)
{
    GDir *d = g_dir_open(dir, 0, NULL);

    for (const char *name; (name = g_dir_read_name(d));) {
        g_autofree char *path = g_build_filename(dir, name, NULL);
        unlink(path);
    }
    g_dir_close(d);
    rmdir(dir);
    g_free(dir);
    return 0;
}

static struct journal *opened(void)
{
    char *why = NULL;
    struct journal *j = journal_open(dir, &why);

    assert_non_null(j);
    return j;
}

static void add(struct journal *j, const char *reason)
{
    char message[MESSAGE_ID_SIZE];

    ident_make(message, 3, NULL, 0);
    assert_true(journal_add(j, &(struct settlement){ .message = message,
                                                     .letter = 'e',
                                                     .fence = 7,
                                                     .final = true,
                                                     .code = 'T',
                                                     .reason = reason,
                                                     .provider = "relay",
                                                     .ref = "250 \xc3\xa9",
                                                     .trace = "[1,\"e\"]",
                                                     .card = "" }));
}

static char *own_file(void)
{
    return g_strdup_printf("%s/journal-%d", dir, getpid());
}

/* The file as a process that died has left it, under the number that we have too. */
static void dies_leaving(struct journal *j, const char *tail, size_t len)
{
    g_autofree char *path = own_file(), *bytes = NULL;
    gsize size;

    assert_true(g_file_get_contents(path, &bytes, &size, NULL));
    g_autoptr(GString) left = g_string_new_len(bytes, (gssize)size);
    g_string_append_len(left, tail, (gssize)len);
    journal_close(j);
    assert_true(g_file_set_contents(path, left->str, (gssize)left->len, NULL));
}

/* ---------------------------------------------------------------- tests */

static void what_was_added_is_settled_when_the_store_is_back_and_then_gone(void **state)
{
    struct journal *j = opened();
    g_autofree char *path = own_file();

    add(j, "one");
    add(j, "two");
    assert_int_equal(journal_count(j), 2);
    journal_replay(j, &store, NULL);
    assert_int_equal(calls_count, 2);
    assert_string_equal(calls[0].reason, "one");
    assert_string_equal(calls[0].trace, "[1,\"e\"]");
    journal_replay(j, &store, NULL); /* not a second time while it is asked */
    assert_int_equal(calls_count, 2);
    answer_all(false); /* the store went away again */
    assert_int_equal(journal_count(j), 2);
    journal_replay(j, &store, NULL);
    answer_all(true);
    assert_int_equal(journal_count(j), 0);
    journal_close(j);
    assert_int_not_equal(access(path, F_OK), 0); /* nothing is left to be kept */
}

static void a_torn_tail_costs_itself_and_nothing_else(void **state)
{
    static const char torn[] = { 90, 0, 0, 0, 1, 2, 3, 4, '[', '"' };

    for (size_t len = 1; len <= sizeof torn; len++) {
        struct journal *j = opened();
        add(j, "before");
        dies_leaving(j, torn, len);
        j = opened();
        assert_int_equal(journal_count(j), 1);
        add(j, "behind"); /* and dies again */
        dies_leaving(j, "", 0);
        j = opened();
        assert_int_equal(journal_count(j), 2);
        journal_replay(j, &store, NULL);
        assert_string_equal(calls[0].reason, "before");
        assert_string_equal(calls[1].reason, "behind");
        answer_all(true);
        journal_close(j);
    }
}

static void a_changed_byte_is_seen(void **state)
{
    struct journal *j = opened();
    g_autofree char *path = own_file(), *bytes = NULL;
    gsize size;

    add(j, "whole");
    assert_true(g_file_get_contents(path, &bytes, &size, NULL));
    journal_close(j);
    bytes[size - 3] ^= 1;
    assert_true(g_file_set_contents(path, bytes, (gssize)size, NULL));
    j = opened();
    assert_int_equal(journal_count(j), 0);
    journal_close(j);
}

static void the_journal_of_a_process_that_is_gone_is_taken_over(void **state)
{
    struct journal *j = opened();
    g_autofree char *own = own_file(), *other = g_strconcat(dir, "/journal-1", NULL), *bytes = NULL;
    gsize size;

    add(j, "theirs");
    assert_true(g_file_get_contents(own, &bytes, &size, NULL));
    journal_replay(j, &store, NULL);
    answer_all(true);
    journal_close(j);
    assert_true(g_file_set_contents(other, bytes, (gssize)size, NULL));
    j = opened();
    assert_int_equal(journal_count(j), 1);
    assert_int_not_equal(access(other, F_OK), 0);
    journal_replay(j, &store, NULL);
    assert_string_equal(calls[0].reason, "theirs");
    answer_all(true);
    journal_close(j);
}

static void one_that_the_store_stumbles_over_is_set_aside_and_the_others_are_settled(void **state)
{
    struct journal *j = opened();

    add(j, "poison");
    add(j, "well");
    journal_replay(j, &store, NULL);
    struct call well = calls[1];
    calls_count = 1;
    throws = true;
    answer_all(false);
    throws = false;
    redisReply reply = { .type = REDIS_REPLY_ARRAY };
    well.fn(well.arg, &reply);
    assert_int_equal(journal_count(j), 0); /* it is not tried for ever */
    journal_close(j);
    g_autofree char *aside = g_strconcat(dir, "/settlements-refused", NULL), *text = NULL;
    assert_true(g_file_get_contents(aside, &text, NULL, NULL)); /* and is not lost */
    assert_non_null(strstr(text, "poison"));
    j = opened();
    assert_int_equal(journal_count(j), 0);
    journal_close(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_added_is_settled_when_the_store_is_back_and_then_gone, begin, end),
        cmocka_unit_test_setup_teardown(a_torn_tail_costs_itself_and_nothing_else, begin, end),
        cmocka_unit_test_setup_teardown(a_changed_byte_is_seen, begin, end),
        cmocka_unit_test_setup_teardown(the_journal_of_a_process_that_is_gone_is_taken_over, begin, end),
        cmocka_unit_test_setup_teardown(one_that_the_store_stumbles_over_is_set_aside_and_the_others_are_settled, begin,
                                        end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
