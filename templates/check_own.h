/*
 * What the parts of the check share: check.c walks the templates and tells,
 * check_names.c knows what may be named, check_catalogs.c reads translations,
 * check_parts.c the templates themselves, check_samples.c what comes out of
 * them.  Everybody else sees check.h.
 */
#ifndef TEMPLATES_CHECK_OWN_H
#define TEMPLATES_CHECK_OWN_H

#include "templates/check.h"
#include "templates/icu_message.h"
#include "templates/mustache.h"

struct checking {
    const struct check_options *o;
    const struct library *library;
    GHashTable *told;   /* findings that were told already */
    GHashTable *places; /* of errors among them */
    struct template *t;
    char *dir;
    json_t *sample;
    GHashTable *used; /* keys that some part formats */
    char **locales;
};

/* check_mark: each template that a layout breaks is flawed, whether that is told again or not. */
void check_mark(struct checking *, const char *fault);
void check_tell(struct checking *, bool error, const char *place, const char *what);
/* check_found: frees `what`. */
void check_found(struct checking *, bool error, const char *file, int line, char *what);
/* check_fault: "FILE:LINE: what" comes apart; about stands before it. */
void check_fault(struct checking *, bool error, const char *fault, const char *about);

enum known { UNKNOWN, KNOWN, CANNOT_TELL };
/* check_name: whether a name means something where it stands. */
enum known check_name(const struct checking *, const struct mustache_scope *, const char *name);

/* check_key_line: where a message stands in its catalog. */
int check_key_line(const char *file, const char *key);
/* check_catalogs: used NULL: not known who uses them. */
void check_catalogs(struct checking *, const char *dir, GHashTable *catalogs, GHashTable *used);
/* check_key: that a reader of a locale finds the message. */
void check_key(struct checking *, const char *locale, const char *key);

/* check_use: what the message names must be there where a part uses it. */
void check_use(struct checking *, const char *key, const struct mustache_scope *);

/* check_part: a template_part_fn. */
void check_part(void *checking, const char *file, const char *channel, const char *part, const char *locale,
                const struct mustache *);

/* check_sample: a channel in a locale, rendered with the samples, and with as little as there may be. */
void check_sample(struct checking *, const char *channel, const char *locale);
void check_bad_sample(void *checking, const char *pointer, const char *detail);

#endif
