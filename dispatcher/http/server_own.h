/*
 * What the server's two files share: server.c has connections and requests,
 * answers.c what is said to them.
 */
#ifndef DISPATCHER_HTTP_SERVER_OWN_H
#define DISPATCHER_HTTP_SERVER_OWN_H

#include <ev.h>
#include <microhttpd.h>

#include "dispatcher/http/http.h"
#include "dispatcher/http/listen.h"

struct http_server {
    struct service *service;
    struct keys *keys;
    struct MHD_Daemon *daemon;
    ev_io io;
    ev_timer timer;
    ev_prepare turn;
    size_t max_body;
    struct listener at;
    bool figures; /* /healthz, /readyz and /metrics alone */
    bool local;
    const char *(*not_ready)(void *arg);
    void *arg;
    struct streams *streams;
};

/*
 *   (uri) ▶ headers ▶ body … ▶ whole: handler ▶ parked ▶ answered ▶ resumed: response queued ▶ completed
 *
 * The request lives until both its handler has answered and its connection is done with it.
 */
struct http_own {
    struct MHD_Connection *connection; /* NULL when the client has gone */
    char *uri;
    enum { HEADERS, BODY, HANDLED, ANSWERED, QUEUED } state;
    bool parked, refused;
    struct MHD_Response *response;
    int status;
    GString *headers; /* "Name: value\n" for the answer */
    /* streams */
    bool stream, ending;
    GString *unsent;
    void (*on_closed)(void *arg);
    void *closed_arg;
};

void request_free(struct request *);
/* request_wake: a parked connection goes on. */
void request_wake(struct request *);
/* answer_queue: what was answered leaves. */
void answer_queue(struct request *);

#endif
