/*
 * A stream of bytes to one server, on libev: TCP, TCP with TLS, or a unix socket.
 *
 *   - The three callbacks run from the loop, never from inside a call.
 *   - up comes once, or down does; after down nothing comes any more.
 *   - What is sent goes out at link_flush(); what the socket does not take then
 *     goes out when it can.
 *   - link_close may be called from inside a callback.
 */
#ifndef DISPATCHER_STORE_WIRE_LINK_H
#define DISPATCHER_STORE_WIRE_LINK_H

#include <ev.h>
#include <openssl/ssl.h>
#include <stddef.h>

struct link;

struct link_target {
    const char *address; /* in numbers */
    int port;
    const char *path; /* a unix socket instead */
    SSL_CTX *tls;     /* NULL: in the clear */
    const char *name; /* of whom the certificate must speak; an address in numbers too */
};

struct link_events {
    void (*up)(void *arg);
    void (*bytes)(void *arg, const char *bytes, size_t len);
    void (*down)(void *arg, const char *why); /* a sentence, borrowed */
    void *arg;
};

/* link_open: NULL with *why (static, or of strerror) when it fails at once; all is borrowed during the call. */
struct link *link_open(struct ev_loop *, const struct link_target *, const struct link_events *, const char **why);
void link_send(struct link *, const char *bytes, size_t len);
void link_flush(struct link *);
void link_close(struct link *);

#endif
