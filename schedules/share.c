#include "schedules/share.h"

#include <math.h>

#define Z 1.959963984540054 /* 95 % */

struct share share_of(int64_t reached, int64_t of)
{
    double n = (double)of, p = of ? (double)reached / n : 0, spread = of ? 1 + Z * Z / n : 1;
    double middle = of ? (p + Z * Z / (2 * n)) / spread : 0,
           half = of ? Z * sqrt(p * (1 - p) / n + Z * Z / (4 * n * n)) / spread : 1;

    /* at the ends rounding would leave a trace of what is nothing, or everything */
    return (struct share){ reached, of, p, reached == 0 ? 0 : middle - half, reached == of ? 1 : middle + half };
}

struct lift share_lift(const struct share *a, const struct share *b)
{
    double d = a->rate - b->rate;

    return (struct lift){ d, d - hypot(a->rate - a->low, b->high - b->rate),
                          d + hypot(a->high - a->rate, b->rate - b->low) };
}
