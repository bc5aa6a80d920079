/*
 * Shares of a whole, and how far they can be trusted: the interval of 95 % by
 * Wilson (1927), which also holds for few and for none.
 */
#ifndef SCHEDULES_SHARE_H
#define SCHEDULES_SHARE_H

#include <stdint.h>

struct share {
    int64_t reached, of;
    double rate, low, high; /* of an empty whole 0, 0 and 1 */
};
struct share share_of(int64_t reached, int64_t of);

/* share_lift: how much the first is above the second, with bounds by Newcombe (1998, method 10). */
struct lift {
    double points, low, high; /* of one */
};
struct lift share_lift(const struct share *, const struct share *other);

#endif
