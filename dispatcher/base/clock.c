#include "dispatcher/base/clock.h"

#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

static int64_t real_minus_monotonic;
static int following;
static double rate = 1;
static int64_t base_real, base_service;
static bool stands_still;

static int64_t read_clock(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

#define DRIFT_PPM 100 /* an old sample loses this much of its precision: two clocks drift apart */

/* The reply was made within its round trip, so its middle is off by half of that at most.  Two samples that agree
 * within their errors change nothing but the precision, and never set time back; where they cannot both be right,
 * Redis's clock was set. */
void clock_follow(int64_t real_ms, int64_t round_trip_us)
{
    static int64_t error_ms, at;
    int64_t now = read_clock(CLOCK_MONOTONIC), half = round_trip_us / 2000 + 1, offset = real_ms + half - now;
    int64_t drift = offset - real_minus_monotonic, held = error_ms + (now - at) * DRIFT_PPM / 1000000;
    bool agree = following && llabs(drift) <= half + held;

    if (agree && half >= held)
        return;
    if (!agree || drift > 0)
        real_minus_monotonic = offset;
    error_ms = half;
    at = now;
    following = 1;
}

void clock_scale(double new_rate, int64_t new_base_real, int64_t new_base_service)
{
    if (stands_still)
        return;
    rate = new_rate;
    base_real = new_base_real;
    base_service = new_base_service;
}

void clock_jump(int64_t service_ms)
{
    stands_still = true;
    rate = 1;
    base_service = service_ms;
}

double clock_rate(void)
{
    return rate;
}

int64_t clock_real(void)
{
    return following ? read_clock(CLOCK_MONOTONIC) + real_minus_monotonic : read_clock(CLOCK_REALTIME);
}

int64_t clock_now(void)
{
    int64_t real = clock_real();

    if (stands_still)
        return base_service;
    return rate == 1 && base_real == base_service ? real : base_service + (int64_t)((double)(real - base_real) * rate);
}

double clock_wait(int64_t at_ms)
{
    int64_t left = at_ms - clock_now();
    return left <= 0 ? 0 : stands_still ? 86400 : (double)left / rate / 1000;
}
