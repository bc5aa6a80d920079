/*
 * Single values of the configuration: what each type of the table may look like.
 */
#ifndef DISPATCHER_CONFIG_VALUES_H
#define DISPATCHER_CONFIG_VALUES_H

#include <jansson.h>
#include <stdint.h>

#include "dispatcher/config/settings_table.h"

/* setting_check: NULL when content, else what is wrong with the text of a setting; the sentence is a literal or stands
 * in `why` (200 bytes). */
const char *setting_check(const struct setting *, const char *text, char *why);
const char *setting_check_choice(const struct setting *, const char *text, char *why);

/* setting_url_split: one URL for each host of "redis-cluster://user@a:1,b:2/x"; of any other scheme, the URL itself.
 * g_strfreev. */
char **setting_url_split(const char *url);

/* The parsers: NULL when content, else a complaint.  setting_rate_parse: "200/s", "50/m", "1000/h". */
const char *setting_rate_parse(double *per_second, const char *text);
/* setting_days_parse: bit 0 is Monday. */
const char *setting_days_parse(unsigned *days, const json_t *value);
/* setting_mailbox_parse: *name is NULL when there is none; both to be freed. */
const char *setting_mailbox_parse(char **name, char **address, const char *text);

#endif
