#include "schedules/duration.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    int64_t ms;
} units[] = {
    { "w", WEEK_MS }, { "d", DAY_MS }, { "h", HOUR_MS }, { "m", MINUTE_MS }, { "s", SECOND_MS }, { "ms", 1 },
};
#define N_UNITS (sizeof units / sizeof *units)
#define LONGEST (3653 * DAY_MS)

static size_t unit_index(const char *name, size_t len)
{
    for (size_t i = 0; i < N_UNITS; i++)
        if (strlen(units[i].name) == len && memcmp(units[i].name, name, len) == 0)
            return i;
    return N_UNITS;
}

const char *duration_parse(int64_t *ms, const char *text)
{
    int64_t total = 0;
    size_t after = 0; /* the next unit must be smaller than the last */
    const char *p = text;

    if (!*p)
        return "is empty; write a duration such as \"90s\" or \"2d\"";
    while (*p) {
        int64_t number = 0;
        const char *digits = p;
        while (isdigit((unsigned char)*p) && number < LONGEST)
            number = number * 10 + (*p++ - '0');
        if (p == digits)
            return "is not a duration; write a number and a unit, such as \"90s\" or \"2d\"";
        if (isdigit((unsigned char)*p))
            return "is longer than ten years";
        const char *name = p;
        while (isalpha((unsigned char)*p))
            p++;
        size_t unit = unit_index(name, (size_t)(p - name));
        if (unit == N_UNITS)
            return "needs a unit after each number: w, d, h, m, s or ms";
        if (unit < after)
            return "has its units out of order; write them falling, such as \"1d12h\"";
        after = unit + 1;
        if (number > LONGEST / units[unit].ms || (total += number * units[unit].ms) > LONGEST)
            return "is longer than ten years";
    }
    *ms = total;
    return NULL;
}

const char *duration_format(char buf[static 48], int64_t ms)
{
    size_t len = 0;

    if (ms <= 0)
        return strcpy(buf, "0s");
    for (size_t i = 0; i < N_UNITS; i++) {
        if (ms < units[i].ms)
            continue;
        len += (size_t)snprintf(buf + len, 48 - len, "%lld%s", (long long)(ms / units[i].ms), units[i].name);
        ms %= units[i].ms;
    }
    return buf;
}
