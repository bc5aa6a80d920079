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
#include "channels/mail/utf8.h"
#include "channels/mail/wire.h"

#define SESSION_MAILS 100
#define IDLE_MS       5000
#define QUIT_MS       2000L
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
    bool tainted; /* bytes came behind the reply to STARTTLS (injection) */
    bool tls_asked, auth_asked, authed;
    SSL *ssl;
    char last_reply[256];
    int last_code;
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

static void put_result(enum outcome_kind kind, int code, const char *detail)
{
    struct smtp_result r = { .kind = kind, .code = code };

    if (a.job.done)
        return;
    a.job.done = true;
    g_strlcpy(r.detail, detail, sizeof r.detail);
    put_frame(FRAME_RESULT, &r, sizeof r);
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
    a.last_code = 0; /* only what is said from here on is about the whole mail */
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
    bool full = a.mails >= SESSION_MAILS || a.last_code == 421;

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

/* MAIL refused with these says that we, not the message, are unwelcome. */
static bool is_login_matter(const smtp_status_t *s)
{
    return s->code == 530 || s->code == 535 || s->code == 538 ||
           (s->enh_class == 5 && s->enh_subject == 7 &&
            (s->enh_detail == 0 || s->enh_detail == 8 || s->enh_detail == 9) && s->code != 554 && s->code != 550);
}

static void on_mail_status(smtp_session_t session, smtp_message_t message)
{
    const smtp_status_t *status = smtp_reverse_path_status(message);
    char line[256];

    a.last_code = status->code;
    if (a.user && !a.authed) { /* libesmtp goes on after a refused log-in; we do not */
        put_result(OUTCOME_FAULT, a.last_code,
                   *a.last_reply ? a.last_reply : "the server refused or did not offer the log-in");
        _exit(0);
    }
    if (a.mails == 1)
        put_stage(STAGE_MAIL);
    if (status->code / 100 == 2 || a.job.done)
        return;
    reply_line(status, line);
    if (status->code == 421 || is_login_matter(status))
        put_result(OUTCOME_FAULT, status->code, line);
    else
        put_result(status->code / 100 == 4 ? OUTCOME_DEFERRED : OUTCOME_REFUSED, status->code, line);
    feed_next(session);
}

static void on_recipient_status(smtp_session_t session, smtp_recipient_t recipient)
{
    const smtp_status_t *status = smtp_recipient_status(recipient);
    char line[256];

    a.last_code = status->code;
    if (status->code / 100 == 2 || a.job.done)
        return;
    reply_line(status, line);
    put_result(status->code == 421       ? OUTCOME_FAULT
               : status->code / 100 == 4 ? OUTCOME_DEFERRED
                                         : OUTCOME_REFUSED,
               status->code, line);
    feed_next(session); /* after a refused recipient the sent event comes too late */
}

/* The reply after the dot, as far as it can be told; true when there was one. */
static bool report_reply(const smtp_status_t *status)
{
    char line[256];
    int class = status ? status->code / 100 : 0;

    if (!status || (class != 2 && class != 4 && class != 5))
        return false;
    reply_line(status, line);
    if (!a.job.go && class == 2)
        put_result(OUTCOME_DEFERRED, status->code, "the server answered before the mail was complete");
    else
        put_result(class == 2 ? OUTCOME_SENT : class == 4 ? OUTCOME_DEFERRED : OUTCOME_REFUSED, status->code, line);
    return true;
}

static void on_message_sent(smtp_session_t session, smtp_message_t message)
{
    bool asked = a.job.asked;

    if (a.job.done ||
        smtp_message_get_application_data(message) != (void *)a.job.serial) /* a refused one, reported before */
        return;
    const smtp_status_t *status = smtp_message_transfer_status(message);
    a.last_code = status ? status->code : 0;
    if (report_reply(status) && asked)
        feed_next(session);
    else /* refused before the body: libesmtp has chosen its next state already */
        leave(session);
}

/* ---------------------------------------------------------------- the connection */

/* libesmtp tells nobody its socket: it is the one whose other end is the port that it was given. */
static int find_socket(int port)
{
    for (int fd = SMTP_AGENT_FD + 1; fd < 64; fd++) {
        union {
            struct sockaddr any;
            struct sockaddr_in in;
            struct sockaddr_in6 in6;
        } peer;
        socklen_t len = sizeof peer;
        if (getpeername(fd, &peer.any, &len) == 0 &&
            ((peer.any.sa_family == AF_INET && ntohs(peer.in.sin_port) == port) ||
             (peer.any.sa_family == AF_INET6 && ntohs(peer.in6.sin6_port) == port)))
            return fd;
    }
    return -1;
}

static void on_connected(void)
{
    a.smtp_fd = find_socket(a.dialled);
    /* with Nagle's algorithm a mail larger than one buffer waits 40 ms for an acknowledgement */
    setsockopt(a.smtp_fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
    put_stage(STAGE_GREETING);
}

/* TLS 1.3 tickets make the socket readable; libesmtp would then read before it has sent its EHLO, and wait for ever. */
static void drain_tickets(SSL *ssl)
{
    struct pollfd fd = { a.smtp_fd, POLLIN, 0 };
    char c;

    while (poll(&fd, 1, 3) > 0 && SSL_peek(ssl, &c, 1) <= 0 && SSL_get_error(ssl, -1) == SSL_ERROR_WANT_READ)
        ;
    ERR_clear_error();
    errno = 0;
}

static void on_tls(SSL *ssl)
{
    if (a.tainted) {
        put_result(OUTCOME_FAULT, 0, "the server sent bytes before the TLS handshake: STARTTLS injection");
        _exit(0);
    }
    drain_tickets(ssl);
}

/* libesmtp compares the certificate with a name that DNS chose.  OpenSSL has compared it with the configured one. */
static bool peer_is_right(void)
{
    return a.tls == EMAIL_TLS_OPPORTUNISTIC ||
           (a.ssl && SSL_get_verify_result(a.ssl) == X509_V_OK && SSL_get0_peername(a.ssl));
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

static void note_reply(const char *buf, int len)
{
    int code = len >= 3 && g_ascii_isdigit(buf[0]) ? atoi(buf) : 0;

    if (code)
        a.last_code = code;
    if (a.auth_asked) {
        if (code == 235)
            a.authed = true;
        if (code >= 400)
            g_snprintf(a.last_reply, sizeof a.last_reply, "log-in refused: %.*s",
                       (int)strcspn(buf, "\r\n") > len ? len : (int)strcspn(buf, "\r\n"), buf);
        if (code != 334)
            a.auth_asked = false;
    }
    if (a.tls_asked) {
        const char *end = memchr(buf, '\n', (size_t)len);
        a.tainted |= end && end + 1 < buf + len;
        a.tls_asked = false;
    }
}

static void on_wire(const char *buf, int len, int writing, void *arg)
{
    if (writing == SMTP_CB_READING)
        note_reply(buf, len);
    else if (writing == SMTP_CB_WRITING && len >= 8 && g_ascii_strncasecmp(buf, "STARTTLS", 8) == 0)
        a.tls_asked = true;
    else if (writing == SMTP_CB_WRITING && len >= 5 && g_ascii_strncasecmp(buf, "AUTH ", 5) == 0)
        a.auth_asked = true;
}

static int on_login(auth_client_request_t request, char **result, int fields, void *arg)
{
    for (int i = 0; i < fields; i++)
        result[i] = request[i].flags & AUTH_USER ? a.user : request[i].flags & AUTH_PASS ? a.password : NULL;
    return 1;
}

/* ---------------------------------------------------------------- TLS from the first byte */

/* libesmtp knows STARTTLS only.  For SMTPS it speaks to this thread over a loopback socket that takes no other caller.
 */
struct relay {
    int listener, port;
};

static void relay_fault(const char *what)
{
    unsigned long error = ERR_get_error();
    g_autofree char *line = g_strdup_printf("%s: %s", what, error ? ERR_reason_error_string(error) : strerror(errno));
    put_result(OUTCOME_FAULT, 0, line);
    _exit(0);
}

static int connect_host(const char *host, int port)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list = NULL;
    char service[8];
    int fd = -1;

    snprintf(service, sizeof service, "%d", port);
    if (getaddrinfo(host, service, &hints, &list) != 0)
        return -1;
    for (struct addrinfo *i = list; i && fd < 0; i = i->ai_next) {
        fd = socket(i->ai_family, i->ai_socktype | SOCK_CLOEXEC, 0);
        if (fd >= 0 && connect(fd, i->ai_addr, i->ai_addrlen) < 0)
            close(fd), fd = -1;
    }
    freeaddrinfo(list);
    return fd;
}

static bool relay_once(SSL *ssl, int server, int client)
{
    struct pollfd fds[] = { { server, POLLIN, 0 }, { client, POLLIN, 0 } };
    char buf[16384];
    int n;

    if (!SSL_pending(ssl) && poll(fds, 2, -1) < 0)
        return errno == EINTR;
    if (SSL_pending(ssl) || fds[0].revents) {
        if ((n = SSL_read(ssl, buf, sizeof buf)) <= 0)
            return SSL_get_error(ssl, n) == SSL_ERROR_WANT_READ;
        if (send(client, buf, (size_t)n, MSG_NOSIGNAL) != n)
            return false;
    }
    if (fds[1].revents) {
        ssize_t got = read(client, buf, sizeof buf);
        if (got <= 0 || SSL_write(ssl, buf, (int)got) != got)
            return false;
    }
    return true;
}

static void *relay_run(void *arg)
{
    struct relay *r = arg;
    struct sockaddr_in caller, own;
    socklen_t len = sizeof caller, own_len = sizeof own;
    int client = accept(r->listener, (struct sockaddr *)&caller, &len);

    close(r->listener);
    /* only our own socket may speak here */
    int mine = find_socket(r->port);
    if (mine < 0 || getsockname(mine, (struct sockaddr *)&own, &own_len) < 0 || own.sin_port != caller.sin_port)
        relay_fault("a stranger called the local relay");
    int server = connect_host(a.host, a.port);
    if (server < 0)
        relay_fault("cannot connect");
    SSL *ssl = SSL_new(a.ctx);
    SSL_set_fd(ssl, server);
    SSL_set_tlsext_host_name(ssl, a.host);
    if (SSL_connect(ssl) != 1)
        relay_fault("TLS handshake failed");
    setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
    while (relay_once(ssl, server, client))
        ;
    SSL_free(ssl);
    close(server);
    close(client);
    g_free(r);
    return NULL;
}

static int relay_start(void)
{
    struct relay *r = g_new0(struct relay, 1);
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof at;
    pthread_t thread = 0;

    r->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(r->listener, (struct sockaddr *)&at, sizeof at) < 0 || listen(r->listener, 1) < 0 ||
        getsockname(r->listener, (struct sockaddr *)&at, &len) < 0 || (r->port = ntohs(at.sin_port)) == 0 ||
        pthread_create(&thread, NULL, relay_run, r) != 0)
        relay_fault("cannot start the local relay");
    pthread_detach(thread);
    return ntohs(at.sin_port);
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

    a.dialled = a.tls == EMAIL_TLS_IMPLICIT ? relay_start() : a.port;
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

/* The session ended and the mail in hand has no result: what can be said of it? */
static void report_leftover(void)
{
    char text[160], line[256];

    if (a.job.done || a.carried)
        return;
    smtp_strerror(smtp_errno(), text, sizeof text);
    if (a.job.go && a.last_code == 250) /* accepted, in a form that libesmtp's parser refuses */
        put_result(OUTCOME_SENT, 250, "250");
    else if (a.job.go)
        put_result(OUTCOME_UNKNOWN, 0, "the connection was lost after the final dot");
    else if (a.job.given)
        put_result(OUTCOME_DEFERRED, a.last_code, "the connection was lost within the mail");
    else {
        snprintf(line, sizeof line, "%s%s%d%s", text, a.last_code ? " (last reply " : "", a.last_code,
                 a.last_code ? ")" : "");
        if (!a.last_code)
            g_strlcpy(line, text, sizeof line);
        put_result(OUTCOME_FAULT, a.last_code, *a.last_reply ? a.last_reply : line);
    }
}

static void run_session(void)
{
    smtp_session_t session;

    a.mails = 0;
    a.tainted = a.tls_asked = a.auth_asked = a.authed = false;
    a.last_code = 0;
    a.last_reply[0] = '\0';
    a.ssl = NULL;
    a.smtp_fd = -1;
    put_stage(STAGE_CONNECT);
    session = open_session();
    add_mail(session);
    smtp_start_session(session); /* what it returns says nothing */
    report_leftover();
    smtp_destroy_session(session);
}

static void on_utf8_mail(void)
{
    put_stage(STAGE_MAIL);
}

static void run_utf8(void)
{
    struct utf8_server at = { .host = a.host,
                              .user = a.user,
                              .password = a.password,
                              .hello = a.hello,
                              .ca_file = a.ca_file,
                              .port = a.port,
                              .tls = a.tls };
    struct utf8_mail mail = { a.job.from, a.job.to, a.job.mail, a.job.len, on_utf8_mail, ask };
    struct outcome outcome;

    put_stage(STAGE_CONNECT);
    smtp_utf8_send(&at, &mail, &outcome);
    put_result(outcome.kind, outcome.code, outcome.detail);
}

/* No SNI is sent otherwise. */
static void on_handshake(const SSL *ssl, int where, int ret)
{
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
        relay_fault("cannot read the certificates of authorities");
    X509_VERIFY_PARAM *param = SSL_CTX_get0_param(a.ctx);
    if (!X509_VERIFY_PARAM_set1_ip_asc(param, a.host))
        X509_VERIFY_PARAM_set1_host(param, a.host, 0);
    ERR_clear_error();
    SSL_CTX_set_verify(a.ctx, SSL_VERIFY_PEER, NULL);
}

static char *copy_of(const json_t *settings, const char *key)
{
    return g_strdup(json_string_value(json_object_get(settings, key)));
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
        if (needs_utf8())
            run_utf8();
        else
            run_session();
    }
}
