#include "schedules/quiet.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *quiet_clock(int *minutes, const char *t)
{
    if (strlen(t) != 5 || t[2] != ':' || !isdigit((unsigned char)t[0]) || !isdigit((unsigned char)t[1]) ||
        !isdigit((unsigned char)t[3]) || !isdigit((unsigned char)t[4]))
        return "is not a time of day; write it like \"21:00\"";
    int hour = (t[0] - '0') * 10 + t[1] - '0', minute = (t[3] - '0') * 10 + t[4] - '0';
    if (hour > 23 || minute > 59)
        return "is not a time of day; hours go to 23 and minutes to 59";
    *minutes = hour * 60 + minute;
    return NULL;
}

static int date_compare(const void *key, const void *element)
{
    return strcmp(key, *(const char *const *)element);
}

bool day_list_has(const struct day_list *list, const struct civil *c)
{
    char date[48];

    if (list->count == 0)
        return false;
    snprintf(date, sizeof date, "%04d-%02d-%02d", c->year, c->month, c->day);
    return bsearch(date, list->dates, (size_t)list->count, sizeof *list->dates, date_compare) != NULL;
}

/* One step: what holds this wall clock time, and when that ends. */
static enum quiet_cause quiet_step(const struct quiet *q, const struct civil *c, struct civil *end)
{
    int minute = c->hour * 60 + c->minute;
    bool over_midnight = q->from > q->to;

    if (day_list_has(&q->blackout, c) || day_list_has(&q->holidays, c)) {
        *end = civil_day_at(c, 1, 0);
        return day_list_has(&q->blackout, c) ? QUIET_BLACKOUT : QUIET_HOLIDAY;
    }
    if (!over_midnight && minute >= q->from && minute < q->to && civil_day_in(q->days, c, 0)) {
        *end = civil_day_at(c, 0, q->to);
        return QUIET_HOURS;
    }
    if (over_midnight && minute >= q->from && civil_day_in(q->days, c, 0)) {
        *end = civil_day_at(c, 1, q->to);
        return QUIET_HOURS;
    }
    if (over_midnight && minute < q->to && civil_day_in(q->days, c, -1)) {
        *end = civil_day_at(c, 0, q->to);
        return QUIET_HOURS;
    }
    return QUIET_NONE;
}

int64_t quiet_until(const struct quiet *q, const struct zone *zone, int64_t now, enum quiet_cause *cause)
{
    struct civil local, end;
    int64_t at = now;

    *cause = QUIET_NONE;
    for (int steps = 0; steps < 400; steps++) {
        zone_local(zone, at, &local);
        enum quiet_cause here = quiet_step(q, &local, &end);
        if (!here)
            break;
        *cause = *cause ? *cause : here;
        int64_t next = zone_instant(zone, &end);
        at = next > at ? next : at + 60000;
    }
    return at == now ? 0 : at;
}
