/*
 * The table of settings: every key the configuration may have, with its type,
 * range, default and help.  Checks, defaults, `tidings check --settings` and the
 * reference in deploy/OPERATING.md come from these rows.
 *
 * A path is written with "*" for a name that the operator chooses and "[]" for
 * the elements of a list: "email.providers[].tls".
 */
#ifndef DISPATCHER_CONFIG_SETTINGS_H
#define DISPATCHER_CONFIG_SETTINGS_H

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum setting_type {
    SET_SECTION, /* a mapping of the rows below it */
    SET_MAP,     /* a mapping of names to the row with "*" */
    SET_LIST,    /* a list of the row with "[]" */
    SET_TEXT,
    SET_SECRET,
    SET_PATH,
    SET_INT,
    SET_BOOL,
    SET_DURATION,
    SET_RATE, /* "200/s", "50/m" */
    SET_REAL,
    SET_CHOICE,  /* range: "a|b|c" */
    SET_CHOICES, /* a list of those */
    SET_NAMES,   /* a list of words */
    SET_URL,     /* range: the schemes, "smtp|smtps" */
    SET_ZONE,
    SET_LOCALE,
    SET_CLOCK,   /* "21:00" */
    SET_WINDOW,  /* "7d" or "1 calendar day" */
    SET_DAYS,    /* "all" or [mon, tue] */
    SET_MAILBOX, /* "Name <address>" or an address */
    SET_LISTEN,  /* "127.0.0.1:8080" or "unix:/path" */
    SET_ANY,
};

struct setting {
    const char *path;
    enum setting_type type;
    const char *fallback; /* default as text, NULL for none */
    const char *range;    /* by type: "1..64", choices, schemes */
    const char *help;
};

/* settings_check: walks a configuration read as YAML_TEXT; NULL when content, else "FILE:LINE: what" (to be freed). */
char *settings_check(const json_t *config, GHashTable *lines, const char *file);

/* settings_find: the row of a path; asserts that it exists. */
const struct setting *settings_find(const char *path);
/* settings_table: all rows. */
extern const struct setting settings_table[];
extern const size_t settings_count;
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

/* setting_window: of SET_WINDOW; calendar unit 'd', 'w', 'm' with count, or 0 with ms. */
struct setting_window {
    char calendar;
    int count;
    int64_t ms;
};
const char *setting_window_parse(struct setting_window *, const char *text);
/* setting_days_parse: bit 0 is Monday. */
const char *setting_days_parse(unsigned *days, const json_t *value);
/* setting_mailbox_parse: *name is NULL when there is none; both to be freed. */
const char *setting_mailbox_parse(char **name, char **address, const char *text);

#endif
