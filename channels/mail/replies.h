/*
 * What an SMTP server says, read from the wire beside libesmtp, which refuses
 * replies that are good (a bare "250", lines with different enhanced codes) and
 * tells the last refusal of a transaction where the first one speaks.
 *
 * Each reply is that of a command, in their order (RFC 2920), and is judged by
 * its code (RFC 5321, 4.2); the enhanced code (RFC 3463) says whether it is about
 * the message or about the server.
 */
#ifndef CHANNELS_MAIL_REPLIES_H
#define CHANNELS_MAIL_REPLIES_H

#include <stdbool.h>
#include <stddef.h>

#include "channels/channel.h"

enum reply_step {
    REPLY_CONNECT,
    REPLY_EHLO,
    REPLY_STARTTLS,
    REPLY_AUTH,
    REPLY_MAIL,
    REPLY_RCPT,
    REPLY_DATA,
    REPLY_BODY,
    REPLY_OTHER
};

struct reply {
    enum reply_step step;
    int code;       /* 0: none yet */
    char line[256]; /* its first line, as text */
};

#define REPLIES_AHEAD 64

struct replies {
    enum reply_step asked[REPLIES_AHEAD]; /* commands that wait for their reply */
    unsigned head, tail;
    struct reply now;   /* being read */
    struct reply first; /* the first refusal of this transaction */
    struct reply body;  /* what was said of the whole mail */
    char part[512];     /* of a line */
    size_t part_len;
    bool tainted; /* bytes came behind the reply to STARTTLS (injection) */
    bool authed;
    bool utf8;        /* SMTPUTF8 was offered */
    bool other_login; /* no PLAIN was offered, but what libcurl can: LOGIN, CRAM-MD5 */
    char login[256];  /* why the log-in was refused, "" */
};

/* replies_begin: a connection is made.  replies_next: a transaction begins. */
void replies_begin(struct replies *);
void replies_next(struct replies *);

/* replies_wrote, replies_read: what went over the wire.  in_body: what is written is the mail. */
void replies_wrote(struct replies *, const char *bytes, size_t len, bool in_body);
void replies_read(struct replies *, const char *bytes, size_t len);

/* replies_finish: the connection ended, perhaps within a line, whose code counts. */
void replies_finish(struct replies *);

/* reply_judge: what a refusal means: DEFERRED or REFUSED are about the message; FAULT is what the server says of itself
 * or of us; UNABLE is what this server cannot carry and another may. */
enum outcome_kind reply_judge(enum reply_step, int code, const char *line);

#endif
