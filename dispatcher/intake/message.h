/*
 * Messages as the doors bring them: checked once, in one place, for all doors.
 */
#ifndef DISPATCHER_INTAKE_MESSAGE_H
#define DISPATCHER_INTAKE_MESSAGE_H

#include "dispatcher/service.h"

#define MESSAGE_MAX_BYTES (256 * 1024) /* without attachments */
#define MESSAGE_MAX_WHOLE (4 * 1024 * 1024)

struct draft {
    json_t *body;    /* what is stored: the message without its recipient's profile and its times */
    json_t *profile; /* the recipient's fields when they came along, else NULL */
    char recipient[129], supersede[129], idempotency_key[257];
    char category[65], kind;          /* t s m; copied, because a reload may come before the answer of Redis */
    char channels[CHANNEL_COUNT + 1]; /* letters */
    enum consent_rule consent;        /* nothing is sent on weaker terms than it was accepted with */
    char strategy;                    /* 'a' or 'f' */
    enum lane lane;
    enum { WHEN_NOW, WHEN_AT, WHEN_LOCAL, WHEN_DELAY } when;
    int64_t at, ttl, expires_at; /* instant or delay; 0 for none */
    struct civil local;
    char local_text[32]; /* as given */
};

/* message_parse: JSON text within the limits; NULL with a problem in errors. */
json_t *message_parse(const char *text, size_t len, json_t *errors);

/* message_text_good: 1 to max bytes of UTF-8 without control characters. */
bool message_text_good(const char *text, size_t max);

/* message_check: fills the draft; complaints go to errors.  draft_clear() in either case. */
void message_check(const struct service *, const json_t *message, const char *door, const char *source, struct draft *,
                   json_t *errors);
void draft_clear(struct draft *);

/* draft_place: the send and expiry instants for a recipient's zone; complaints go to errors. */
void draft_place(const struct draft *, const struct zone *, int64_t now, int64_t *send_at, int64_t *expires_at,
                 json_t *errors);

#endif
