/*
 * The one clock of the program.
 *
 * Two times exist.  *Real* time is Redis's own (TIME), followed by the monotonic
 * clock in between, so that workers on different hosts cannot disagree and a
 * step of the local clock changes nothing; leases and deadlines count in it.
 * *Service* time is what schedules, windows and caps see: the same, unless
 * --clock-rate makes it run faster from a base kept in Redis.
 */
#ifndef DISPATCHER_BASE_CLOCK_H
#define DISPATCHER_BASE_CLOCK_H

#include <stdint.h>

/* clock_follow: Redis said it is now `real_ms`, in an answer that came just now, so long after it was asked. */
void clock_follow(int64_t real_ms, int64_t round_trip_us);

/* clock_scale: at real time base_real, service time was base_service; since then it runs `rate` times as fast. */
void clock_scale(double rate, int64_t base_real, int64_t base_service);

/* clock_jump: from now on service time stands still at this instant, until the next jump; real time goes on.  For
 * rehearsals on a store of their own. */
void clock_jump(int64_t service_ms);

double clock_rate(void);

/* clock_real, clock_now: milliseconds since 1970, real and service time. */
int64_t clock_real(void);
int64_t clock_now(void);

/* clock_wait: real seconds from now until service time `at_ms`; 0 when past; a day where time stands still. */
double clock_wait(int64_t at_ms);

#endif
