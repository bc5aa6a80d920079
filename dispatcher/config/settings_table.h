/*
 * The table of settings: every key the configuration may have, with its type,
 * range, default and help.  Checks, defaults, `tidings check --settings` and the
 * reference in deploy/OPERATING.md come from these rows.
 *
 * A path is written with "*" for a name that the operator chooses and "[]" for
 * the elements of a list: "email.providers[].tls".
 */
#ifndef DISPATCHER_CONFIG_SETTINGS_TABLE_H
#define DISPATCHER_CONFIG_SETTINGS_TABLE_H

#include <stddef.h>

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

/* settings_table: all rows. */
extern const struct setting settings_table[];
extern const size_t settings_count;
/* settings_reloaded: sections and settings that a running service takes in (SIGHUP); all others need a restart. */
extern const char *const settings_reloaded[]; /* NULL at the end */

#endif
