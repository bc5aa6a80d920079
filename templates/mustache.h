/*
 * Mustache, compiled once and rendered many times.
 *
 * The language is the one of the Mustache specification 1.4: comments, set
 * delimiters, interpolation, sections, inverted sections, partials with
 * indentation, inheritance (parents and blocks) and dynamic names.  No lambdas.
 *
 * A program is immutable and borrows nothing from its source.  Rendering
 * allocates nothing for a variable; it
 * appends to a GString and stops with a sentence at the first fault:
 *
 *   - a variable that the context does not have is a fault when env->strict is
 *     set (a message must never go out with a hole in it); a section over a
 *     missing name is just false;
 *   - output, nesting and partial recursion are bounded (MUSTACHE_MAX_*).
 *
 * What lies outside the language is handed in: partials come from
 * env->partial(), and names that begin with env->message_prefix ("t.") are
 * formatted by env->message() with the context as it stands there.
 */
#ifndef TEMPLATES_MUSTACHE_H
#define TEMPLATES_MUSTACHE_H

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>

#define MUSTACHE_MAX_SOURCE  (256 * 1024)
#define MUSTACHE_MAX_OUTPUT  (512 * 1024)
#define MUSTACHE_MAX_NESTING 32
#define MUSTACHE_MAX_STEPS   500000 /* operations of a rendering: loops in loops that print nothing */
#define MUSTACHE_MAX_DEPTH   48     /* context frames, sections and partials inside each other */

struct mustache;
struct mustache_stack;

/* What somebody makes of each literal text of a program, once, to get it back wherever that text is rendered. */
struct mustache_literals {
    void *(*prepare)(const char *text, size_t len);
    void (*release)(void *prepared);
};

struct mustache_env {
    bool strict; /* a missing variable is a fault */
    bool html;   /* {{x}} escapes; otherwise it is {{{x}}} */
    const char *message_prefix;
    size_t max_output; /* 0: MUSTACHE_MAX_OUTPUT */
    void *arg;
    /* The compiled partial, or NULL when there is none (*why may say more).  Borrowed. */
    const struct mustache *(*partial)(void *arg, const char *name, const char *indent, char **why);
    /* Appends the catalog message to out (not escaped).  NULL when content, else a sentence to be freed. */
    char *(*message)(void *arg, const char *key, const struct mustache_stack *context, GString *out);
    /* Hears of each text that was appended at `from`, a message or a value, before it is escaped, and may change it.
     * NULL when content, else a sentence to be freed.  NULL: nobody. */
    char *(*placed)(void *arg, GString *out, size_t from, bool message);
    /* Hears where in the output what a variable said stands, as it is written there; raw: it was not escaped, though
     * this is HTML.  NULL: nobody. */
    void (*value)(void *arg, size_t from, size_t to, bool raw);
    /* Names of the outermost context that are not data: given ones win over it, missing ones stand in for it. Borrowed;
     * NULL for none. */
    json_t *(*given)(void *arg, const char *name), *(*missing)(void *arg, const char *name);
    /* Hears where a prepared literal begins in the output; NULL for nobody. */
    void (*literal)(void *arg, size_t at, const void *prepared);
    /* Hears of what a rendering lacks ("FILE:LINE: what"), which then goes on; NULL: it stops there. */
    void (*lack)(void *arg, const char *what);
    /* Hears from which line of which file the output comes from here on; NULL for nobody. */
    void (*place)(void *arg, size_t at, const char *file, int line);
};

/* mustache_compile: NULL on a fault, with *why = "NAME:LINE:COLUMN: what" (to be freed). */
struct mustache *mustache_compile(const char *name, const char *text, size_t len, const char *indent, char **why);
void mustache_free(struct mustache *);

/* mustache_name: as it was compiled. */
const char *mustache_name(const struct mustache *);

/* mustache_prepare: once, after compiling; the table must outlive the program. */
void mustache_prepare(struct mustache *, const struct mustache_literals *);

/* mustache_render: appends to out.  NULL when content, else "NAME:LINE: what" (to be freed). */
char *mustache_render(const struct mustache *, const struct mustache_env *, const json_t *context, GString *out);

/* mustache_lookup: a dotted name in the context as it stands during env->message(), or NULL. */
const json_t *mustache_lookup(const struct mustache_stack *, const char *name);

/* mustache_at_top: no section has been entered: names mean what they mean everywhere at the top. */
bool mustache_at_top(const struct mustache_stack *);

/* What a program mentions, for the checks: kind is 'v' variable, 's' section, 'p' partial or parent, '&' raw variable;
 * scope: the sections around it, from the innermost. */
struct mustache_scope {
    const char *name; /* NULL: a parent, which may put it into sections of its own */
    const struct mustache_scope *outer;
};
typedef void mustache_mention_fn(void *arg, char kind, const char *name, int line, const struct mustache_scope *);
void mustache_mentions(const struct mustache *, mustache_mention_fn *, void *arg, const struct mustache_scope *);

#endif
