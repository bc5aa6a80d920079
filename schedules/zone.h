/*
 * Time zones: IANA names, read from the system's tz database (TZif files, RFC 8536)
 * through GTimeZone, so that a tzdata update reaches us without a new build.
 *
 * The rule for local times, written down once: a local time that a forward
 * change skips becomes the instant at which the gap ends; a local time that
 * exists twice becomes the earlier instant.
 *
 * Zones are opened once and kept for the life of the process.  Single thread.
 */
#ifndef SCHEDULES_ZONE_H
#define SCHEDULES_ZONE_H

#include "schedules/instant.h"

struct zone;

/* zone_open: a zone by its IANA name ("Europe/Berlin", "UTC"), NULL when there is none.  Borrowed for ever. */
const struct zone *zone_open(const char *name);

/* zone_name: the name it was opened with. */
const char *zone_name(const struct zone *);

/* zone_offset: seconds east of UTC in force at an instant (ms). */
int zone_offset(const struct zone *, int64_t instant_ms);

/* zone_local: the wall clock at an instant. */
void zone_local(const struct zone *, int64_t instant_ms, struct civil *);

/* zone_instant: the instant (ms) of a wall clock reading, by the rule above.  Fields may overflow (day 32). */
int64_t zone_instant(const struct zone *, const struct civil *);

/* zone_rules: a hash of all zones of the system, another one when any of them has changed. */
#define ZONE_RULES_SIZE 41
void zone_rules(char hash[static ZONE_RULES_SIZE]);

/* zone_forget: closes all zones, so that the next opening reads the files again. */
void zone_forget(void);

#endif
