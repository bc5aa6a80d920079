/*
 * Figures in a JSON object, counted up.
 */
#ifndef DISPATCHER_BASE_FIGURES_H
#define DISPATCHER_BASE_FIGURES_H

#include <jansson.h>

/* figure_add: what is missing counts as 0; nothing happens where there is no object. */
void figure_add(json_t *to, const char *key, json_int_t n);

/* figures_of: the object at key, made when it is missing. */
json_t *figures_of(json_t *of, const char *key);

#endif
