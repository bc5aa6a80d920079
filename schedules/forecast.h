/*
 * The forecast: what would be sent to a person if nobody reacted, by the machine
 * itself, with an empty future.
 */
#ifndef SCHEDULES_FORECAST_H
#define SCHEDULES_FORECAST_H

#include "schedules/machine.h"

/* forecast: [{"at": ms, "run", "sequence", "step", "message": as a door would bring it}], until then and at most so
 * many; each message counts as sent at once.  The person is moved; the situation is not. */
json_t *forecast(const struct situation *, struct person_runs *, int64_t until, int most);

#endif
