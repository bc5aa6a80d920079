/*
 * YAML into JSON, with the line of every value.
 *
 * One document of mappings, lists and scalars; duplicate keys, aliases and tags
 * are refused.  Plain scalars are read by the YAML 1.2 core schema (null, true,
 * 12, 1.5), or all as text when the reader has a table of types of its own.
 */
#ifndef DISPATCHER_CONFIG_YAML_H
#define DISPATCHER_CONFIG_YAML_H

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>

enum yaml_mode { YAML_TYPED, YAML_TEXT };

/* yaml_parse: an empty document is an empty object.  *lines maps a path ("caps[0].name") to its line.
 * NULL with *why = "NAME:LINE: what" (to be freed). */
json_t *yaml_parse(const char *name, const char *text, size_t len, enum yaml_mode, GHashTable **lines, char **why);

/* yaml_read: a whole file, typed. */
json_t *yaml_read(const char *path, GHashTable **lines, char **why);

/* yaml_line: of the value at a path; of one that is not there, that of what it should stand in. */
int yaml_line(GHashTable *lines, const char *at);

#endif
