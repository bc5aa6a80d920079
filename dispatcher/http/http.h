/*
 * The HTTP interface: libmicrohttpd inside the libev loop.
 *
 * A handler gets a request whose body has been read whole and answers it once,
 * now or later from the loop: the connection is parked in between.  A client
 * that goes away in between frees nothing that a handler still holds.
 */
#ifndef DISPATCHER_HTTP_HTTP_H
#define DISPATCHER_HTTP_HTTP_H

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>

#include "dispatcher/service.h"

enum scope { SCOPE_PUBLIC, SCOPE_ENQUEUE = 1, SCOPE_READ = 2, SCOPE_MANAGE = 4, SCOPE_RECIPIENT = 8 };

struct http_server;
struct keys;

struct request {
    struct http_server *server;
    struct service *service;
    const char *method, *content_type;
    char *path;        /* raw, without the query */
    char *param[4];    /* decoded parts of the path that stand for "{…}" */
    GHashTable *query; /* decoded */
    GString *body;
    const char *caller;   /* name of the key, "" without keys */
    int scopes;           /* of the key; all of them without keys */
    char recipient[129];  /* SCOPE_RECIPIENT: whose token it is */
    int64_t expires_ms;   /* and until when; 0: never */
    struct http_own *own; /* server.c's */
};

typedef void handler_fn(struct request *);

struct route {
    const char *method, *path; /* "/v1/messages/{id}" */
    int scope;                 /* any of these bits */
    handler_fn *fn;
    const char *summary;
    const char *query; /* names of its parameters, separated by blanks; NULL: none, "*": whatever mail programs add */
};
extern const struct route routes[]; /* method NULL at the end */

/* http_start: NULL with *why (to be freed).  alive and ready are asked by /healthz and /readyz. */
enum http_face { HTTP_API, HTTP_FIGURES }; /* the second: /healthz, /readyz and /metrics at http.metrics_listen */
struct http_server *http_start(struct service *, enum http_face, const char *(*not_ready)(void *arg), void *arg,
                               char **why);
bool http_has_figures_only(const struct http_server *);
/* http_is_local: only this host can reach it. */
bool http_is_local(const struct http_server *);
/* http_stop: takes no more connections.  http_close: ends all. */
void http_stop(struct http_server *);
void http_close(struct http_server *);
int http_port(const struct http_server *);
struct service *http_service(struct http_server *);
const struct keys *http_keys(const struct http_server *);
const char *http_not_ready(struct http_server *);

/* http_dispatch: routes.c: finds the route, checks who calls, runs the handler or answers why not. */
void http_dispatch(struct request *);
const char *request_header(struct request *, const char *name);
/* request_is: the media type of the body, in UTF-8 if it says. */
bool request_is(struct request *, const char *type);
const char *request_query(const struct request *, const char *name, const char *fallback);

/* request_left: the client has closed its connection; work that only it wanted may stop. */
bool request_left(const struct request *);

/* Answers: each request gets exactly one. */
void answer_json(struct request *, int status, const json_t *body);
void answer_text(struct request *, int status, const char *type, const char *text, size_t len);
void answer_problem(struct request *, int status, const char *detail);
void answer_header(struct request *, const char *name, const char *value); /* before the answer */
/* answer_stream: an open-ended text/event-stream; stream_send() from then on until on_closed, which is called once. */
void answer_stream(struct request *, void (*on_closed)(void *arg), void *arg);
/* stream_send: false, and nothing said, when a reader has left too much unread.  stream_cut: of that stays the frame
 * that has begun, and this one.  stream_end: behind what was said. */
bool stream_send(struct request *, const char *text);
void stream_cut(struct request *, const char *text);
void stream_end(struct request *);

/* request_json: the body as JSON, or NULL after having answered why not. */
json_t *request_json(struct request *);

/* answer_intake: intake_fn of a request. */
struct intake_answer;
void answer_intake(void *request, const struct intake_answer *);

/* answer_result: for json_fn callbacks: 503 when the store is gone. */
bool answer_unless_gone(struct request *, bool ok);

/* http_published: the inboxes of these have changed, with blanks between them; "": nobody knows which. */
void http_published(struct http_server *, const char *recipients);
struct streams *http_streams(struct http_server *);

#endif
