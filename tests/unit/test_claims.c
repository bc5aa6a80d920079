/* Claims and batches alone: the test plays the store. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <ev.h>
#include <glib.h>

#include "dispatcher/base/clock.h"
#include "dispatcher/store/batches.h"
#include "dispatcher/carry/claims.h"

/* ---------------------------------------------------------------- the store, played */

struct batch {
    int members;
};

static struct asked {
    int partition, members;
    redis_answer_fn *fn;
    void *arg;
} asked[300];
static int asked_count;
static bool failed; /* what script_failed() says */

void batch_run(struct store *s, int partition, struct batch *b, redis_answer_fn *fn, void *arg)
{
    asked[asked_count++] = (struct asked){ partition, b->members, fn, arg };
    g_free(b);
}

bool script_failed(void)
{
    return failed;
}

static struct claim_asked {
    int partition;
    struct claim_limits limits;
    claim_fn *fn;
    void *arg;
} claims[100];
static int claims_count, given;

void store_claim(struct store *s, int partition, const struct claim_limits *limits, claim_fn *fn, void *arg)
{
    claims[claims_count++] = (struct claim_asked){ partition, *limits, fn, arg };
}

void store_account_give(struct store *s, int partition, const char *entry)
{
    given++;
}

static int away = -1; /* a partition whose server cannot be reached */

bool store_reaches(const struct store *s, int partition)
{
    return partition != away;
}

static struct store store = { .partitions = 4, .ready = true };
static struct ev_loop *loop;

static int begin(void **state)
{
    loop = ev_loop_new(0);
    asked_count = claims_count = given = 0;
    failed = false;
    return 0;
}

static int end(void **state)
{
    ev_loop_destroy(loop);
    return 0;
}

/* ---------------------------------------------------------------- batches */

static int answers[300], lost;

static struct batch *make(void *arg)
{
    return g_new0(struct batch, 1);
}

static void add(struct batch *b, void *member)
{
    b->members++;
}

static void answered(void *member, const redisReply *reply, size_t index)
{
    answers[GPOINTER_TO_INT(member)]++;
    lost += reply == NULL;
}

static const struct batch_kind kinds[] = { { make, add, answered, 0 }, { make, add, answered, 0.001 } };

static struct batches *batches_begin(void)
{
    memset(answers, 0, sizeof answers);
    lost = 0;
    return batches_new(&store, loop, kinds, 2, NULL);
}

static void join(struct batches *b, int kind, int from, int to, int partition)
{
    for (int i = from; i < to; i++)
        batch_join(b, kind, partition, GINT_TO_POINTER(i));
}

static void many_are_asked_together_and_each_is_answered_once(void **state)
{
    struct batches *b = batches_begin();
    redisReply reply = { 0 };

    join(b, 0, 0, 10, 1);
    join(b, 0, 10, 15, 3);
    assert_int_equal(asked_count, 0);
    batches_run(b);
    assert_int_equal(asked_count, 2);
    assert_true(asked[0].partition == 1 && asked[0].members == 10);
    assert_true(asked[1].partition == 3 && asked[1].members == 5);
    batches_run(b); /* nobody waits any more */
    assert_int_equal(asked_count, 2);
    for (int i = 0; i < 2; i++)
        asked[i].fn(asked[i].arg, &reply);
    for (int i = 0; i < 15; i++)
        assert_int_equal(answers[i], 1);
    assert_int_equal(lost, 0);
    batches_free(b);
}

static void a_full_batch_does_not_wait(void **state)
{
    struct batches *b = batches_begin();

    join(b, 0, 0, 130, 2);
    assert_int_equal(asked_count, 2);
    assert_true(asked[0].members == 64 && asked[1].members == 64);
    batches_run(b);
    assert_int_equal(asked[2].members, 2);
    for (int i = 0; i < 3; i++)
        asked[i].fn(asked[i].arg, NULL); /* the store is gone: each is told so */
    assert_int_equal(lost, 130);
    batches_free(b);
}

static void one_that_a_script_stumbles_over_does_not_hold_up_the_others(void **state)
{
    struct batches *b = batches_begin();
    redisReply reply = { 0 };

    join(b, 0, 0, 3, 0);
    batches_run(b);
    failed = true;
    asked[0].fn(asked[0].arg, NULL);
    assert_int_equal(asked_count, 4); /* each for itself */
    asked[1].fn(asked[1].arg, NULL);
    failed = false;
    asked[2].fn(asked[2].arg, &reply);
    asked[3].fn(asked[3].arg, &reply);
    assert_int_equal(lost, 1);
    for (int i = 0; i < 3; i++)
        assert_int_equal(answers[i], 1);
    batches_free(b);
}

static void a_kind_with_a_delay_runs_by_itself(void **state)
{
    struct batches *b = batches_begin();

    join(b, 1, 0, 2, 0);
    batches_run(b);
    assert_int_equal(asked_count, 0);
    ev_run(loop, EVRUN_ONCE);
    assert_int_equal(asked_count, 1);
    asked[0].fn(asked[0].arg, NULL);
    batches_free(b);
}

/* ---------------------------------------------------------------- claims */

static int room = 10, held, taken, looks;

static int capacity_of(void *arg, enum channel c)
{
    return c == CHANNEL_EMAIL ? room : 0;
}

static int held_of(void *arg, enum channel c)
{
    return held;
}

static void on_taken(void *arg, int partition, const struct claimed *c)
{
    taken++;
}

static void on_look(void *arg)
{
    looks++;
}

static const struct claim_owner owner = { capacity_of, held_of, on_taken, on_look };

static struct claimer *claimer_begin(double catch_up)
{
    struct claim_terms terms = { .lease_ms = 6000, .late_ms = 300000, .catch_up = catch_up, .batch = 64 };

    room = 10;
    held = taken = looks = 0;
    return claimer_new(&store, loop, &terms, &owner, NULL);
}

static void answer(int claim, int count, int64_t next_due)
{
    static const char *const nothing[] = { NULL };
    struct claimed list[16] = { 0 };

    for (int i = 0; i < count; i++)
        list[i] = (struct claimed){ .letter = 'e', .lane = LANE_NORMAL, .due = clock_now() };
    struct claims c = {
        .list = list, .count = count, .next_due = { next_due, -1, -1 }, .next_lease = -1, .to_give = nothing
    };
    claims[claim].fn(claims[claim].arg, true, &c);
}

static void no_more_is_claimed_than_there_is_room_for(void **state)
{
    struct claimer *w = claimer_begin(0);
    int all = 0;

    claimer_round(w);
    for (int i = 0; i < claims_count; i++)
        all += claims[i].limits.room[CHANNEL_EMAIL];
    assert_int_equal(all, 10); /* over all partitions */
    assert_int_equal(claims[0].limits.room[CHANNEL_SMS], 0);
    claimer_round(w); /* nothing twice while the first are under way */
    assert_true(claims_count <= 4);
    for (int i = 0, n = claims_count; i < n; i++)
        answer(i, i == 0 ? 10 : 0, -1);
    assert_int_equal(taken, 10);
    assert_true(looks > 0);
    held = 10;
    int before = claims_count;
    claimer_round(w);
    for (int i = before; i < claims_count; i++)
        assert_int_equal(claims[i].limits.room[CHANNEL_EMAIL], 0);
    claimer_free(w);
}

static void a_partition_is_asked_again_when_it_is_due_or_was_woken(void **state)
{
    struct claimer *w = claimer_begin(0);

    room = 1000;
    claimer_round(w);
    assert_int_equal(claims_count, 4);
    for (int i = 0; i < 4; i++)
        answer(i, 0, clock_now() + 3600000);
    claimer_round(w);
    assert_int_equal(claims_count, 4); /* nothing is due for an hour */
    g_autofree char *message = g_strdup_printf("tidings:{2}:%" G_GINT64_FORMAT, clock_now() - 1);
    claimer_woken(w, message);
    claimer_woken(w, "tidings:{99}:1"); /* of no partition of ours */
    claimer_round(w);
    assert_int_equal(claims_count, 5);
    assert_int_equal(claims[4].partition, 2);
    answer(4, 0, -1);
    claimer_anew(w); /* the store was away: nothing is known */
    claimer_round(w);
    assert_int_equal(claims_count, 9);
    for (int i = 5; i < 9; i++)
        answer(i, 0, -1);
    claimer_free(w);
}

static void nobody_is_asked_whose_server_is_away(void **state)
{
    struct claimer *w = claimer_begin(0);

    room = 1000;
    away = 2;
    claimer_round(w);
    assert_int_equal(claims_count, 3);
    for (int i = 0; i < 3; i++) {
        assert_int_not_equal(claims[i].partition, away);
        answer(i, 0, -1);
    }
    away = -1;
    claimer_anew(w); /* it is back */
    claimer_round(w);
    assert_int_equal(claims_count, 7);
    for (int i = 3; i < 7; i++)
        answer(i, 0, -1);
    claimer_free(w);
}

static void the_late_ones_have_a_share_of_their_own(void **state)
{
    struct claimer *w = claimer_begin(0);

    claimer_round(w);
    assert_int_equal(claims[0].limits.late[CHANNEL_EMAIL], -1); /* no limit */
    for (int i = 0, n = claims_count; i < n; i++)
        answer(i, 0, -1);
    claimer_free(w);
    claims_count = 0;
    w = claimer_begin(20); /* a second: two in a portion of 100 ms */
    claimer_round(w);
    for (int i = 0; i < claims_count; i++)
        assert_in_range(claims[i].limits.late[CHANNEL_EMAIL], 0, 2);
    for (int i = 0, n = claims_count; i < n; i++)
        answer(i, 0, -1);
    claimer_free(w);
}

static void whoever_met_what_it_does_not_know_lets_others_go_first(void **state)
{
    struct claimer *w = claimer_begin(0);

    claimer_round(w);
    assert_int_equal(claims[0].limits.yield_ms, 0);
    for (int i = 0, n = claims_count; i < n; i++)
        answer(i, 0, -1);
    claimer_yield(w);
    claims_count = 0;
    claimer_anew(w);
    claimer_round(w);
    assert_true(claims_count > 0);
    assert_true(claims[0].limits.yield_ms > 0);
    for (int i = 0, n = claims_count; i < n; i++)
        answer(i, 0, -1);
    claimer_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(many_are_asked_together_and_each_is_answered_once, begin, end),
        cmocka_unit_test_setup_teardown(a_full_batch_does_not_wait, begin, end),
        cmocka_unit_test_setup_teardown(one_that_a_script_stumbles_over_does_not_hold_up_the_others, begin, end),
        cmocka_unit_test_setup_teardown(a_kind_with_a_delay_runs_by_itself, begin, end),
        cmocka_unit_test_setup_teardown(no_more_is_claimed_than_there_is_room_for, begin, end),
        cmocka_unit_test_setup_teardown(a_partition_is_asked_again_when_it_is_due_or_was_woken, begin, end),
        cmocka_unit_test_setup_teardown(nobody_is_asked_whose_server_is_away, begin, end),
        cmocka_unit_test_setup_teardown(the_late_ones_have_a_share_of_their_own, begin, end),
        cmocka_unit_test_setup_teardown(whoever_met_what_it_does_not_know_lets_others_go_first, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
