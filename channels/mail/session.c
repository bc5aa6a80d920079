/*
 * A session with libesmtp.  The next mail is added inside the event that ends the
 * one before, which is what makes it keep its connection.  It frees nothing until
 * the session is destroyed (4 KB a mail), so a session ends after SESSION_MAILS.
 */
#include "channels/mail/agent_own.h"

#include <libesmtp.h>

#include <errno.h>
#include <glib.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SESSION_MAILS 100
#define IDLE_MS       5000
#define QUIT_MS       2000L
#define TICKETS_MOST  32768 /* bytes; no server says so much before it is spoken to */
#define FOR_EVER_MS                                                                                                    \
    (24L * 3600 * 1000) /* the provider's deadlines kill us long before: libesmtp's own leave holes in a body */

/* ---------------------------------------------------------------- one mail */

static const char *on_body(void **ctx, int *len, void *arg)
{
    if (!len) { /* rewind */
        agent.job.given = false;
        return NULL;
    }
    if (!agent.job.given) {
        agent.job.given = true;
        *len = (int)agent.job.len;
        errno = 0;
        return agent.job.mail;
    }
    *len = 0;
    if (agent.job.done) { /* and hung up */
        errno = ECANCELED;
        return NULL;
    }
    if (!agent.job.asked && !agent_ask()) {
        agent_put_result(OUTCOME_STOPPED, 0, "stopped before the final dot");
        errno = ECANCELED; /* libesmtp drops the connection without the dot */
        return NULL;
    }
    errno = agent.job.go ? 0 : ECANCELED;
    return NULL;
}

static void add_mail(smtp_session_t session)
{
    smtp_message_t message = smtp_add_message(session);

    smtp_set_reverse_path(message, agent.job.from);
    smtp_add_recipient(message, agent.job.to);
    smtp_size_set_estimate(message, agent.job.len);
    smtp_set_messagecb(message, on_body, NULL);
    smtp_message_set_application_data_release(message, (void *)(uintptr_t)agent.job.number, NULL);
    replies_next(&agent.replies);
    agent.mails++;
}

/* No further mail in this session: QUIT follows, whose answer libesmtp awaits as long as that to a final dot. */
static void leave(smtp_session_t session)
{
    smtp_set_timeout(session, Timeout_DATA2 | Timeout_OVERRIDE_RFC2822_MINIMUM, QUIT_MS);
}

/* The server has hung up, or said what nobody asked. */
static bool is_over(void)
{
    struct pollfd server = { dial_socket(agent.dialled), POLLIN, 0 };
    return poll(&server, 1, 0) != 0;
}

/* Waits for the next mail with the connection kept open; adds it.  Called from inside an event. */
static void feed_next(smtp_session_t session)
{
    bool full = agent.mails >= SESSION_MAILS || agent.replies.first.code == 421;

    if (full || !agent_take_job(IDLE_MS)) {
        leave(session);
        return;
    }
    agent.carried = is_over() || agent_needs_utf8(); /* to the next session */
    if (agent.carried)
        leave(session);
    else
        add_mail(session);
}

static const char *reply_line(const smtp_status_t *status, char buf[static 256])
{
    char enhanced[24] = "";

    if (status->enh_class)
        snprintf(enhanced, sizeof enhanced, " %d.%d.%d", status->enh_class, status->enh_subject, status->enh_detail);
    snprintf(buf, 256, "%d%s %s", status->code, enhanced, status->text ? status->text : "");
    g_strchomp(buf);
    for (char *p = buf; *p; p++)
        if ((unsigned char)*p < ' ')
            *p = ' ';
    return buf;
}

/* The first refusal of the transaction speaks; what libesmtp tells comes second. */
static void refuse(enum reply_step step, const smtp_status_t *status)
{
    const struct reply *first = &agent.replies.first;
    char line[256];

    if (first->code)
        agent_put_refusal(first->step, first->code, first->line);
    else
        agent_put_refusal(step, status->code, reply_line(status, line));
}

/* Libesmtp goes on after a refused log-in; we do not.  Of the mechanisms it has only PLAIN works everywhere. */
static void log_in_failed(int code)
{
    if (agent.replies.other_login)
        agent.by_curl = agent.carried = true;
    else
        agent_put_result(OUTCOME_FAULT, code,
                         *agent.replies.login ? agent.replies.login
                                              : "the server did not offer a log-in that this program knows");
    dial_hang_up(agent.dialled);
}

static void on_mail_status(smtp_session_t session, smtp_message_t message)
{
    const smtp_status_t *status = smtp_reverse_path_status(message);

    if (agent.user && !agent.replies.authed) {
        log_in_failed(status->code);
        return;
    }
    if (agent.mails == 1)
        agent_put_stage(STAGE_MAIL);
    if (status->code / 100 == 2 || agent.job.done)
        return;
    refuse(REPLY_MAIL, status);
    feed_next(session);
}

static void on_recipient_status(smtp_session_t session, smtp_recipient_t recipient)
{
    const smtp_status_t *status = smtp_recipient_status(recipient);

    if (agent.job.done)
        return;
    if (status->code / 100 == 2 && agent.job.len == 0) { /* a probe goes no further */
        agent_put_result(OUTCOME_STOPPED, status->code, "answers");
        dial_hang_up(agent.dialled);
    }
    if (status->code / 100 == 2)
        return;
    refuse(REPLY_RCPT, status);
    feed_next(session); /* after a refused recipient the sent event comes too late */
}

/* What was said of the whole mail, or against it before; true when something was. */
static bool report_reply(void)
{
    const struct reply *body = &agent.replies.body, *first = &agent.replies.first;

    if (body->code / 100 == 2 && agent.job.go)
        agent_put_result(OUTCOME_SENT, body->code, body->line);
    else if (first->code)
        agent_put_refusal(first->step, first->code, first->line);
    else if (body->code / 100 == 2 || (body->code && !agent.job.go))
        agent_put_result(OUTCOME_DEFERRED, body->code, "the server answered before the mail was complete");
    else
        return false;
    return true;
}

static void on_message_sent(smtp_session_t session, smtp_message_t message)
{
    bool asked = agent.job.asked;

    if (agent.job.done || smtp_message_get_application_data(message) !=
                              (void *)(uintptr_t)agent.job.number) /* a refused one, reported before */
        return;
    if (report_reply() && asked)
        feed_next(session);
    else /* refused before the body: libesmtp has chosen its next state already */
        leave(session);
}

/* ---------------------------------------------------------------- the connection */

static void on_connected(void)
{
    /* with Nagle's algorithm a mail larger than one buffer waits 40 ms for an acknowledgement */
    setsockopt(dial_socket(agent.dialled), IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
    agent_put_stage(STAGE_GREETING);
}

/* Tickets of TLS 1.3 make the socket readable, and libesmtp would read before it has sent its EHLO, and wait for ever.
 * So, until that is written, what comes does not wake it. */
static void hear(bool anything)
{
    int enough = anything ? 1 : TICKETS_MOST;
    setsockopt(dial_socket(agent.dialled), SOL_SOCKET, SO_RCVLOWAT, &enough, sizeof enough);
    agent.deaf = !anything;
}

static void on_tls(SSL *ssl)
{
    if (agent.replies.tainted) {
        agent_put_result(OUTCOME_FAULT, 0, "the server sent bytes before the TLS handshake: STARTTLS injection");
        dial_hang_up(agent.dialled);
        return;
    }
    hear(false);
}

static void on_event(smtp_session_t session, int event, void *arg, ...)
{
    va_list ap;

    va_start(ap, arg);
    switch (event) {
    case SMTP_EV_CONNECT: on_connected(); break;
    case SMTP_EV_MAILSTATUS:
        (void)va_arg(ap, const char *);
        on_mail_status(session, va_arg(ap, smtp_message_t));
        break;
    case SMTP_EV_RCPTSTATUS:
        (void)va_arg(ap, const char *);
        on_recipient_status(session, va_arg(ap, smtp_recipient_t));
        break;
    case SMTP_EV_MESSAGESENT: on_message_sent(session, va_arg(ap, smtp_message_t)); break;
    case SMTP_EV_STARTTLS_OK: on_tls(va_arg(ap, SSL *)); break;
    case SMTP_EV_WEAK_CIPHER:
        (void)va_arg(ap, long);
        *va_arg(ap, int *) = 0;
        break;
    case SMTP_EV_INVALID_PEER_CERTIFICATE:
        (void)va_arg(ap, long);
        *va_arg(ap, int *) = agent.tls == EMAIL_TLS_OPPORTUNISTIC;
        break;
    case SMTP_EV_NO_PEER_CERTIFICATE: *va_arg(ap, int *) = agent.tls == EMAIL_TLS_OPPORTUNISTIC; break;
    case SMTP_EV_WRONG_PEER_CERTIFICATE: *va_arg(ap, int *) = tls_peer_is_right(&agent.secure); break;
    case SMTP_EV_UNUSABLE_CLIENT_CERTIFICATE: *va_arg(ap, int *) = 1; break;
    case SMTP_EV_UNUSABLE_CA_LIST: *va_arg(ap, int *) = 1; break;
    default: break;
    }
    va_end(ap);
}

/* With BDAT libesmtp shows no reply to its monitor and tells the last refusal of a transaction, where the first one
 * speaks (Postfix answers 451 to one chunk and 551 to those behind it): so the offer is overwritten where libesmtp will
 * read it. */
static void hide_chunking(char *bytes, size_t len)
{
    char *offer = memmem(bytes, len, "CHUNKING", 8);

    if (offer && offer - bytes >= 4 && (offer[-1] == '-' || offer[-1] == ' '))
        *offer = 'X';
}

static void on_wire(const char *buf, int len, int writing, void *arg)
{
    if (agent.deaf && writing == SMTP_CB_WRITING)
        hear(true);
    if (writing == SMTP_CB_READING && !agent.job.given)
        hide_chunking((char *)buf, (size_t)len);
    if (writing == SMTP_CB_READING)
        replies_read(&agent.replies, buf, (size_t)len);
    else if (writing == SMTP_CB_WRITING)
        replies_wrote(&agent.replies, buf, (size_t)len, agent.job.given);
}

/* ---------------------------------------------------------------- sessions */

static void set_timeouts(smtp_session_t session)
{
    static const int which[] = { Timeout_GREETING, Timeout_ENVELOPE, Timeout_DATA, Timeout_TRANSFER, Timeout_DATA2 };

    for (size_t i = 0; i < G_N_ELEMENTS(which); i++)
        smtp_set_timeout(session, which[i] | Timeout_OVERRIDE_RFC2822_MINIMUM, FOR_EVER_MS);
}

static smtp_session_t open_session(void)
{
    smtp_session_t session = smtp_create_session();
    g_autofree char *server = NULL;

    if (agent.tls == EMAIL_TLS_IMPLICIT)
        agent.relay = relay_start(&(struct relay_server){ agent.host, agent.port, &agent.secure });
    server = g_strdup_printf("%s:%d", agent.relay ? "127.0.0.1" : agent.host,
                             agent.relay ? relay_port(agent.relay) : agent.port);
    smtp_set_server(session, server);
    if (agent.hello)
        smtp_set_hostname(session, agent.hello);
    set_timeouts(session);
    smtp_set_eventcb(session, on_event, NULL);
    smtp_set_monitorcb(session, on_wire, NULL, 0);
    if (agent.tls == EMAIL_TLS_REQUIRED || agent.tls == EMAIL_TLS_OPPORTUNISTIC) {
        smtp_starttls_enable(session, agent.tls == EMAIL_TLS_REQUIRED ? Starttls_REQUIRED : Starttls_ENABLED);
        smtp_starttls_set_ctx(session, agent.secure.ctx);
    }
    if (agent.auth)
        smtp_auth_set_context(session, agent.auth);
    return session;
}

/* Why the session broke: the certificate, the log-in, or what libesmtp says. */
static void put_fault(const char *relay_fault)
{
    char text[160], line[256];
    const struct reply *now = &agent.replies.now;

    if (*relay_fault)
        g_strlcpy(line, relay_fault, sizeof line);
    else if (agent.secure.verify != X509_V_OK)
        g_snprintf(line, sizeof line, "the server's certificate is not accepted: %s",
                   X509_verify_cert_error_string(agent.secure.verify));
    else if (*agent.replies.login)
        g_strlcpy(line, agent.replies.login, sizeof line);
    else
        g_snprintf(line, sizeof line, "%s%s%s", smtp_strerror(smtp_errno(), text, sizeof text) ? text : "no connection",
                   now->code ? ", at: " : "", now->line);
    agent_put_result(agent.mails > 1 ? OUTCOME_RETURNED : OUTCOME_FAULT, 0, line);
}

/* A reply in a form that libesmtp refuses to read, though nothing was refused: libcurl reads it. */
static bool beyond_libesmtp(void)
{
    int error = smtp_errno();
    return !agent.job.asked && !agent.job.given && agent.tls != EMAIL_TLS_IMPLICIT &&
           agent.secure.verify == X509_V_OK &&
           (error == SMTP_ERR_INVALID_RESPONSE_SYNTAX || error == SMTP_ERR_STATUS_MISMATCH ||
            error == SMTP_ERR_INVALID_RESPONSE_STATUS);
}

/* The session ended and the mail in hand has no result: what can be said of it? */
static void report_leftover(const char *relay_fault)
{
    if (agent.job.done || agent.carried)
        return;
    replies_finish(&agent.replies);
    if (report_reply())
        return;
    if (agent.job.go)
        agent_put_result(OUTCOME_UNKNOWN, 0, "the connection was lost after the final dot");
    else if (agent.job.given)
        agent_put_result(OUTCOME_DEFERRED, 0, "the connection was lost within the mail");
    else if (beyond_libesmtp())
        agent.by_curl = agent.carried = true;
    else
        put_fault(relay_fault);
}

void session_run(void)
{
    smtp_session_t session;
    g_autofree char *relay_fault = NULL;

    agent.mails = 0;
    replies_begin(&agent.replies);
    tls_begin(&agent.secure);
    agent_put_stage(STAGE_CONNECT);
    session = open_session();
    add_mail(session);
    smtp_start_session(session); /* what it returns says nothing */
    dial_over(agent.dialled);
    relay_fault = relay_end(g_steal_pointer(&agent.relay));
    report_leftover(relay_fault);
    smtp_destroy_session(session);
    agent_put_stage(STAGE_CONNECT); /* nothing is open any more */
}
