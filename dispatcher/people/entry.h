/*
 * Fields of an entry (of consent, of suppression) as a door brings it.  A
 * complaint names its field and goes to errors.
 */
#ifndef DISPATCHER_PEOPLE_ENTRY_H
#define DISPATCHER_PEOPLE_ENTRY_H

#include <jansson.h>
#include <stdint.h>

/* entry_text: 1 to 256 characters, or NULL: missing, or complained about. */
const char *entry_text(const json_t *entry, const char *key, json_t *errors);

/* entry_instant: ms of an RFC 3339 text; fallback when missing. */
int64_t entry_instant(const json_t *entry, const char *key, int64_t fallback, json_t *errors);

/* entry_check_known: a complaint for each field that is none of these, NULL at the end. */
void entry_check_known(const json_t *entry, const char *const *known, json_t *errors);

#endif
