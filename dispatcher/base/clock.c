#include "dispatcher/base/clock.h"

#include <time.h>

static int64_t real_minus_monotonic;
static int following;
static double rate = 1;
static int64_t base_real, base_service;

static int64_t read_clock(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* The reply took a while to come, so the earliest reading is the best; the offset only moves when it is off by more
 * than the two clocks can have drifted apart. */
void clock_follow(int64_t real_ms)
{
    int64_t offset = real_ms - read_clock(CLOCK_MONOTONIC);
    int64_t drift = offset - real_minus_monotonic;

    if (!following || drift > 5 || drift < -5)
        real_minus_monotonic = offset;
    following = 1;
}

void clock_scale(double new_rate, int64_t new_base_real, int64_t new_base_service)
{
    rate = new_rate;
    base_real = new_base_real;
    base_service = new_base_service;
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
    return rate == 1 && base_real == base_service ? real : base_service + (int64_t)((double)(real - base_real) * rate);
}

double clock_wait(int64_t at_ms)
{
    int64_t left = at_ms - clock_now();
    return left <= 0 ? 0 : (double)left / rate / 1000;
}
