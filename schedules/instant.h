/*
 * Instants and civil times.
 *
 * An instant is milliseconds since 1970-01-01T00:00:00Z, without leap seconds.
 * A civil time is what a wall clock and a calendar show, in no particular zone
 * (proleptic Gregorian).  RFC 3339 is the only spelling of an instant that is
 * read or written.
 */
#ifndef SCHEDULES_INSTANT_H
#define SCHEDULES_INSTANT_H

#include <stdbool.h>
#include <stdint.h>

struct civil {
    int year, month, day; /* month and day from 1 */
    int hour, minute, second;
};

/* instant_parse: RFC 3339 with zone ("2026-12-01T09:00:00Z", "+01:00").  A leap
 * second is read as :59.  NULL when content, else a sentence. */
const char *instant_parse(int64_t *ms, const char *text);

/* instant_format: "2026-12-01T09:00:00.000Z" without the fraction when it is zero. */
const char *instant_format(char buf[static 32], int64_t ms);

/* civil_parse: "2026-12-01T09:00" or with seconds, no zone. */
const char *civil_parse(struct civil *, const char *text);

/* civil_to_seconds: seconds since 1970 as if the civil time were UTC; fields may overflow their range. */
int64_t civil_to_seconds(const struct civil *);

/* civil_from_seconds: the inverse. */
void civil_from_seconds(struct civil *, int64_t seconds);

/* civil_weekday: 0 is Monday (ISO 8601). */
int civil_weekday(const struct civil *);

/* civil_day_at: the day `days` days from c, at midnight plus `minutes`; normalised. */
struct civil civil_day_at(const struct civil *c, int days, int minutes);

/* civil_day_in: is the day `days` days from c among the weekdays?  Bit 0 is Monday. */
bool civil_day_in(unsigned weekdays, const struct civil *c, int days);

#endif
