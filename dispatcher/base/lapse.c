#include "dispatcher/base/lapse.h"

#include <math.h>

int lapse_bucket(int64_t ms)
{
    return ms < 1000 ? 0 : 1 + (int)floor(4 * log2((double)ms / 1000));
}

double lapse_middle(int bucket)
{
    return bucket <= 0 ? 0 : exp2((bucket - 0.5) / 4);
}
