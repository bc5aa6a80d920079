/*
 * The library: every template folder below one directory, compiled and ready.
 *
 *   welcome/template.yaml                what it is: category, channels, data
 *   welcome/email.html.mustache          a part of a channel
 *   welcome/email.html.ar.mustache       the same part, whole, for a locale
 *   welcome/locales/de.json              ICU messages, used as {{t.key}}
 *   _layouts/base.html.mustache          partials and parents, shared by all
 *   _layouts/locales/de.json             messages that the layouts use
 *   _pages/unsubscribe.html.mustache     pages that customers see, instead of the built-in ones
 *   _pages/locales/de.json               and their texts
 *
 * A folder that cannot be used stays in the library with its fault, so that a
 * message for it can be told why; library_adopt() keeps the good one of before.
 * Everything returned is borrowed until the library is freed or reloaded.
 */
#ifndef TEMPLATES_LIBRARY_H
#define TEMPLATES_LIBRARY_H

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "templates/locale.h"
#include "templates/mustache.h"

struct library;
struct template;

/* Reads a YAML file into JSON; *lines gets a table from path ("data.name") to line. */
typedef json_t *library_yaml_fn(const char *path, GHashTable **lines, char **why);

struct library_file {
    const char *name, *text; /* name NULL at the end of a list */
    size_t len;
};
extern const struct library_file page_files[]; /* templates/_pages, embedded in the program */

/* What is handed in from above; it outlives every library. */
struct library_hooks {
    library_yaml_fn *yaml;
    const char *(*instant)(int64_t *ms, const char *text); /* RFC 3339; NULL when content, else a sentence */
    const char *(*span)(int64_t *ms, const char *text);    /* "14d", likewise */
    struct mustache_literals mail;                         /* what is made, once, of the constant texts of mail parts */
    const struct library_file *pages;                      /* the built-in pages and their catalogs; NULL for none */
};

/* The parts a channel is made of, in the order in which they are rendered. */
struct channel_parts {
    const char *channel;
    struct {
        const char *name;
        bool html, required;
    } part[4];
};
extern const struct channel_parts channel_parts[]; /* channel NULL at the end */
const struct channel_parts *channel_parts_of(const char *channel);

/* library_open: loads a directory; faults go to template_fault().  NULL only when the directory cannot be read (*why).
 * library_begin and library_go_on do the same in portions, a template each, until there is no more (false). */
struct library *library_begin(const char *dir, const char *default_locale, const struct library_hooks *, char **why);
bool library_go_on(struct library *);
struct library *library_open(const char *dir, const char *default_locale, const struct library_hooks *, char **why);
void library_free(struct library *);
/* library_isolate: whether values in texts that run from right to left stand in isolates (bidi.h); at first they do. */
void library_isolate(struct library *, bool);

/* library_adopt: every template that is broken or flawed in `fresh` but was good in `old` is taken over from there;
 * `old` is freed. */
void library_adopt(struct library *fresh, struct library *old);

/* library_find: by name, or NULL.  library_each: all, by name. */
struct template *library_find(const struct library *, const char *name);
void library_each(const struct library *, void (*fn)(void *arg, struct template *), void *arg);

/* library_built_in: a library of the built-in pages alone. */
struct library *library_built_in(const char *default_locale, const struct library_hooks *);

/* library_pages: the pages as a template.  A page that is broken in the folder stays as it was built in; the fault
 * tells. */
struct template *library_pages(const struct library *);

/* template_fault: NULL for a good one, else "FILE:LINE: what". */
const char *template_fault(const struct template *);
/* template_flaw: what a check found wrong with one that can be used nevertheless; NULL for nothing. */
const char *template_flaw(const struct template *);
void template_set_flaw(struct template *, const char *what);
const char *template_name(const struct template *);
const char *template_description(const struct template *);
const char *template_category(const struct template *); /* NULL when it names none */
/* template_card: how a card of it is: so long it stays (ms, 0: as long as inboxes keep cards), whether it stands first,
 * and whether it is urgent. */
struct card_terms {
    int64_t expires_ms;
    bool pinned, high;
};
const struct card_terms *template_card(const struct template *);
/* template_channels: the channels it has parts for, NULL at the end. */
const char *const *template_channels(const struct template *);
bool template_has_channel(const struct template *, const char *channel);
bool template_is_pages(const struct template *);
/* template_version: short hash of all its files, for traces. */
const char *template_version(const struct template *);
/* template_data: the declared variables, an object of name → {type, required, sample, default}. */
const json_t *template_data(const struct template *);

/* template_check_data: complaints about a message's data; pointer is a JSON pointer below "/data". */
typedef void template_complaint_fn(void *arg, const char *pointer, const char *detail);
void template_check_data(const struct template *, const json_t *data, template_complaint_fn *, void *arg);

struct render_request {
    const char *channel, *locale;
    const char *only_part; /* NULL for all */
    const json_t *context; /* the message's data */
    size_t max_output;     /* 0: MUSTACHE_MAX_OUTPUT */
    void *arg;
    int (*offset)(void *arg, int64_t instant_ms);
    const char *(*instant)(int64_t *ms, const char *text);
    /* What templates may name besides (recipient, message, links); it wins over data.  Borrowed; NULL for nothing. */
    json_t *(*given)(void *arg, const char *name);
    /* Where what the hook "mail" prepared stands in a part; NULL for nobody. */
    void (*literal)(void *arg, int part, size_t at, const void *prepared);
    /* For checks; NULL for nobody.  lack: what is missing ("FILE:LINE: what"), and rendering goes on; borrowed: a
     * message that only another language has. */
    void (*lack)(void *arg, const char *what);
    void (*borrowed)(void *arg, const char *key, const char *locale);
    /* From which line of which file a part comes from here on; NULL for nobody. */
    void (*place)(void *arg, int part, size_t at, const char *file, int line);
};

struct rendered {
    GString *part[4];         /* in the order of channel_parts; NULL when the template has none */
    char locale[LOCALE_SIZE]; /* of its texts, for the trace and the lang attribute */
    char *why;                /* NULL, or the render error */
};

/* template_page: appends a page; its language goes to `language` (LOCALE_SIZE, may be NULL).  NULL when content, else a
 * sentence to be freed. */
char *template_page(struct template *pages, const char *page, const struct render_request *, GString *out,
                    char *language);

/* template_render: false with rendered->why on a render error.  rendered_clear frees what it holds. */
bool template_render(struct template *, const struct render_request *, struct rendered *);
void rendered_clear(struct rendered *);

/* What the checks see. */
struct library_view {
    const char *dir, *default_locale;
};
struct library_view library_view(const struct library *);
struct library *template_library(const struct template *);
GHashTable *template_catalogs(const struct template *); /* locale → GHashTable key → struct icu_message */
GHashTable *library_shared_catalogs(const struct library *);
typedef void template_part_fn(void *arg, const char *file, const char *channel, const char *part, const char *locale,
                              const struct mustache *);
void template_each_part(const struct template *, template_part_fn *, void *arg);
/* template_part_is_for: whether a reader with this chain (without the default's) gets this part: the most exact of its
 * own language, else the general one (locale NULL). */
bool template_part_is_for(const struct template *, const char *channel, const char *part, const char *locale,
                          const struct locale_chain *);
/* library_partial: from a folder ("_layouts", "_pages"). */
const struct mustache *library_partial(const struct library *, const char *folder, const char *name, const char *part,
                                       const struct locale_chain *, const char *indent, char **why);
/* catalog_line: the line of a key in the text of a catalog. */
int catalog_line(const char *text, const char *key);

#endif
