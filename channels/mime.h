/*
 * Composing a mail: RFC 5322, 2045, 2046, 2387, 3834, 8058.
 *
 * The result is 7 bit clean, its lines end in CRLF and none is longer than 76
 * columns (headers fold at words; an address or an identifier is never cut), so
 * no relay has a reason to change it and nothing in it can end the mail early.
 *
 *   mixed ─┬─ related ─┬─ alternative ─┬─ text/plain
 *          │           │               └─ text/html
 *          │           └─ images with a cid
 *          └─ attachments                         each layer only when needed
 */
#ifndef CHANNELS_MIME_H
#define CHANNELS_MIME_H

#include "channels/transfer.h"

#include <stdbool.h>
#include <stdint.h>

#define MIME_MAX_FILENAME    200 /* bytes */
#define MIME_MAX_ATTACHMENTS 16

/* A text part; spans say where literals of the template stand in it (transfer.h). */
struct mime_text {
    const char *text; /* NULL: no such part */
    size_t len;
    const struct qp_span *spans;
    size_t span_count;
};

struct mime_attachment {
    const char *filename, *content_type;
    const char *cid; /* not NULL: an image inside the HTML, <img src="cid:…"> */
    const void *bytes;
    size_t len;
};

struct mail {
    const char *from_name, *from; /* the name may be NULL */
    const char *to_name, *to;
    const char *subject;
    struct mime_text text, html;  /* at least one */
    const char *message_id;       /* without angle brackets; its letters also make the boundaries */
    const char *in_reply_to;      /* likewise; NULL: begins no thread */
    const char *list_unsubscribe; /* an http(s) address, or NULL */
    const char *feedback_id;      /* campaign:customer:type:sender, or NULL */
    const char *language;         /* Content-Language, or NULL */
    int64_t date_ms;
    const struct mime_attachment *attachments;
    size_t attachment_count;
};

/* mime_compose: appends the whole mail.  NULL when content, else a sentence. */
const char *mime_compose(const struct mail *, GString *out);

/* What a name and a type of an attachment may be.  NULL when content, else a sentence. */
const char *mime_filename_check(const char *);
const char *mime_type_check(const char *);
const char *mime_cid_check(const char *);
/* mime_id_good: "local@host" of a Message-ID, without its angle brackets. */
bool mime_id_good(const char *);

#endif
