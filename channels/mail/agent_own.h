/*
 * What the agent's files share: agent.c takes mails and answers for them, dial.c
 * knows their sockets, session.c carries them with libesmtp.  Each session is a
 * thread with an agent of its own.
 */
#ifndef CHANNELS_MAIL_AGENT_OWN_H
#define CHANNELS_MAIL_AGENT_OWN_H

#include <stddef.h>

#include <auth-client.h>

#include "channels/channel.h"
#include "channels/mail/board.h"
#include "channels/mail/relay.h"
#include "channels/mail/replies.h"
#include "channels/mail/tls.h"

struct job {
    const char *from, *to, *mail; /* in the board until it is done */
    size_t len;
    bool committed, given, asked, go, done;
    uint64_t number; /* goes with the message: events of one that was refused may come after the next was added */
};

struct dialled; /* the socket of a session */

extern _Thread_local struct agent {
    int session;
    struct board *board;
    struct dialled *dialled;
    const char *broken; /* nothing can be sent at all, and why; else NULL */
    char *host, *user, *password, *hello, *ca_file;
    int port;
    enum email_tls tls;
    struct mail_tls secure;
    auth_context_t auth;

    struct job job;
    bool carried;        /* the job in hand came within a session that cannot send it */
    int mails;           /* in this session */
    struct relay *relay; /* of this session, or NULL */
    bool deaf;           /* see hear() */
    struct replies replies;
    bool by_curl; /* this server's replies are beyond libesmtp: libcurl sends to it */
} agent;

/* agent_take_job: waits for the next mail, for ever when ms < 0; it is agent.job.  agent_ask: all but the final dot is
 * out: go on? */
bool agent_take_job(int ms);
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

/* dial_begin: a session carries this mail from here on.  dial_over: it has no socket any more.  dial_socket: -1 for
 * none; it is closed by dial_over.  dial_hang_up: both directions, at once; dial_end: the same from another thread,
 * while that mail is in hand. */
struct dialled *dial_new(void);
void dial_begin(struct dialled *, uint64_t number);
void dial_over(struct dialled *);
int dial_socket(struct dialled *);
void dial_hang_up(struct dialled *);
void dial_end(struct dialled *, uint64_t number);

#endif
