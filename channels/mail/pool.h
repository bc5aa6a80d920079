/*
 * Email over SMTP submission, by libesmtp in an agent process.
 *
 * libesmtp blocks, has no total deadline and is not safe against every server
 * (its 38 traps are listed where session.c meets them).  So a provider's sessions
 * are threads of a process of its own, which this one starts when it is first
 * needed, shares mails and milestones with in memory (board.h), and tells to shut
 * the socket of a session that overstays.  What the last milestone was tells what
 * can have happened.
 */
#ifndef CHANNELS_MAIL_POOL_H
#define CHANNELS_MAIL_POOL_H

#include "channels/channel.h"

enum email_tls { EMAIL_TLS_NONE, EMAIL_TLS_OPPORTUNISTIC, EMAIL_TLS_REQUIRED, EMAIL_TLS_IMPLICIT };

struct email_settings {
    const char *name, *host, *user, *password; /* user NULL: no log-in */
    const char *ca_file;                       /* NULL: the system's */
    const char *hello;                         /* EHLO name, NULL: the host's own */
    int port, connections;
    enum email_tls tls;
    int64_t connect_timeout_ms, send_timeout_ms; /* until the log-in is done; from there to the dot */
    int64_t reply_timeout_ms;                    /* after the dot: RFC 5321 asks for ten minutes */
};

/* email_open: never fails for what the network does.  The settings' strings are copied, the loop is borrowed for
 * good. */
struct provider *email_open(struct ev_loop *, const struct email_settings *);

/* smtp_agent_main: the other end, run by the hidden subcommand "smtp-agent"; parent is the pid that must be alive. */
int smtp_agent_main(int parent);

#endif
