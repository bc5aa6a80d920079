/*
 * The agent: one process, one SMTP connection at a time, many mails.
 *
 *   JOB ──▶ session: connect ▶ STARTTLS ▶ AUTH ▶ ┬▶ MAIL ▶ RCPT ▶ body ▶ ASK ▶ GO ▶ dot ▶ RESULT
 *                                                └──────────── next JOB ◀───────────────────┘
 *
 * The next mail is added inside the event that ends the one before, which is
 * what makes libesmtp keep its connection.  It frees nothing until the session
 * is destroyed (4 KB a mail), so a session ends after SESSION_MAILS.
 */
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <stddef.h>

#include <auth-client.h>
#include <libesmtp.h>

#include <arpa/inet.h>
#include <errno.h>
#include <glib.h>
#include <jansson.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "channels/channel.h"
#include "channels/mail/pool.h"
#include "channels/mail/by_curl.h"
#include "channels/mail/relay.h"
#include "channels/mail/replies.h"
#include "channels/mail/wire.h"

#define SESSION_MAILS 100
#define IDLE_MS       5000
#define QUIT_MS       2000L
#define TICKETS_MOST  32768 /* bytes; no server says so much before it is spoken to */
#define FOR_EVER_MS                                                                                                    \
    (24L * 3600 * 1000) /* the provider's deadlines kill us long before: libesmtp's own leave holes in a body */

struct job {
    char *bytes; /* the whole frame: from NUL to NUL mail */
    const char *from, *to, *mail;
    size_t len;
    bool given, asked, go, done;
    long serial; /* goes with the message: events of one that was refused may come after the next was added */
};

static struct {
    char *host, *user, *password, *hello, *ca_file;
    int port;
    enum email_tls tls;
    SSL_CTX *ctx;
    auth_context_t auth;

    struct job job;
    bool carried; /* the job in hand came within a session that cannot send it */
    int dialled;  /* the port that libesmtp was given: the server's, or the local relay's */
    int mails;    /* in this session */
    int smtp_fd;  /* libesmtp hides it; found among our descriptors */
    bool deaf;    /* see hear() */
    struct replies replies;
    bool by_curl; /* this server's replies are beyond libesmtp: libcurl sends to it */
    SSL *ssl;
    bool by_address; /* the certificate must have the host's address, not its name */
    long verify;     /* why its certificate was refused, X509_V_OK */
} a;

/* ---------------------------------------------------------------- frames */

static bool read_all(void *to, size_t len)
{
    for (char *p = to; len;) {
        ssize_t n = read(SMTP_AGENT_FD, p, len);
        if (n <= 0 && !(n < 0 && errno == EINTR))
            return false;
        if (n > 0)
            p += n, len -= (size_t)n;
    }
    return true;
}

static void put_frame(enum smtp_frame type, const void *bytes, size_t len)
{
    struct smtp_head head = { type, (uint32_t)len };
    struct iovec iov[] = { { &head, sizeof head }, { (void *)bytes, len } };

    if (writev(SMTP_AGENT_FD, iov, 2) != (ssize_t)(sizeof head + len))
        _exit(0); /* the provider has gone */
}

/* The next frame, or the end: whoever started us has closed its side. */
static char *get_frame(struct smtp_head *head)
{
    char *bytes;

    if (!read_all(head, sizeof *head))
        _exit(0);
    bytes = g_malloc(head->len + 1);
    if (!read_all(bytes, head->len))
        _exit(0);
    bytes[head->len] = '\0';
    return bytes;
}

static void put_stage(enum smtp_stage stage)
{
    put_frame(FRAME_STAGE, &(uint32_t){ stage }, sizeof(uint32_t));
}

static void put_whole_result(const struct outcome *o)
{
    struct smtp_result r = { .kind = o->kind, .code = o->code, .crowded = o->crowded };

    if (a.job.done)
        return;
    a.job.done = true;
    g_strlcpy(r.detail, o->detail, sizeof r.detail);
    put_frame(FRAME_RESULT, &r, sizeof r);
}

static void put_result(enum outcome_kind kind, int code, const char *detail)
{
    struct outcome o = { .kind = kind, .code = code };

    g_strlcpy(o.detail, detail, sizeof o.detail);
    put_whole_result(&o);
}

/* A refusal, by what it says.  Where the server closes a connection that has carried mails, the next one is simply
 * opened; where it does not let us in, it may bear no more connections than are open. */
static void put_refusal(enum reply_step step, int code, const char *line)
{
    struct outcome o = { .kind = reply_judge(step, code, line), .code = code };

    if (code == 421 && a.mails > 1)
        o.kind = OUTCOME_RETURNED;
    o.crowded = o.kind == OUTCOME_FAULT && step <= REPLY_EHLO && (code == 421 || code / 100 == 4);
    g_strlcpy(o.detail, line, sizeof o.detail);
    put_whole_result(&o);
}

static void take_job(void)
{
    struct smtp_head head;

    g_free(a.job.bytes);
    a.job = (struct job){ .serial = a.job.serial + 1, .bytes = get_frame(&head) };
    if (head.type != FRAME_JOB)
        _exit(1);
    a.job.from = a.job.bytes;
    a.job.to = a.job.from + strlen(a.job.from) + 1;
    a.job.mail = a.job.to + strlen(a.job.to) + 1;
    a.job.len = head.len - (size_t)(a.job.mail - a.job.bytes);
}

/* ---------------------------------------------------------------- one mail */

/* The commit question: the body is out, the final dot is not. */
static bool ask(void)
{
    struct smtp_head head;

    put_frame(FRAME_ASK, "", 0);
    g_free(get_frame(&head));
    a.job.asked = true;
    a.job.go = head.type == FRAME_GO;
    return a.job.go;
}

static const char *on_body(void **ctx, int *len, void *arg)
{
    if (!len) { /* rewind */
        a.job.given = false;
        return NULL;
    }
    if (!a.job.given) {
        a.job.given = true;
        *len = (int)a.job.len;
        errno = 0;
        return a.job.mail;
    }
    *len = 0;
    if (!a.job.asked && !ask()) {
        put_result(OUTCOME_STOPPED, 0, "stopped before the final dot");
        errno = ECANCELED; /* libesmtp drops the connection without the dot */
        return NULL;
    }
    errno = a.job.go ? 0 : ECANCELED;
    return NULL;
}

static void add_mail(smtp_session_t session)
{
    smtp_message_t message = smtp_add_message(session);

    smtp_set_reverse_path(message, a.job.from);
    smtp_add_recipient(message, a.job.to);
    smtp_size_set_estimate(message, a.job.len);
    smtp_set_messagecb(message, on_body, NULL);
    smtp_message_set_application_data_release(message, (void *)a.job.serial, NULL);
    replies_next(&a.replies);
    a.mails++;
}

static bool needs_utf8(void)
{
    return smtp_utf8_needed(a.job.to) || smtp_utf8_needed(a.job.from);
}

/* No further mail in this session: QUIT follows, whose answer libesmtp awaits as long as that to a final dot. */
static void leave(smtp_session_t session)
{
    smtp_set_timeout(session, Timeout_DATA2 | Timeout_OVERRIDE_RFC2822_MINIMUM, QUIT_MS);
}

/* Waits for the next mail with the connection kept open; adds it.  Called from inside an event. */
static void feed_next(smtp_session_t session)
{
    struct pollfd fds[] = { { SMTP_AGENT_FD, POLLIN, 0 }, { a.smtp_fd, POLLIN, 0 } };
    bool full = a.mails >= SESSION_MAILS || a.replies.first.code == 421;

    while (!full && poll(fds, 2, IDLE_MS) < 0 && errno == EINTR)
        ;
    if (full || fds[1].revents || !fds[0].revents) { /* the server hung up, or there is nothing to do */
        leave(session);
        return;
    }
    take_job();
    if (needs_utf8()) {
        a.carried = true;
        leave(session);
        return;
    }
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
    const struct reply *first = &a.replies.first;
    char line[256];

    if (first->code)
        put_refusal(first->step, first->code, first->line);
    else
        put_refusal(step, status->code, reply_line(status, line));
}

static void run_by_curl(void);

/* Libesmtp goes on after a refused log-in; we do not.  Of the mechanisms it has only PLAIN works everywhere. */
static void log_in_failed(int code)
{
    if (a.replies.other_login)
        run_by_curl();
    else
        put_result(OUTCOME_FAULT, code,
                   *a.replies.login ? a.replies.login : "the server did not offer a log-in that this program knows");
    _exit(0);
}

static void on_mail_status(smtp_session_t session, smtp_message_t message)
{
    const smtp_status_t *status = smtp_reverse_path_status(message);

    if (a.user && !a.replies.authed)
        log_in_failed(status->code);
    if (a.mails == 1)
        put_stage(STAGE_MAIL);
    if (status->code / 100 == 2 || a.job.done)
        return;
    refuse(REPLY_MAIL, status);
    feed_next(session);
}

static void on_recipient_status(smtp_session_t session, smtp_recipient_t recipient)
{
    const smtp_status_t *status = smtp_recipient_status(recipient);

    if (a.job.done)
        return;
    if (status->code / 100 == 2 && a.job.len == 0) { /* a probe goes no further */
        put_result(OUTCOME_STOPPED, status->code, "answers");
        _exit(0);
    }
    if (status->code / 100 == 2)
        return;
    refuse(REPLY_RCPT, status);
    feed_next(session); /* after a refused recipient the sent event comes too late */
}

/* What was said of the whole mail, or against it before; true when something was. */
static bool report_reply(void)
{
    const struct reply *body = &a.replies.body, *first = &a.replies.first;

    if (body->code / 100 == 2 && a.job.go)
        put_result(OUTCOME_SENT, body->code, body->line);
    else if (first->code)
        put_refusal(first->step, first->code, first->line);
    else if (body->code / 100 == 2 || (body->code && !a.job.go))
        put_result(OUTCOME_DEFERRED, body->code, "the server answered before the mail was complete");
    else
        return false;
    return true;
}

static void on_message_sent(smtp_session_t session, smtp_message_t message)
{
    bool asked = a.job.asked;

    if (a.job.done ||
        smtp_message_get_application_data(message) != (void *)a.job.serial) /* a refused one, reported before */
        return;
    if (report_reply() && asked)
        feed_next(session);
    else /* refused before the body: libesmtp has chosen its next state already */
        leave(session);
}

/* ---------------------------------------------------------------- the connection */

static void on_connected(void)
{
    a.smtp_fd = relay_socket(a.dialled);
    /* with Nagle's algorithm a mail larger than one buffer waits 40 ms for an acknowledgement */
    setsockopt(a.smtp_fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
    put_stage(STAGE_GREETING);
}

/* Tickets of TLS 1.3 make the socket readable, and libesmtp would read before it has sent its EHLO, and wait for ever.
 * So, until that is written, what comes does not wake it. */
static void hear(bool anything)
{
    int enough = anything ? 1 : TICKETS_MOST;
    setsockopt(a.smtp_fd, SOL_SOCKET, SO_RCVLOWAT, &enough, sizeof enough);
    a.deaf = !anything;
}

static void on_tls(SSL *ssl)
{
    if (a.replies.tainted) {
        put_result(OUTCOME_FAULT, 0, "the server sent bytes before the TLS handshake: STARTTLS injection");
        _exit(0);
    }
    hear(false);
}

/* libesmtp compares the certificate with a name that DNS chose.  OpenSSL has compared it with the configured one. */
static bool peer_is_right(void)
{
    return a.tls == EMAIL_TLS_OPPORTUNISTIC ||
           (a.ssl && SSL_get_verify_result(a.ssl) == X509_V_OK && (a.by_address || SSL_get0_peername(a.ssl)));
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
        *va_arg(ap, int *) = a.tls == EMAIL_TLS_OPPORTUNISTIC;
        break;
    case SMTP_EV_NO_PEER_CERTIFICATE: *va_arg(ap, int *) = a.tls == EMAIL_TLS_OPPORTUNISTIC; break;
    case SMTP_EV_WRONG_PEER_CERTIFICATE: *va_arg(ap, int *) = peer_is_right(); break;
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
    if (a.deaf && writing == SMTP_CB_WRITING)
        hear(true);
    if (writing == SMTP_CB_READING && !a.job.given)
        hide_chunking((char *)buf, (size_t)len);
    if (writing == SMTP_CB_READING)
        replies_read(&a.replies, buf, (size_t)len);
    else if (writing == SMTP_CB_WRITING)
        replies_wrote(&a.replies, buf, (size_t)len, a.job.given);
}

static int on_login(auth_client_request_t request, char **result, int fields, void *arg)
{
    for (int i = 0; i < fields; i++)
        result[i] = request[i].flags & AUTH_USER ? a.user : request[i].flags & AUTH_PASS ? a.password : NULL;
    return 1;
}

/* ---------------------------------------------------------------- sessions */

/* The relay's thread, or TLS that cannot be made: nothing more comes of this agent. */
static void relay_fault(const char *what, const SSL *ssl)
{
    long verify = ssl ? SSL_get_verify_result(ssl) : X509_V_OK;
    unsigned long error = ERR_get_error();
    g_autofree char *line =
        verify != X509_V_OK
            ? g_strdup_printf("the server's certificate is not accepted: %s", X509_verify_cert_error_string(verify))
            : g_strdup_printf("%s: %s", what, error ? ERR_reason_error_string(error) : strerror(errno));
    put_result(OUTCOME_FAULT, 0, line);
    _exit(0);
}

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

    a.dialled = a.port;
    if (a.tls == EMAIL_TLS_IMPLICIT)
        a.dialled = relay_start(&(struct relay_server){ a.host, a.port, a.ctx, relay_fault });
    server = g_strdup_printf("%s:%d", a.tls == EMAIL_TLS_IMPLICIT ? "127.0.0.1" : a.host, a.dialled);
    smtp_set_server(session, server);
    if (a.hello)
        smtp_set_hostname(session, a.hello);
    set_timeouts(session);
    smtp_set_eventcb(session, on_event, NULL);
    smtp_set_monitorcb(session, on_wire, NULL, 0);
    if (a.tls == EMAIL_TLS_REQUIRED || a.tls == EMAIL_TLS_OPPORTUNISTIC) {
        smtp_starttls_enable(session, a.tls == EMAIL_TLS_REQUIRED ? Starttls_REQUIRED : Starttls_ENABLED);
        smtp_starttls_set_ctx(session, a.ctx);
    }
    if (a.auth)
        smtp_auth_set_context(session, a.auth);
    return session;
}

/* Why the session broke: the certificate, the log-in, or what libesmtp says. */
static void put_fault(void)
{
    char text[160], line[256];
    const struct reply *now = &a.replies.now;

    if (a.verify != X509_V_OK)
        g_snprintf(line, sizeof line, "the server's certificate is not accepted: %s",
                   X509_verify_cert_error_string(a.verify));
    else if (*a.replies.login)
        g_strlcpy(line, a.replies.login, sizeof line);
    else
        g_snprintf(line, sizeof line, "%s%s%s", smtp_strerror(smtp_errno(), text, sizeof text) ? text : "no connection",
                   now->code ? ", at: " : "", now->line);
    put_result(a.mails > 1 ? OUTCOME_RETURNED : OUTCOME_FAULT, 0, line);
}

/* A reply in a form that libesmtp refuses to read, though nothing was refused: libcurl reads it. */
static bool beyond_libesmtp(void)
{
    int error = smtp_errno();
    return !a.job.asked && !a.job.given && a.tls != EMAIL_TLS_IMPLICIT && a.verify == X509_V_OK &&
           (error == SMTP_ERR_INVALID_RESPONSE_SYNTAX || error == SMTP_ERR_STATUS_MISMATCH ||
            error == SMTP_ERR_INVALID_RESPONSE_STATUS);
}

/* The session ended and the mail in hand has no result: what can be said of it? */
static void report_leftover(void)
{
    if (a.job.done || a.carried)
        return;
    replies_finish(&a.replies);
    if (report_reply())
        return;
    if (a.job.go)
        put_result(OUTCOME_UNKNOWN, 0, "the connection was lost after the final dot");
    else if (a.job.given)
        put_result(OUTCOME_DEFERRED, 0, "the connection was lost within the mail");
    else if (beyond_libesmtp())
        a.by_curl = a.carried = true;
    else
        put_fault();
}

static void run_session(void)
{
    smtp_session_t session;

    a.mails = 0;
    replies_begin(&a.replies);
    a.ssl = NULL;
    a.verify = X509_V_OK;
    a.smtp_fd = -1;
    put_stage(STAGE_CONNECT);
    session = open_session();
    add_mail(session);
    smtp_start_session(session); /* what it returns says nothing */
    report_leftover();
    smtp_destroy_session(session);
    put_stage(STAGE_CONNECT); /* nothing is open any more */
}

static void on_utf8_mail(void)
{
    put_stage(STAGE_MAIL);
}

static void run_by_curl(void)
{
    struct curl_server at = { .host = a.host,
                              .user = a.user,
                              .password = a.password,
                              .hello = a.hello,
                              .ca_file = a.ca_file,
                              .port = a.port,
                              .tls = a.tls };
    struct curl_mail mail = { a.job.from, a.job.to, a.job.mail, a.job.len, on_utf8_mail, ask, put_whole_result };

    put_stage(STAGE_CONNECT);
    smtp_by_curl(&at, &mail);
}

/* No SNI is sent otherwise. */
static void on_handshake(const SSL *ssl, int where, int ret)
{
    if (where & SSL_CB_EXIT && ret <= 0 && a.tls != EMAIL_TLS_OPPORTUNISTIC)
        a.verify = SSL_get_verify_result(ssl);
    if (!(where & SSL_CB_HANDSHAKE_START))
        return;
    a.ssl = (SSL *)ssl;
    if (a.tls != EMAIL_TLS_IMPLICIT)
        SSL_set_tlsext_host_name((SSL *)ssl, a.host);
}

static void make_tls(const char *ca_file)
{
    /* our own context, always: libesmtp frees its built-in one twice */
    a.ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(a.ctx, TLS1_2_VERSION);
    SSL_CTX_set_mode(a.ctx, SSL_MODE_AUTO_RETRY);
    SSL_CTX_clear_mode(a.ctx, SSL_MODE_ENABLE_PARTIAL_WRITE);
    SSL_CTX_set_info_callback(a.ctx, on_handshake);
    if (a.tls == EMAIL_TLS_OPPORTUNISTIC) {
        SSL_CTX_set_verify(a.ctx, SSL_VERIFY_NONE, NULL);
        return;
    }
    if (ca_file ? !SSL_CTX_load_verify_locations(a.ctx, ca_file, NULL) : !SSL_CTX_set_default_verify_paths(a.ctx))
        relay_fault("cannot read the certificates of authorities", NULL);
    X509_VERIFY_PARAM *param = SSL_CTX_get0_param(a.ctx);
    a.by_address = X509_VERIFY_PARAM_set1_ip_asc(param, a.host);
    if (!a.by_address)
        X509_VERIFY_PARAM_set1_host(param, a.host, 0);
    ERR_clear_error();
    SSL_CTX_set_verify(a.ctx, SSL_VERIFY_PEER, NULL);
}

static char *copy_of(const json_t *settings, const char *key)
{
    return g_strdup(json_string_value(json_object_get(settings, key)));
}

/* The address that faces the server, as RFC 5321, 4.1.3, writes it. */
static char *own_literal(void)
{
    struct addrinfo hints = { .ai_socktype = SOCK_DGRAM }, *list = NULL;
    struct sockaddr_storage own;
    socklen_t len = sizeof own;
    char text[INET6_ADDRSTRLEN] = "127.0.0.1";
    bool v6 = false;

    if (getaddrinfo(a.host, "25", &hints, &list) == 0) {
        int fd = socket(list->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd >= 0 && connect(fd, list->ai_addr, list->ai_addrlen) == 0 &&
            getsockname(fd, (struct sockaddr *)&own, &len) == 0) {
            getnameinfo((struct sockaddr *)&own, len, text, sizeof text, NULL, 0, NI_NUMERICHOST);
            v6 = own.ss_family == AF_INET6;
        }
        if (fd >= 0)
            close(fd);
        freeaddrinfo(list);
    }
    text[strcspn(text, "%")] = '\0';
    return g_strdup_printf(v6 ? "[IPv6:%s]" : "[%s]", text);
}

/* The name for EHLO: the host's full one, else an address literal; a bare host name is refused by strict servers. */
static char *own_name(void)
{
    char host[256] = "";
    struct addrinfo hints = { .ai_flags = AI_CANONNAME }, *list = NULL;
    char *full = NULL;

    gethostname(host, sizeof host - 1);
    if (getaddrinfo(host, NULL, &hints, &list) == 0 && list->ai_canonname && strchr(list->ai_canonname, '.') &&
        g_ascii_strncasecmp(list->ai_canonname, "localhost", 9) != 0)
        full = g_strdup(list->ai_canonname);
    if (list)
        freeaddrinfo(list);
    return full ? full : own_literal();
}

static void take_settings(void)
{
    struct smtp_head head;
    g_autofree char *text = get_frame(&head);
    json_t *settings = json_loads(text, 0, NULL);

    if (head.type != FRAME_SETTINGS || !settings)
        _exit(1);
    a.host = copy_of(settings, "host");
    a.user = copy_of(settings, "user");
    a.password = copy_of(settings, "password");
    a.hello = copy_of(settings, "hello");
    if (!a.hello)
        a.hello = own_name();
    a.port = (int)json_integer_value(json_object_get(settings, "port"));
    a.tls = (enum email_tls)json_integer_value(json_object_get(settings, "tls"));
    a.ca_file = copy_of(settings, "ca_file");
    if (a.tls != EMAIL_TLS_NONE)
        make_tls(a.ca_file);
    if (a.user) {
        auth_client_init();
        a.auth = auth_create_context();
        auth_set_mechanism_flags(a.auth, AUTH_PLUGIN_PLAIN, 0);
        auth_set_interact_cb(a.auth, on_login, NULL);
    }
    memset(text, 0, head.len);
    json_decref(settings);
}

int smtp_agent_main(int parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        return 0;
    prctl(PR_SET_DUMPABLE, 0);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, SIG_IGN); /* a terminal's Ctrl-C is the provider's to act on */
    signal(SIGTERM, SIG_DFL);
    setenv("XDG_CONFIG_DIR", "/nonexistent", 1); /* libesmtp looks for client certificates there */
    setenv("HOME", "/nonexistent", 1);
    take_settings();
    for (;;) {
        if (!a.carried)
            take_job();
        a.carried = false;
        if (needs_utf8() || a.by_curl)
            run_by_curl();
        else
            run_session();
    }
}
