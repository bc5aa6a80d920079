/*
 * The files of faces/, embedded: what pages of others take in.
 */
#ifndef DISPATCHER_HTTP_FACES_H
#define DISPATCHER_HTTP_FACES_H

#include "templates/library.h"

extern const struct library_file face_files[];

/* face_integrity: what an integrity attribute says of a file; g_free. */
char *face_integrity(const char *name);

#endif
