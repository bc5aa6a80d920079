/*
 * Recipients: people as the doors describe them, checked and brought to one form.
 */
#ifndef DISPATCHER_PEOPLE_RECIPIENT_H
#define DISPATCHER_PEOPLE_RECIPIENT_H

#include <jansson.h>
#include <stdbool.h>

/* recipient_check: a new object with every field checked and normalised; null fields stay null (they delete).
 * Complaints go to errors, their pointers behind `at` ("" or "/recipient"); then the result must not be used. */
json_t *recipient_check(const json_t *in, const char *at, json_t *errors);

/* What the person chose (preferences; channels too, once chosen on the page or by the preferences API) belongs to the
 * person: it outlives what a company's systems send, in part or as a whole. */
enum merge {
    MERGE_PART,   /* by the company: an inline recipient, an import */
    MERGE_WHOLE,  /* by the company: PUT */
    MERGE_PERSON, /* by the person, or by PATCH, which names each field it changes */
};

/* recipient_merge: the stored profile (text, "" for none) with a patch laid over it (RFC 7396); "" when nothing
 * changes, else the new text.  free() it. */
char *recipient_merge(const char *stored, const json_t *patch, enum merge);

#endif
