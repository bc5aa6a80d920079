/*
 * TLS from the first byte (RFC 8314) for a client that knows STARTTLS only: a
 * thread that speaks TLS to the server and plain to a loopback socket, which
 * takes no caller but this process's own.
 */
#ifndef CHANNELS_MAIL_RELAY_H
#define CHANNELS_MAIL_RELAY_H

#include "channels/mail/tls.h"

struct relay;

struct relay_server {
    const char *host; /* borrowed until relay_end */
    int port;
    struct mail_tls *tls; /* the relay's while it runs */
};

/* relay_start: for one connection.  relay_port: the loopback port. */
struct relay *relay_start(const struct relay_server *);
int relay_port(const struct relay *);
/* relay_end: ends it, and waits for it; "" or why there was no connection, g_free.  NULL: "". */
char *relay_end(struct relay *);

#endif
