#include "channels/mail/relay.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct relay {
    struct relay_server of;
    int listener, port, stop[2]; /* a pipe: whoever closes its end ends the relay */
    pthread_t thread;
    char fault[256];
};

/* Why there is no connection: the first reason counts. */
static void fail(struct relay *r, const char *what, const SSL *ssl)
{
    long verify = ssl ? SSL_get_verify_result(ssl) : X509_V_OK;
    unsigned long error = ERR_get_error();

    if (verify != X509_V_OK)
        g_snprintf(r->fault, sizeof r->fault, "the server's certificate is not accepted: %s",
                   X509_verify_cert_error_string(verify));
    else
        g_snprintf(r->fault, sizeof r->fault, "%s: %s", what, error ? ERR_reason_error_string(error) : strerror(errno));
}

/* ---------------------------------------------------------------- connecting */

/* A descriptor that becomes ready, or the relay ends. */
static bool wait_for(const struct relay *r, int fd, short events)
{
    struct pollfd fds[] = { { fd, events, 0 }, { r->stop[0], POLLIN, 0 } };

    while (poll(fds, 2, -1) < 0 && errno == EINTR)
        ;
    return !fds[1].revents;
}

static bool is_connected(const struct relay *r, int fd, const struct addrinfo *to)
{
    int error = 0;
    socklen_t len = sizeof error;

    if (connect(fd, to->ai_addr, to->ai_addrlen) == 0)
        return true;
    if (errno != EINPROGRESS || !wait_for(r, fd, POLLOUT))
        return false;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
    errno = error;
    return error == 0;
}

static int connect_host(const struct relay *r)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list = NULL;
    char service[8];
    int fd = -1;

    snprintf(service, sizeof service, "%d", r->of.port);
    if (getaddrinfo(r->of.host, service, &hints, &list) != 0)
        return -1;
    for (struct addrinfo *i = list; i && fd < 0; i = i->ai_next) {
        fd = socket(i->ai_family, i->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd >= 0 && !is_connected(r, fd, i)) {
            int why = errno;
            close(fd);
            errno = why;
            fd = -1;
        }
    }
    freeaddrinfo(list);
    return fd;
}

/* Only our own process may speak here: the caller's socket is one of ours. */
static bool is_ours(int client)
{
    struct sockaddr_in caller, own;
    socklen_t len = sizeof caller;
    int most = (int)MIN(sysconf(_SC_OPEN_MAX), 65536);

    if (getpeername(client, (struct sockaddr *)&caller, &len) < 0)
        return false;
    for (int fd = 0; fd < most; fd++) {
        len = sizeof own;
        if (fd != client && getsockname(fd, (struct sockaddr *)&own, &len) == 0 && own.sin_family == AF_INET &&
            own.sin_port == caller.sin_port && own.sin_addr.s_addr == caller.sin_addr.s_addr)
            return true;
    }
    return false;
}

static int accept_own(struct relay *r)
{
    int client = wait_for(r, r->listener, POLLIN) ? accept4(r->listener, NULL, NULL, SOCK_CLOEXEC) : -1;

    if (client < 0 || is_ours(client))
        return client;
    fail(r, "a stranger called the local relay", NULL);
    close(client);
    return -1;
}

/* ---------------------------------------------------------------- carrying */

/* What SSL waits for; false when the relay ends, or the connection has. */
static bool wait_for_ssl(const struct relay *r, SSL *ssl, int result)
{
    int error = SSL_get_error(ssl, result);

    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
        return false;
    return wait_for(r, SSL_get_fd(ssl), error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT);
}

static bool shake_hands(struct relay *r, SSL *ssl)
{
    int result;

    while ((result = SSL_connect(ssl)) != 1)
        if (!wait_for_ssl(r, ssl, result)) {
            fail(r, "TLS handshake failed", ssl);
            return false;
        }
    return true;
}

static bool from_server(const struct relay *r, SSL *ssl, int client)
{
    char buf[16384];
    int n = SSL_read(ssl, buf, sizeof buf);

    if (n <= 0)
        return SSL_get_error(ssl, n) == SSL_ERROR_WANT_READ;
    return send(client, buf, (size_t)n, MSG_NOSIGNAL) == n;
}

static bool from_client(const struct relay *r, SSL *ssl, int client)
{
    char buf[16384];
    ssize_t got = read(client, buf, sizeof buf);

    if (got <= 0)
        return false;
    for (int result; (result = SSL_write(ssl, buf, (int)got)) != got;)
        if (!wait_for_ssl(r, ssl, result))
            return false;
    return true;
}

static bool carry_once(const struct relay *r, SSL *ssl, int client)
{
    struct pollfd fds[] = { { SSL_get_fd(ssl), POLLIN, 0 }, { client, POLLIN, 0 }, { r->stop[0], POLLIN, 0 } };

    if (!SSL_pending(ssl) && poll(fds, 3, -1) < 0)
        return errno == EINTR;
    if (fds[2].revents)
        return false;
    if ((SSL_pending(ssl) || fds[0].revents) && !from_server(r, ssl, client))
        return false;
    return !fds[1].revents || from_client(r, ssl, client);
}

static void carry(struct relay *r, int server, int client)
{
    SSL *ssl = SSL_new(r->of.tls->ctx);

    SSL_set_fd(ssl, server);
    SSL_set_tlsext_host_name(ssl, r->of.host);
    setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
    if (shake_hands(r, ssl))
        while (carry_once(r, ssl, client))
            ;
    SSL_free(ssl);
}

static void *relay_run(void *arg)
{
    struct relay *r = arg;

    tls_begin(r->of.tls);
    int client = accept_own(r), server = client >= 0 ? connect_host(r) : -1;
    if (client >= 0 && server < 0)
        fail(r, "cannot connect", NULL);
    if (server >= 0)
        carry(r, server, client);
    if (server >= 0)
        close(server);
    if (client >= 0)
        close(client);
    return NULL;
}

/* ---------------------------------------------------------------- life */

/* Where it cannot begin, nobody listens, and the session finds that out. */
struct relay *relay_start(const struct relay_server *server)
{
    struct relay *r = g_new0(struct relay, 1);
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof at;

    r->of = *server;
    r->stop[0] = r->stop[1] = -1;
    r->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (pipe2(r->stop, O_CLOEXEC) < 0 || bind(r->listener, (struct sockaddr *)&at, sizeof at) < 0 ||
        listen(r->listener, 1) < 0 || getsockname(r->listener, (struct sockaddr *)&at, &len) < 0 ||
        pthread_create(&r->thread, NULL, relay_run, r) != 0)
        fail(r, "cannot start the local relay", NULL);
    else
        r->port = ntohs(at.sin_port);
    return r;
}

int relay_port(const struct relay *r)
{
    return r->port;
}

char *relay_end(struct relay *r)
{
    char *fault = g_strdup("");

    if (!r)
        return fault;
    const int fds[] = { r->stop[1], r->stop[0], r->listener };

    for (size_t i = 0; i < G_N_ELEMENTS(fds); i++) {
        if (fds[i] >= 0)
            close(fds[i]);
        if (i == 0 && r->thread)
            pthread_join(r->thread, NULL);
    }
    g_free(fault);
    fault = g_strdup(r->fault);
    g_free(r);
    return fault;
}
