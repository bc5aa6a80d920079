/*
 * What a library and a template are made of: for library.c, which loads them,
 * and render.c, which uses them.  Everybody else sees library.h.
 */
#ifndef TEMPLATES_LIBRARY_OWN_H
#define TEMPLATES_LIBRARY_OWN_H

#include "templates/library.h"

struct library {
    int refs; /* the owner's, and one for each of its templates that a later library has adopted */
    char *dir, *default_locale;
    library_yaml_fn *yaml;
    GHashTable *templates; /* name → struct template */
    GHashTable *sources;   /* "base.html" or "base.html.ar" → text of a shared partial */
    GHashTable *partials;  /* source key + indent → struct mustache, compiled when first used */
    GHashTable *shared;    /* locale → key → icu_message, of the layouts */
};

struct template
{
    struct library *library; /* whose partials and shared catalogs it uses */
    bool adopted;            /* lives in a later library, and keeps its own alive */
    char *name, *category, *fault, version[17];
    char **channels;
    json_t *data;
    GHashTable *parts;    /* "email.html" or "email.html.ar" → struct mustache */
    GHashTable *catalogs; /* locale → key → icu_message */
    GChecksum *hash;
};

#endif
