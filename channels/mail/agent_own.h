/*
 * What the agent's two files share: agent.c takes mails and answers for them,
 * session.c carries them with libesmtp.
 */
#ifndef CHANNELS_MAIL_AGENT_OWN_H
#define CHANNELS_MAIL_AGENT_OWN_H

#include <stddef.h>

#include <auth-client.h>

#include "channels/channel.h"
#include "channels/mail/replies.h"
#include "channels/mail/tls.h"
#include "channels/mail/wire.h"

struct job {
    char *bytes; /* the whole frame: from NUL to NUL mail */
    const char *from, *to, *mail;
    size_t len;
    bool given, asked, go, done;
    long serial; /* goes with the message: events of one that was refused may come after the next was added */
};

extern struct agent {
    char *host, *user, *password, *hello, *ca_file;
    int port;
    enum email_tls tls;
    struct mail_tls secure;
    auth_context_t auth;

    struct job job;
    bool carried; /* the job in hand came within a session that cannot send it */
    int dialled;  /* the port that libesmtp was given: the server's, or the local relay's */
    int mails;    /* in this session */
    int smtp_fd;  /* libesmtp hides it; found among our descriptors */
    bool deaf;    /* see hear() */
    struct replies replies;
    bool by_curl; /* this server's replies are beyond libesmtp: libcurl sends to it */
} agent;

/* agent_take_job: waits for the next mail; it is agent.job.  agent_ask: all but the final dot is out: go on? */
void agent_take_job(void);
bool agent_ask(void);
/* agent_needs_utf8: libesmtp cannot carry the mail in hand. */
bool agent_needs_utf8(void);
void agent_by_curl(void);

/* What becomes of the mail in hand: each of these once, the first one counts. */
void agent_put_stage(enum smtp_stage);
void agent_put_outcome(const struct outcome *);
void agent_put_result(enum outcome_kind, int code, const char *detail);
/* agent_put_refusal: by what it says. */
void agent_put_refusal(enum reply_step, int code, const char *line);

/* session_run: one connection, from the mail in hand on, as many as come in time. */
void session_run(void);
/* session_fault: the relay's thread, or TLS that cannot be made: nothing more comes of this agent.  ssl may be NULL. */
_Noreturn void session_fault(const char *what, const SSL *ssl);

#endif
