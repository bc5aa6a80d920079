#include "schedules/instant.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* Days since 1970-01-01 (Howard Hinnant, "chrono-compatible low-level date algorithms"). */
static int64_t days_from_civil(int64_t y, int m, int d)
{
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t yoe = y - era * 400;
    int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static void civil_from_days(struct civil *c, int64_t z)
{
    z += 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    c->day = (int)(doy - (153 * mp + 2) / 5 + 1);
    c->month = (int)(mp + (mp < 10 ? 3 : -9));
    c->year = (int)(yoe + era * 400 + (c->month <= 2));
}

int64_t civil_to_seconds(const struct civil *c)
{
    int64_t months = (int64_t)c->year * 12 + c->month - 1;
    int64_t year = months >= 0 ? months / 12 : (months - 11) / 12;
    int64_t days = days_from_civil(year, (int)(months - year * 12) + 1, 1) + c->day - 1;
    return ((days * 24 + c->hour) * 60 + c->minute) * 60 + c->second;
}

void civil_from_seconds(struct civil *c, int64_t seconds)
{
    int64_t days = seconds >= 0 ? seconds / 86400 : (seconds - 86399) / 86400;
    int rest = (int)(seconds - days * 86400);
    civil_from_days(c, days);
    c->hour = rest / 3600;
    c->minute = rest / 60 % 60;
    c->second = rest % 60;
}

int civil_weekday(const struct civil *c)
{
    int64_t days = days_from_civil(c->year, c->month, c->day) + 3; /* 1970-01-01 was a Thursday */
    return (int)(((days % 7) + 7) % 7);
}

struct civil civil_day_at(const struct civil *c, int days, int minutes)
{
    struct civil day = { c->year, c->month, c->day + days, 0, minutes, 0 };
    civil_from_seconds(&day, civil_to_seconds(&day));
    return day;
}

bool civil_day_in(unsigned weekdays, const struct civil *c, int days)
{
    struct civil day = civil_day_at(c, days, 0);
    return weekdays >> civil_weekday(&day) & 1;
}

static bool digits(const char **p, int count, int *value)
{
    *value = 0;
    for (int i = 0; i < count; i++, (*p)++) {
        if (!isdigit((unsigned char)**p))
            return false;
        *value = *value * 10 + (**p - '0');
    }
    return true;
}

static bool literal(const char **p, char c)
{
    return **p == c ? (*p)++, true : false;
}

static int month_length(int year, int month)
{
    static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap);
}

/* Reads "YYYY-MM-DDThh:mm" and, when present, ":ss"; returns where it stopped, or NULL. */
static const char *civil_scan(struct civil *c, const char *p, bool *had_seconds)
{
    if (!digits(&p, 4, &c->year) || !literal(&p, '-') || !digits(&p, 2, &c->month) || !literal(&p, '-') ||
        !digits(&p, 2, &c->day) || !(literal(&p, 'T') || literal(&p, 't') || literal(&p, ' ')) ||
        !digits(&p, 2, &c->hour) || !literal(&p, ':') || !digits(&p, 2, &c->minute))
        return NULL;
    c->second = 0;
    *had_seconds = *p == ':';
    if (*had_seconds && (p++, !digits(&p, 2, &c->second)))
        return NULL;
    if (c->second == 60) /* a leap second: POSIX time has no room for it */
        c->second = 59;
    if (c->month < 1 || c->month > 12 || c->day < 1 || c->day > month_length(c->year, c->month) || c->hour > 23 ||
        c->minute > 59 || c->second > 59)
        return NULL;
    return p;
}

static bool offset_scan(const char **p, int *seconds)
{
    int hours, minutes, sign;

    if (literal(p, 'Z') || literal(p, 'z')) {
        *seconds = 0;
        return true;
    }
    sign = literal(p, '+') ? 1 : literal(p, '-') ? -1 : 0;
    if (!sign || !digits(p, 2, &hours) || !literal(p, ':') || !digits(p, 2, &minutes) || hours > 23 || minutes > 59)
        return false;
    *seconds = sign * (hours * 3600 + minutes * 60);
    return true;
}

/* What RFC 3339 can write, in UTC. */
#define FIRST_MS (INT64_C(-62167219200) * 1000)
#define LAST_MS  (INT64_C(253402300799) * 1000 + 999)

const char *instant_parse(int64_t *ms, const char *text)
{
    struct civil c;
    bool seconds;
    int offset, scale = 100, millis = 0;
    const char *p = civil_scan(&c, text, &seconds);

    if (!p || !seconds)
        return "is not an RFC 3339 time; write it like \"2026-12-01T09:00:00Z\"";
    if (*p == '.') {
        const char *fraction = ++p;
        for (; isdigit((unsigned char)*p); p++, scale /= 10)
            millis += (*p - '0') * scale;
        if (p == fraction)
            return "has a dot without a fraction of a second after it";
    }
    if (!*p)
        return "has no time zone; add \"Z\" or an offset such as \"+01:00\", or use send_at_local";
    if (!offset_scan(&p, &offset) || *p)
        return "is not an RFC 3339 time; write it like \"2026-12-01T09:00:00Z\"";
    int64_t instant = (civil_to_seconds(&c) - offset) * 1000 + millis;
    if (instant < FIRST_MS || instant > LAST_MS)
        return "is, in UTC, not within the years 0000 to 9999";
    *ms = instant;
    return NULL;
}

const char *instant_format(char buf[static 32], int64_t ms)
{
    struct civil c;
    int64_t seconds = ms >= 0 ? ms / 1000 : (ms - 999) / 1000;
    int millis = (int)(ms - seconds * 1000);

    civil_from_seconds(&c, seconds);
    int len =
        snprintf(buf, 32, "%04d-%02d-%02dT%02d:%02d:%02d", c.year % 10000, c.month, c.day, c.hour, c.minute, c.second);
    snprintf(buf + len, 32 - (size_t)len, millis ? ".%03dZ" : "Z", millis);
    return buf;
}

const char *civil_parse(struct civil *out, const char *text)
{
    struct civil c;
    bool seconds;
    const char *p = civil_scan(&c, text, &seconds);

    if (!p || *p)
        return "is not a local time; write it like \"2026-12-01T09:00\", without a zone";
    *out = c;
    return NULL;
}
