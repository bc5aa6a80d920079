/*
 * What a program is made of: for mustache_compile.c, which makes it, and
 * mustache.c, which runs it.  Everybody else sees mustache.h.
 */
#ifndef TEMPLATES_MUSTACHE_OWN_H
#define TEMPLATES_MUSTACHE_OWN_H

#include "templates/mustache.h"

/*
 *  text ──scan──▶ tags ──▶ flat operations; a block operation knows where it ends
 *
 *      TEXT "Hello "   VALUE name   SECTION items ─┐  TEXT ...  END ◀┘
 */
enum op_kind { OP_TEXT, OP_VALUE, OP_SECTION, OP_INVERTED, OP_PARTIAL, OP_PARENT, OP_BLOCK, OP_END };

struct op {
    enum op_kind kind;
    bool raw;           /* VALUE: not escaped */
    bool dynamic;       /* PARTIAL, PARENT: the name is looked up */
    int line, end;      /* end: index of the matching END */
    const char *name;   /* as written; TEXT: the bytes */
    size_t len;         /* TEXT: how many */
    char **path;        /* name split at dots; NULL for "." */
    void *prepared;     /* TEXT: what mustache_prepare() made of it */
    const char *indent; /* PARTIAL, PARENT: goes before each line of it; BLOCK: before each line of what replaces it */
    int lead;           /* PARENT: index of the text of blanks before it, which goes when it stands alone; else -1 */
};

struct mustache {
    char *name;
    GArray *ops;
    GStringChunk *strings;
    const struct mustache_literals *literals;
};

/* mustache_path: a name split at its dots; NULL for ".". */
char **mustache_path(const char *name);

#endif
