/*
 * TLS towards a mail server, for libesmtp, which makes the connection with a
 * context of ours: its own one it frees twice.  OpenSSL compares the certificate
 * with the configured host or address (RFC 6125), for libesmtp would compare it
 * with a name that DNS chose, and the name is told to the server (SNI).
 */
#ifndef CHANNELS_MAIL_TLS_H
#define CHANNELS_MAIL_TLS_H

#include <openssl/ssl.h>
#include <stdbool.h>

#include "channels/mail/pool.h"

struct mail_tls { /* one a connection; the context is shared */
    SSL_CTX *ctx;
    enum email_tls mode;
    const char *host; /* borrowed for good */
    bool by_address;  /* the certificate must have the host's address, not its name */
    const SSL *ssl;   /* of the connection */
    long verify;      /* why its certificate was refused, X509_V_OK */
};

/* tls_open: ca_file NULL: the system's authorities.  False: they cannot be read. */
bool tls_open(struct mail_tls *, enum email_tls mode, const char *host, const char *ca_file);
/* tls_begin: for another connection, which this thread makes. */
void tls_begin(struct mail_tls *);
/* tls_peer_is_right: the certificate is that of the host, or nobody asks. */
bool tls_peer_is_right(const struct mail_tls *);

#endif
