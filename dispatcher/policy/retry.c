#include "dispatcher/policy/policy.h"

#include <math.h>

int64_t retry_wait(const struct retry *r, int attempts, double chance)
{
    double wait = (double)r->first_ms * pow(r->factor, attempts > 0 ? attempts - 1 : 0);

    if (wait > (double)r->max_ms)
        wait = (double)r->max_ms;
    return (int64_t)(wait * (1 + r->jitter * (2 * chance - 1)));
}
