/*
 * ICU MessageFormat with named arguments (ICU's C interface has none; these are
 * the C++ files of the house).
 *
 * A message is parsed when it is loaded, which is cheap, and turned into a
 * formatter for a locale when it is first used there, which is not (about
 * 100 us); the formatters are kept.  Zone arithmetic stays with the system's tz
 * database: dates are formatted with the offset that env->offset() finds.
 */
#ifndef TEMPLATES_ICU_MESSAGE_H
#define TEMPLATES_ICU_MESSAGE_H

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define ICU_MAX_PATTERN 16384
#define ICU_MAX_NESTING 16

G_BEGIN_DECLS

struct icu_message;

struct icu_env {
    void *arg;
    const json_t *(*value)(void *arg, const char *name); /* NULL when missing */
    /* Milliseconds from the text of a date argument; NULL when content, else a sentence. */
    const char *(*instant)(int64_t *ms, const char *text);
    int (*offset)(void *arg, int64_t instant_ms); /* seconds east of UTC for the reader */
    bool isolate;                                 /* texts stand in an isolate of their own (bidi.h) */
};

/* icu_message_parse: NULL on a fault, with *why (to be freed) naming the place in the pattern. */
struct icu_message *icu_message_parse(const char *pattern, char **why);
void icu_message_free(struct icu_message *);

/* icu_message_format: appends in the given BCP 47 locale.  NULL when content, else a sentence to be freed. */
char *icu_message_format(struct icu_message *, const char *locale, const struct icu_env *, GString *out);

/* For the checks: an argument where it stands in the text. */
struct icu_argument {
    const char *name, *type;      /* "string", "number", "date", "plural", "selectordinal", "select" */
    const char *const *selectors; /* of the three last ones, NULL at the end */
    const char *const *spelled;   /* those categories of a plural whose text writes digits, and not the number */
};
/* icu_message_arguments: every argument, borrowed during the call. */
typedef void icu_argument_fn(void *arg, const struct icu_argument *);
void icu_message_arguments(const struct icu_message *, icu_argument_fn *, void *arg);

/* icu_message_quoted: what an apostrophe has made plain text though it reads like an argument, as in "L'{name}"; the
 * name to be freed, or NULL. */
char *icu_message_quoted(const struct icu_message *);

/* icu_plural_categories: those that CLDR has for a locale ("one", "few" …), NULL at the end; g_strfreev. */
char **icu_plural_categories(const char *locale, bool ordinal);

/* icu_plural_numbers: how many whole numbers fall into a category that the "=n" selectors do not say already: 0, 1, or
 * 2 for more than one. */
int icu_plural_numbers(const char *locale, bool ordinal, const char *category, const char *const *selectors);

G_END_DECLS

#endif
