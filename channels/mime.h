/*
 * Composing a mail: RFC 5322, 2045, 2047, 8058.
 *
 * The result is 7 bit clean, its lines end in CRLF and none is longer than 76
 * columns (headers fold at words), so no relay has a reason to change it and
 * nothing in it can end the mail early.  A header value with a control
 * character is refused: injection is impossible by construction.
 */
#ifndef CHANNELS_MIME_H
#define CHANNELS_MIME_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct mail {
    const char *from_name, *from; /* the name may be NULL */
    const char *to_name, *to;
    const char *subject;
    const char *text, *html;      /* either may be NULL, not both */
    const char *message_id;       /* without angle brackets; also seeds the boundary */
    const char *list_unsubscribe; /* an http(s) address, or NULL */
    const char *language;         /* Content-Language, or NULL */
    int64_t date_ms;
    bool auto_generated; /* Auto-Submitted (RFC 3834) */
};

/* mime_compose: appends the whole mail.  NULL when content, else a sentence. */
const char *mime_compose(const struct mail *, GString *out);

#endif
