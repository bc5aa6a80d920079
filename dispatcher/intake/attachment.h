/*
 * Files that come along with a message:
 *
 *   "attachments": [{"filename": "ticket.pdf", "content_type": "application/pdf", "content": "<base64>"},
 *                   {"filename": "logo.png", "content_type": "image/png", "content": "…", "cid": "logo"}]
 *
 * They travel by email only.  One with a cid is shown inside the HTML, as
 * <img src="cid:logo">.  The content comes with the message: an address to
 * fetch it from would let producers make this host call others.
 */
#ifndef DISPATCHER_INTAKE_ATTACHMENT_H
#define DISPATCHER_INTAKE_ATTACHMENT_H

#include <jansson.h>
#include <stddef.h>

/* attachments_check: complaints go to errors, with pointers below "/attachments".  max_bytes counts decoded bytes. */
void attachments_check(const json_t *list, size_t max_bytes, json_t *errors);

/* attachments_text_bytes: how much of a message's text their contents are. */
size_t attachments_text_bytes(const json_t *list);

#endif
