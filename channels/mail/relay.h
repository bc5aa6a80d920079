/*
 * TLS from the first byte (RFC 8314) for a client that knows STARTTLS only: a
 * thread that speaks TLS to the server and plain to a loopback socket, which
 * takes no caller but this process's own.
 */
#ifndef CHANNELS_MAIL_RELAY_H
#define CHANNELS_MAIL_RELAY_H

#include <openssl/ssl.h>

struct relay_server {
    const char *host; /* borrowed for good */
    int port;
    SSL_CTX *ctx;
    void (*fault)(const char *what, const SSL *ssl); /* does not return; ssl NULL before the handshake */
};

/* relay_start: the loopback port, for one connection. */
int relay_start(const struct relay_server *);

/* relay_socket: our descriptor whose other end is this port, or -1. */
int relay_socket(int port);

#endif
