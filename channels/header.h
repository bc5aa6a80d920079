/*
 * Fields of a mail's header: RFC 5322 (folding), 2047 (encoded words), 2231
 * (parameters).  Each call appends one whole field with its CRLF, 7 bit, folded
 * at 76 columns and cut between characters.
 *
 * Values with a control character are found by header_clean(), which mime.c asks
 * of everything before anything is written: nothing can be injected.
 */
#ifndef CHANNELS_HEADER_H
#define CHANNELS_HEADER_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* header_clean: UTF-8 without control characters. */
bool header_clean(const char *value);

/* header_text: free text, encoded when it must be. */
void header_text(GString *out, const char *name, const char *value);
/* header_raw: a value of ours that is ASCII and short. */
void header_raw(GString *out, const char *name, const char *value);
/* header_mailbox: "Name <address>"; the name may be NULL. */
void header_mailbox(GString *out, const char *name, const char *display, const char *address);
void header_date(GString *out, int64_t ms);
/* header_parameter: "; filename=…" behind an open field, on a line of its own. */
void header_parameter(GString *out, const char *name, const char *value);

/* header_tidy: a value as a header can hold it: white space of every kind is one blank, and control characters, marks
 * that turn the direction of what follows, and characters that nobody sees are gone (but an isolate that
 * is closed again, as values in right-to-left texts have). */
void header_tidy(GString *value);

#endif
