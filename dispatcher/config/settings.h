/*
 * The configuration read and checked, by the table of settings.
 */
#ifndef DISPATCHER_CONFIG_SETTINGS_H
#define DISPATCHER_CONFIG_SETTINGS_H

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "dispatcher/config/settings_table.h"

/* settings_check: walks a configuration read as YAML_TEXT; NULL when content, else "FILE:LINE: what" (to be freed). */
char *settings_check(const json_t *config, GHashTable *lines, const char *file);

/* settings_find: the row of a path; asserts that it exists. */
const struct setting *settings_find(const char *path);
const char *setting_type_name(enum setting_type);

/* settings_expand: replaces ${NAME} and ${NAME:-default} in all texts.  NULL when content, else as settings_check. */
char *settings_expand(json_t *config, GHashTable *lines, const char *file);

/*
 * Reading a checked value.  `at` is the object that holds the last key of the
 * path (the whole configuration for a top level path with sections); the
 * default of the row stands in where it is missing.
 */
const char *setting_text(const json_t *at, const char *path); /* NULL when missing without default */
int64_t setting_int(const json_t *at, const char *path);
int64_t setting_ms(const json_t *at, const char *path);
double setting_real(const json_t *at, const char *path);
double setting_rate(const json_t *at, const char *path); /* per second; 0 for no limit */
bool setting_bool(const json_t *at, const char *path);
const json_t *setting_json(const json_t *at, const char *path); /* lists, maps; NULL when missing */

#endif
