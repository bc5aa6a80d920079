/*
 * How long things took, counted: quarter octaves of seconds, so that a hundred
 * counters span a year and a quantile lies within 9 % of the truth.
 */
#ifndef DISPATCHER_BASE_LAPSE_H
#define DISPATCHER_BASE_LAPSE_H

#include <stdint.h>

/* lapse_bucket: of a time in ms; less than a second is bucket 0.  lapse_middle: seconds that stand for a bucket. */
int lapse_bucket(int64_t ms);
double lapse_middle(int bucket);

#endif
