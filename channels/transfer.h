/*
 * Content transfer encodings (RFC 2045, 6): quoted-printable and base64.
 *
 * What they append is 7 bit, has no line over 76 columns and no line that
 * begins with a dot or "From ".  Line ends of any kind in a text become CRLF; a
 * last line without one gets none.
 *
 * A template's words are the same in every mail, so their whole lines are
 * encoded once (qp_literal) and copied; only lines that hold a variable are
 * encoded anew.  The result is byte for byte the same.
 */
#ifndef CHANNELS_TRANSFER_H
#define CHANNELS_TRANSFER_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

struct qp_literal;
struct qp_literal *qp_literal_new(const char *text, size_t len);
void qp_literal_free(struct qp_literal *);

/* Where a literal stands, unchanged, in a text. */
struct qp_span {
    size_t at;
    const struct qp_literal *literal;
};

/* transfer_qp: spans may be NULL, and come in the order of the text. */
void transfer_qp(GString *out, const char *text, size_t len, const struct qp_span *spans, size_t count);

/* transfer_base64: of bytes as they are.  transfer_base64_text: of a text, with CRLF. */
void transfer_base64(GString *out, const void *bytes, size_t len);
void transfer_base64_text(GString *out, const char *text, size_t len);

/* transfer_prefers_base64: quoted-printable would be the larger one. */
bool transfer_prefers_base64(const char *text, size_t len);

#endif
