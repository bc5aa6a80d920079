/* Reads "ZONE 2026-03-29T02:30:00" lines and prints the instant of each in ms: for tests/unit/zones. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "schedules/zone.h"

int main(void)
{
    char line[160];

    while (fgets(line, sizeof line, stdin)) {
        char *local = strchr(line, ' ');
        struct civil c;
        line[strcspn(line, "\n")] = '\0';
        if (!local)
            return 2;
        *local++ = '\0';
        const struct zone *zone = zone_open(line);
        if (!zone || civil_parse(&c, local) != NULL) {
            printf("none\n");
            continue;
        }
        printf("%" PRId64 "\n", zone_instant(zone, &c));
    }
    zone_forget();
    return 0;
}
