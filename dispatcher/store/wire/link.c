#include "dispatcher/store/wire/link.h"

#include <errno.h>
#include <glib.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "dispatcher/store/wire/resolve.h"

#define READ_SIZE  65536
#define READS_MOST 4     /* in a row: others want their turn */
#define GONE_MOST  65536 /* bytes that have gone and are still kept */

/*
 *   CONNECTING ──▶ (SHAKING) ──▶ OPEN ──▶ DEAD
 */
struct link {
    struct ev_loop *loop;
    int fd;
    enum { CONNECTING, SHAKING, OPEN, DEAD } state;
    ev_io watch;
    SSL *tls;
    bool wants_write; /* TLS does, whatever we want */
    GByteArray *out;
    size_t written; /* of it */
    struct link_events events;
    bool inside, closed; /* closed from inside a callback: freed behind it */
};

static void watch_for(struct link *l, int events)
{
    if (ev_is_active(&l->watch) && l->watch.events == events)
        return;
    ev_io_stop(l->loop, &l->watch);
    ev_io_set(&l->watch, l->fd, events);
    ev_io_start(l->loop, &l->watch);
}

static void watch_again(struct link *l)
{
    if (l->state == OPEN || l->state == SHAKING)
        watch_for(l, EV_READ | (l->wants_write || l->written < l->out->len ? EV_WRITE : 0));
}

static void died(struct link *l, const char *why)
{
    if (l->state == DEAD)
        return;
    l->state = DEAD;
    ev_io_stop(l->loop, &l->watch);
    if (!l->closed)
        l->events.down(l->events.arg, why);
}

/* ---------------------------------------------------------------- TLS */

/* False when it has failed; what it waits for is noted. */
static bool tls_goes_on(struct link *l, int result, const char **why)
{
    int error = SSL_get_error(l->tls, result);
    long verified = SSL_get_verify_result(l->tls);

    l->wants_write = error == SSL_ERROR_WANT_WRITE;
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
        return true;
    *why = verified != X509_V_OK            ? X509_verify_cert_error_string(verified)
           : error == SSL_ERROR_ZERO_RETURN ? "the server has closed the connection"
           : error == SSL_ERROR_SYSCALL     ? "the connection broke off"
                                            : ERR_reason_error_string(ERR_peek_error());
    ERR_clear_error();
    if (!*why)
        *why = "TLS has failed";
    return false;
}

static void shake(struct link *l)
{
    const char *why;

    ERR_clear_error();
    int result = SSL_do_handshake(l->tls);
    if (result == 1) {
        l->state = OPEN;
        l->wants_write = false;
        l->events.up(l->events.arg);
    } else if (!tls_goes_on(l, result, &why)) {
        died(l, why);
    }
}

static bool begin_tls(struct link *l, const struct link_target *t)
{
    l->tls = SSL_new(t->tls);
    SSL_set_fd(l->tls, l->fd);
    SSL_set_connect_state(l->tls);
    if (resolve_is_number(t->name))
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(l->tls), t->name) == 1;
    SSL_set_tlsext_host_name(l->tls, t->name);
    return SSL_set1_host(l->tls, t->name) == 1;
}

/* ---------------------------------------------------------------- bytes */

/* How many bytes came or went; 0: none for now; -1 with *why: it is over. */
static ssize_t read_some(struct link *l, char *to, const char **why)
{
    ssize_t n;

    ERR_clear_error();
    if (l->tls) {
        n = SSL_read(l->tls, to, READ_SIZE);
        return n > 0 ? n : tls_goes_on(l, (int)n, why) ? 0 : -1;
    }
    n = recv(l->fd, to, READ_SIZE, 0);
    if (n > 0)
        return n;
    *why = n == 0 ? "the server has closed the connection" : g_strerror(errno);
    return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

static ssize_t write_some(struct link *l, const char **why)
{
    const guint8 *from = l->out->data + l->written;
    size_t len = l->out->len - l->written;
    ssize_t n;

    ERR_clear_error();
    if (l->tls) {
        n = SSL_write(l->tls, from, (int)MIN(len, 1 << 20));
        return n > 0 ? n : tls_goes_on(l, (int)n, why) ? 0 : -1;
    }
    n = send(l->fd, from, len, MSG_NOSIGNAL);
    if (n >= 0)
        return n;
    *why = g_strerror(errno);
    return errno == EAGAIN || errno == EINTR ? 0 : -1;
}

/* False when the link has died of it; that is told from the loop. */
static bool write_out(struct link *l, const char **why)
{
    while (l->written < l->out->len) {
        ssize_t n = write_some(l, why);
        if (n < 0)
            return false;
        if (n == 0)
            break;
        l->written += (size_t)n;
    }
    if (l->written == l->out->len || l->written > GONE_MOST) {
        g_byte_array_remove_range(l->out, 0, (guint)l->written);
        l->written = 0;
    }
    return true;
}

static void read_in(struct link *l)
{
    static char bytes[READ_SIZE];
    const char *why = NULL;

    for (int i = 0; i < READS_MOST && l->state == OPEN && !l->closed; i++) {
        ssize_t n = read_some(l, bytes, &why);
        if (n < 0)
            died(l, why);
        if (n <= 0)
            return;
        l->events.bytes(l->events.arg, bytes, (size_t)n);
        if (n < READ_SIZE && !(l->tls && SSL_pending(l->tls)))
            return;
    }
    if (l->state == OPEN && l->tls && SSL_pending(l->tls)) /* the socket would not say so */
        ev_feed_event(l->loop, &l->watch, EV_READ);
}

static void connected(struct link *l)
{
    int error = 0;
    socklen_t len = sizeof error;

    getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &error, &len);
    if (error) {
        died(l, g_strerror(error));
        return;
    }
    l->state = l->tls ? SHAKING : OPEN;
    if (l->tls)
        shake(l);
    else
        l->events.up(l->events.arg);
}

static void free_link(struct link *l)
{
    ev_io_stop(l->loop, &l->watch);
    SSL_free(l->tls);
    close(l->fd);
    g_byte_array_free(l->out, TRUE);
    g_free(l);
}

static void on_io(struct ev_loop *loop, ev_io *w, int revents)
{
    struct link *l = w->data;
    const char *why = NULL;

    l->inside = true;
    if (l->state == CONNECTING)
        connected(l);
    else if (l->state == SHAKING)
        shake(l);
    else if (!write_out(l, &why))
        died(l, why);
    else
        read_in(l);
    l->inside = false;
    if (l->closed)
        free_link(l);
    else
        watch_again(l);
}

/* ---------------------------------------------------------------- the face */

/* Once the connection is there, or an error is. */
static int begin_connecting(int fd, const struct link_target *t)
{
    struct sockaddr_un local = { .sun_family = AF_UNIX };
    struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM }, *found;
    char port[8];
    int one = 1;

    if (t->path) {
        if (g_strlcpy(local.sun_path, t->path, sizeof local.sun_path) >= sizeof local.sun_path)
            return ENAMETOOLONG;
        return connect(fd, (struct sockaddr *)&local, sizeof local) == 0 ? 0 : errno;
    }
    snprintf(port, sizeof port, "%d", t->port);
    if (getaddrinfo(t->address, port, &hints, &found) != 0)
        return EADDRNOTAVAIL;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
    int error = connect(fd, found->ai_addr, found->ai_addrlen) == 0 ? 0 : errno;
    freeaddrinfo(found);
    return error == EINPROGRESS ? 0 : error;
}

struct link *link_open(struct ev_loop *loop, const struct link_target *t, const struct link_events *events,
                       const char **why)
{
    int family = t->path ? AF_UNIX : strchr(t->address, ':') ? AF_INET6 : AF_INET;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int error = fd < 0 ? errno : begin_connecting(fd, t);

    if (error) {
        *why = g_strerror(error);
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    struct link *l = g_new0(struct link, 1);
    *l = (struct link){ .loop = loop, .fd = fd, .events = *events, .out = g_byte_array_new() };
    ev_init(&l->watch, on_io);
    l->watch.data = l;
    if (t->tls && !begin_tls(l, t)) {
        *why = "the server's name cannot be checked";
        free_link(l);
        return NULL;
    }
    watch_for(l, EV_WRITE);
    return l;
}

void link_send(struct link *l, const char *bytes, size_t len)
{
    g_byte_array_append(l->out, (const guint8 *)bytes, (guint)len);
}

void link_flush(struct link *l)
{
    const char *why = NULL;

    if (l->state != OPEN || l->written == l->out->len || (l->watch.events & EV_WRITE))
        return;
    if (!write_out(l, &why)) /* reading will say why, from the loop */
        ev_feed_event(l->loop, &l->watch, EV_READ);
    watch_again(l);
}

void link_close(struct link *l)
{
    if (!l)
        return;
    l->closed = true;
    if (!l->inside)
        free_link(l);
    else
        ev_io_stop(l->loop, &l->watch);
}
