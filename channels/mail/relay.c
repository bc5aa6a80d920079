#include "channels/mail/relay.h"

#include <arpa/inet.h>
#include <errno.h>
#include <glib.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "channels/mail/wire.h"

int relay_socket(int port)
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

struct relay {
    struct relay_server server;
    int listener, port;
};

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
    int mine = relay_socket(r->port);
    if (mine < 0 || getsockname(mine, (struct sockaddr *)&own, &own_len) < 0 || own.sin_port != caller.sin_port)
        r->server.fault("a stranger called the local relay", NULL);
    int server = connect_host(r->server.host, r->server.port);
    if (server < 0)
        r->server.fault("cannot connect", NULL);
    SSL *ssl = SSL_new(r->server.ctx);
    SSL_set_fd(ssl, server);
    SSL_set_tlsext_host_name(ssl, r->server.host);
    if (SSL_connect(ssl) != 1)
        r->server.fault("TLS handshake failed", ssl);
    setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
    while (relay_once(ssl, server, client))
        ;
    SSL_free(ssl);
    close(server);
    close(client);
    g_free(r);
    return NULL;
}

int relay_start(const struct relay_server *server)
{
    struct relay *r = g_new0(struct relay, 1);
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof at;
    pthread_t thread = 0;

    r->server = *server;
    r->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(r->listener, (struct sockaddr *)&at, sizeof at) < 0 || listen(r->listener, 1) < 0 ||
        getsockname(r->listener, (struct sockaddr *)&at, &len) < 0 || (r->port = ntohs(at.sin_port)) == 0 ||
        pthread_create(&thread, NULL, relay_run, r) != 0)
        server->fault("cannot start the local relay", NULL);
    pthread_detach(thread);
    return ntohs(at.sin_port);
}
