/*
 * Values in texts that run from right to left: a name in Latin letters must not
 * turn the words around it, so it stands in an isolate (UAX #9, FSI … PDI).
 */
#ifndef TEMPLATES_BIDI_H
#define TEMPLATES_BIDI_H

#include <glib.h>

G_BEGIN_DECLS

/* bidi_isolate: puts the value that stands behind `from` into an isolate of its own, which it cannot leave: what would
 * turn or end directions is taken out.  Digits alone and web addresses need none (programs make links of these) and
 * stay as they are. */
void bidi_isolate(GString *out, size_t from);

/* bidi_strip: takes the isolates away from what stands behind `from`: an address or an attribute is no running text. */
void bidi_strip(GString *out, size_t from);

G_END_DECLS

#endif
