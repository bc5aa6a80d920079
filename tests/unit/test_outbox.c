/*
 * The way out alone: rate, places, pauses, connections that a relay bears, lanes.
 * The loop's clock is the test's, so that no time has to pass.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ev.h>
#include <glib.h>

#include "dispatcher/outlets/outbox.h"

static double now;

ev_tstamp ev_now(struct ev_loop *loop)
{
    return now;
}

/* ---------------------------------------------------------------- a provider, played */

static int connections; /* that are open */

static int room_of(const struct provider *p)
{
    return 1000;
}

static int open_of(const struct provider *p)
{
    return connections;
}

static void close_of(struct provider *p)
{
    g_free(p);
}

static const struct provider_type type = { .channel = "email", .room = room_of, .open = open_of, .close = close_of };

static struct outbox *o;
static struct outlet *first;

static void on_outlet(void *arg, struct outlet *outlet)
{
    if (!first)
        first = outlet;
}

static void add(const char *name, int places, double rate)
{
    struct provider *p = g_new0(struct provider, 1);

    p->type = &type;
    p->depth = 2;
    outbox_add(o, CHANNEL_EMAIL, p,
               &(struct outlet_terms){ .name = name, .places = places, .rate = rate, .longest_rest = 600 });
    first = NULL;
    outbox_each(o, on_outlet, NULL);
}

static int begin(void **state)
{
    now = 1000;
    connections = 0;
    o = outbox_new(NULL);
    return 0;
}

static int end(void **state)
{
    outbox_close(o);
    return 0;
}

/* How many are taken until it says no; *again is when to ask again. */
static int take_all(double *again)
{
    int n = 0;

    while (outbox_take(o, CHANNEL_EMAIL, 0, again))
        n++;
    return n;
}

static void leave(enum outcome_kind kind)
{
    outlet_leave(o, first, &(struct outcome){ .kind = kind });
}

static bool takes(void)
{
    double again;
    struct outlet *outlet = outbox_take(o, CHANNEL_EMAIL, 0, &again);

    if (outlet)
        outlet_leave(o, outlet, NULL);
    return outlet != NULL;
}

/* ---------------------------------------------------------------- rate and places */

static void no_more_than_the_rate_go_whatever_time_passes_in_between(void **state)
{
    double again;
    int sent = 0;

    add("slow", 64, 50);
    for (double from = now; now < from + 10; now += 0.01)
        for (int n = take_all(&again); n > 0; n--, sent++)
            leave(OUTCOME_SENT);
    assert_in_range(sent, 495, 506); /* 50 a second for ten seconds, and what may come at once */
    take_all(&again);
    assert_true(again > 0 && again < 0.1); /* it says when to come back */
    now += 3600;
    assert_in_range(take_all(&again), 1, 6); /* an idle hour is not saved up */
}

static void what_never_got_there_costs_nothing_of_the_rate(void **state)
{
    double again;

    add("slow", 64, 10);
    for (int i = 0; i < 100; i++) {
        assert_non_null(outbox_take(o, CHANNEL_EMAIL, 0, &again));
        outlet_leave(o, first, NULL);
    }
}

static void places_are_given_back_once(void **state)
{
    double again;

    add("relay", 4, 0);
    int places = take_all(&again);
    assert_in_range(places, 4, 8); /* and as many again, to be ready */
    assert_true(again == 0);       /* one that ends will tell */
    leave(OUTCOME_SENT);
    assert_int_equal(take_all(&again), 1);
    for (int i = 0; i < places; i++)
        leave(OUTCOME_SENT);
    assert_int_equal(first->taken, 0);
    assert_int_equal(first->sent, places + 1);
}

/* ---------------------------------------------------------------- pauses */

static void a_fault_pauses_longer_each_time_and_one_asks_whether_it_is_over(void **state)
{
    double again, last = 0;

    add("relay", 8, 0);
    for (int i = 0; i < 10; i++) {
        assert_non_null(outbox_take(o, CHANNEL_EMAIL, 0, &again));
        leave(OUTCOME_FAULT);
        assert_false(takes());
        double rest = outbox_rest(o, CHANNEL_EMAIL);
        assert_true(rest >= last && rest <= 60);
        assert_true(outlet_pause_ms(o, first) > 0);
        last = rest;
        now += rest + 0.001;
        assert_int_equal(take_all(&again), 1); /* one probes, the others wait for it */
        outlet_leave(o, first, NULL);
    }
    assert_true(last == 60);
    assert_non_null(outbox_take(o, CHANNEL_EMAIL, 0, &again));
    leave(OUTCOME_SENT);
    assert_in_range(take_all(&again), 8, 16); /* all is well again */
}

static void those_that_went_down_together_are_one_fault(void **state)
{
    double again;

    add("relay", 8, 0);
    for (int n = take_all(&again); n > 0; n--)
        leave(OUTCOME_FAULT);
    assert_true(outbox_rest(o, CHANNEL_EMAIL) <= 1);
    assert_int_equal(first->faults, 1);
}

static void a_refused_message_is_no_fault_of_the_provider(void **state)
{
    static const enum outcome_kind kinds[] = { OUTCOME_DEFERRED, OUTCOME_REFUSED, OUTCOME_UNKNOWN, OUTCOME_STOPPED,
                                               OUTCOME_UNABLE };

    add("relay", 8, 0);
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
        double again;
        assert_non_null(outbox_take(o, CHANNEL_EMAIL, 0, &again));
        leave(kinds[i]);
        assert_int_equal(first->faults, 0);
        assert_true(takes());
    }
}

static void a_gateway_that_asks_for_patience_has_it_within_bounds(void **state)
{
    double again;

    add("gateway", 8, 0);
    assert_non_null(outbox_take(o, CHANNEL_EMAIL, 0, &again));
    outlet_leave(o, first, &(struct outcome){ .kind = OUTCOME_DEFERRED, .code = 429, .retry_after_ms = 30000 });
    assert_true(outbox_rest(o, CHANNEL_EMAIL) == 30);
    now += 31;
    assert_int_equal(take_all(&again), 1);
    outlet_leave(o, first, &(struct outcome){ .kind = OUTCOME_DEFERRED, .code = 503, .retry_after_ms = 86400000 });
    assert_true(outbox_rest(o, CHANNEL_EMAIL) == 600); /* longest_rest */
    now += 601;
    assert_int_equal(take_all(&again), 1);
    outlet_leave(o, first, &(struct outcome){ .kind = OUTCOME_DEFERRED, .code = 400, .retry_after_ms = 9000 });
    assert_true(outbox_rest(o, CHANNEL_EMAIL) == 0); /* said of one message */
}

/* ---------------------------------------------------------------- connections that it bears */

static void a_relay_is_given_the_connections_that_it_bears_and_now_and_then_one_more(void **state)
{
    double again;

    add("relay", 8, 0);
    take_all(&again);
    connections = 3;
    outlet_leave(o, first, &(struct outcome){ .kind = OUTCOME_FAULT, .crowded = true, .code = 421 });
    assert_int_equal(first->bears, 3);
    assert_int_equal(first->provider->limit, 3);
    assert_true(outbox_rest(o, CHANNEL_EMAIL) == 0); /* the three go on */
    leave(OUTCOME_SENT);
    assert_int_equal(first->bears, 3); /* too soon */
    for (int bears = 4; bears <= 8; bears++) {
        now += 5.1;
        leave(OUTCOME_SENT);
        assert_int_equal(first->bears, bears);
    }
    assert_int_equal(first->provider->limit, 0); /* as configured */
    now += 60;
    leave(OUTCOME_SENT);
    assert_int_equal(first->bears, 8);
}

static void a_relay_that_lets_nobody_in_is_at_fault(void **state)
{
    double again;

    add("relay", 8, 0);
    assert_non_null(outbox_take(o, CHANNEL_EMAIL, 0, &again));
    outlet_leave(o, first, &(struct outcome){ .kind = OUTCOME_FAULT, .crowded = true, .code = 421 });
    assert_true(outbox_rest(o, CHANNEL_EMAIL) > 0);
}

/* ---------------------------------------------------------------- several outlets, lanes */

static void the_second_takes_what_the_first_cannot(void **state)
{
    double again;

    add("first", 2, 0);
    add("second", 2, 0);
    struct outlet *one = outbox_take(o, CHANNEL_EMAIL, 0, &again);
    assert_string_equal(one->name, "first");
    struct outlet *other = outbox_take(o, CHANNEL_EMAIL, one->bit, &again);
    assert_string_equal(other->name, "second");
    assert_null(outbox_take(o, CHANNEL_EMAIL, one->bit | other->bit, &again));
    assert_true(outbox_able(o, CHANNEL_EMAIL, one->bit));
    assert_false(outbox_able(o, CHANNEL_EMAIL, one->bit | other->bit));
    outlet_leave(o, one, &(struct outcome){ .kind = OUTCOME_FAULT });
    assert_true(outbox_alternative(o, one));
    assert_string_equal(outbox_take(o, CHANNEL_EMAIL, 0, &again)->name, "second");
    outlet_leave(o, other, &(struct outcome){ .kind = OUTCOME_FAULT });
    assert_false(outbox_alternative(o, one));
}

static void the_low_lane_gets_its_turn(void **state)
{
    char high[70], low[10];
    int from_low = 0;

    for (size_t i = 0; i < sizeof high; i++)
        outbox_push(o, CHANNEL_EMAIL, LANE_HIGH, (struct delivery *)&high[i]);
    for (size_t i = 0; i < sizeof low; i++)
        outbox_push(o, CHANNEL_EMAIL, LANE_LOW, (struct delivery *)&low[i]);
    for (int i = 0; i < 64; i++) {
        char *d = (char *)outbox_pop(o, CHANNEL_EMAIL);
        from_low += d >= low && d < low + sizeof low;
    }
    assert_in_range(from_low, 7, 9); /* every eighth */
    assert_int_equal(outbox_waiting(o, CHANNEL_EMAIL), 16);
    while (outbox_pop(o, CHANNEL_EMAIL))
        ;
}

static void who_found_no_outlet_is_the_first_again(void **state)
{
    char d[2];

    outbox_push(o, CHANNEL_EMAIL, LANE_NORMAL, (struct delivery *)&d[0]);
    outbox_push(o, CHANNEL_EMAIL, LANE_NORMAL, (struct delivery *)&d[1]);
    for (int i = 0; i < 20; i++) {
        assert_ptr_equal(outbox_pop(o, CHANNEL_EMAIL), &d[0]);
        outbox_unpop(o, CHANNEL_EMAIL, LANE_NORMAL, (struct delivery *)&d[0]);
    }
    outbox_pop(o, CHANNEL_EMAIL);
    outbox_pop(o, CHANNEL_EMAIL);
}

static void as_many_are_held_as_can_go_soon_and_some_to_be_told_of_a_rest(void **state)
{
    double again;

    assert_false(outbox_configured(o, CHANNEL_EMAIL));
    assert_true(outbox_capacity(o, CHANNEL_EMAIL) > 0); /* to be told that there is no way out */
    add("relay", 8, 0);
    assert_true(outbox_configured(o, CHANNEL_EMAIL));
    int well = outbox_capacity(o, CHANNEL_EMAIL);
    assert_true(well >= 16);
    for (int i = 0; i < 4; i++) {
        now += 61;
        assert_non_null(outbox_take(o, CHANNEL_EMAIL, 0, &again));
        leave(OUTCOME_FAULT);
    }
    int told = 0;
    for (int i = 0; i < 100; i++, now += 0.01)
        for (int n = outbox_capacity(o, CHANNEL_EMAIL); n > 0; n--, told++)
            outbox_told(o, CHANNEL_EMAIL);
    assert_in_range(told, 1, 140); /* 64 a second */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_more_than_the_rate_go_whatever_time_passes_in_between, begin, end),
        cmocka_unit_test_setup_teardown(what_never_got_there_costs_nothing_of_the_rate, begin, end),
        cmocka_unit_test_setup_teardown(places_are_given_back_once, begin, end),
        cmocka_unit_test_setup_teardown(a_fault_pauses_longer_each_time_and_one_asks_whether_it_is_over, begin, end),
        cmocka_unit_test_setup_teardown(those_that_went_down_together_are_one_fault, begin, end),
        cmocka_unit_test_setup_teardown(a_refused_message_is_no_fault_of_the_provider, begin, end),
        cmocka_unit_test_setup_teardown(a_gateway_that_asks_for_patience_has_it_within_bounds, begin, end),
        cmocka_unit_test_setup_teardown(a_relay_is_given_the_connections_that_it_bears_and_now_and_then_one_more, begin,
                                        end),
        cmocka_unit_test_setup_teardown(a_relay_that_lets_nobody_in_is_at_fault, begin, end),
        cmocka_unit_test_setup_teardown(the_second_takes_what_the_first_cannot, begin, end),
        cmocka_unit_test_setup_teardown(the_low_lane_gets_its_turn, begin, end),
        cmocka_unit_test_setup_teardown(who_found_no_outlet_is_the_first_again, begin, end),
        cmocka_unit_test_setup_teardown(as_many_are_held_as_can_go_soon_and_some_to_be_told_of_a_rest, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
