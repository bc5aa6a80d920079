/*
 * People with their consents out of a file: NDJSON, or CSV (RFC 4180) with a
 * header line, in whatever encoding and with whatever separator spreadsheets
 * write it.  Every row is answered, with the line on which it begins.
 */
#ifndef DISPATCHER_CLI_IMPORT_H
#define DISPATCHER_CLI_IMPORT_H

#include "dispatcher/cli/cli.h"

/* import_run: file "-" is standard input; the exit status.  silent: into a store that is
 * empty; only what is refused and who comes twice is told, on standard error. */
int import_run(struct cli *, const char *file, bool silent);

#endif
