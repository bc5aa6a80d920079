/*
 * What a library and a template are made of: for library.c, which owns them,
 * load.c, which reads them, and render.c, which uses them.  Everybody else sees
 * library.h.
 */
#ifndef TEMPLATES_LIBRARY_OWN_H
#define TEMPLATES_LIBRARY_OWN_H

#include "templates/html_text.h"
#include "templates/library.h"

struct library {
    int refs;                   /* the owner's, and one for each of its templates that a later library has adopted */
    char *dir, *default_locale; /* dir NULL: only the built-in pages */
    bool isolate;               /* values in texts from right to left */
    const struct library_hooks *hooks;
    GQueue to_load; /* names of folders that are not read yet */
    char *layout_fault;
    GHashTable *templates; /* name → struct template */
    GHashTable *sources;   /* "base.html" or "base.html.ar" → text of a shared partial */
    GHashTable *partials;  /* source key + indent → struct mustache, compiled when first used */
    GHashTable *shared;    /* locale → key → icu_message, of the layouts */
    GHashTable *chains;    /* wanted locale → struct voice */
    struct template *pages;
};

/* A wanted locale's chain, and the locale whose numbers, dates and plurals go with a text of each of its links: the
 * reader's own (de-AT) when the text is in the same language (de), else the text's. */
struct voice {
    struct locale_chain chain;
    const char *speaks[LOCALE_CHAIN_MAX];
    json_t *lang[LOCALE_CHAIN_MAX], *dir[LOCALE_CHAIN_MAX]; /* what {{lang}} and {{dir}} are */
};
void voice_free(void *);

struct template
{
    struct library *library; /* whose partials and shared catalogs it uses */
    bool is_pages;
    bool adopted; /* lives in a later library, and keeps its own alive */
    char *name, *description, *category, *fault, *flaw, version[17];
    char **channels;
    json_t *data;
    struct card_terms card;
    GHashTable *parts;  /* "email.html" or "email.html.ar" → struct mustache */
    bool has_localized; /* some part is for a locale */
    struct html_shapes *shapes;
    GHashTable *catalogs; /* locale → key → icu_message */
    GChecksum *hash;
};

#define PAGES   "_pages"
#define LAYOUTS "_layouts"

GHashTable *catalogs_new(void);

/* load.c: false with *why.  A template keeps what was read before the fault. */
bool template_load(struct template *, const char *dir, char **why);
bool library_load_layouts(struct library *, char **why);
/* Pages built in, then what the folder has instead or besides; a broken file leaves the built-in one in place. */
void library_load_pages(struct library *, char **fault);

bool template_has_part(const struct template *, const char *channel, const char *part);

#endif
