#include "dispatcher/http/server_own.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dispatcher/config/settings.h"
#include "dispatcher/http/head.h"
#include "dispatcher/http/keys.h"
#include "dispatcher/http/listen.h"
#include "dispatcher/http/streams.h"

#define CONNECTION_TIMEOUT_S 30
#define CONNECTIONS          1024 /* besides the streams */
#define POOL_BYTES           (32 * 1024)

struct streams *http_streams(struct http_server *s)
{
    return s->streams;
}

void http_published(struct http_server *s, const char *recipients)
{
    if (*recipients)
        streams_published(s->streams, recipients);
    else
        streams_missed(s->streams);
}

const struct keys *http_keys(const struct http_server *s)
{
    return s->keys;
}

struct service *http_service(struct http_server *s)
{
    return s->service;
}

bool http_is_local(const struct http_server *s)
{
    return s->local;
}

bool http_has_figures_only(const struct http_server *s)
{
    return s->figures;
}

int http_port(const struct http_server *s)
{
    return s->at.port;
}

const char *http_not_ready(struct http_server *s)
{
    return s->not_ready ? s->not_ready(s->arg) : NULL;
}

/* ---------------------------------------------------------------- requests */

void request_free(struct request *r)
{
    for (size_t i = 0; i < G_N_ELEMENTS(r->param); i++)
        g_free(r->param[i]);
    if (r->query)
        g_hash_table_unref(r->query);
    g_string_free(r->body, TRUE);
    g_string_free(r->own->headers, TRUE);
    g_string_free(r->own->unsent, TRUE);
    if (r->own->response)
        MHD_destroy_response(r->own->response);
    g_free(r->own->uri);
    g_free(r->path);
    g_free(r->own);
    g_free(r);
}

void request_wake(struct request *r)
{
    if (!r->own->parked)
        return;
    r->own->parked = false;
    MHD_resume_connection(r->own->connection);
    ev_feed_event(r->service->loop, &r->server->io, EV_READ);
}

/* The raw URI: what libmicrohttpd hands over later has lost its escapes. */
static void *on_uri(void *arg, const char *uri, struct MHD_Connection *connection)
{
    struct request *r = g_new0(struct request, 1);

    r->server = arg;
    r->service = r->server->service;
    r->own = g_new0(struct http_own, 1);
    r->own->uri = g_strdup(uri);
    r->own->headers = g_string_new(NULL);
    r->own->unsent = g_string_new(NULL);
    r->body = g_string_new(NULL);
    r->caller = "";
    return r;
}

static void on_completed(void *arg, struct MHD_Connection *connection, void **slot,
                         enum MHD_RequestTerminationCode code)
{
    struct request *r = *slot;

    *slot = NULL;
    if (!r)
        return;
    r->own->connection = NULL;
    if (r->own->stream && r->own->on_closed)
        r->own->on_closed(r->own->closed_arg);
    if (r->own->state != HANDLED) /* else its handler will answer, and free it */
        request_free(r);
}

const char *request_header(struct request *r, const char *name)
{
    return r->own->connection ? MHD_lookup_connection_value(r->own->connection, MHD_HEADER_KIND, name) : NULL;
}

bool request_is(struct request *r, const char *type)
{
    const char *value = request_header(r, "Content-Type");
    return value && head_is_type(value, type);
}

bool request_left(const struct request *r)
{
    const union MHD_ConnectionInfo *info =
        r->own->connection ? MHD_get_connection_info(r->own->connection, MHD_CONNECTION_INFO_CONNECTION_FD) : NULL;
    char byte;

    return !info || recv(info->connect_fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

const char *request_query(const struct request *r, const char *name, const char *fallback)
{
    const char *value = g_hash_table_lookup(r->query, name);
    return value ? value : fallback;
}

/* ---------------------------------------------------------------- what libmicrohttpd lets pass */

static enum MHD_Result count_header(void *arg, enum MHD_ValueKind kind, const char *name, const char *value)
{
    head_count(arg, name, value ? value : "");
    return MHD_YES;
}

/* Refusals before the body is read; NULL when content. */
static const char *check_head(struct request *r, int *status)
{
    const char *length = request_header(r, "Content-Length"), *encoding = request_header(r, "Content-Encoding"), *why;
    struct head seen = { 0 };

    MHD_get_connection_values(r->own->connection, MHD_HEADER_KIND, count_header, &seen);
    *status = 400;
    if ((why = head_fault(&seen)))
        return why;
    if (!head_split(r->own->uri, &r->path, &r->query))
        return "the address of the request is not well formed";
    if (length && g_ascii_strtoull(length, NULL, 10) > r->server->max_body) {
        *status = 413;
        return "the request is larger than http.max_body";
    }
    if (encoding && g_ascii_strcasecmp(encoding, "identity") != 0) {
        *status = 415;
        return "a Content-Encoding is not taken; send the body as it is";
    }
    return NULL;
}

/* ---------------------------------------------------------------- libmicrohttpd on libev */

static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *url, const char *method,
                                  const char *version, const char *upload, size_t *upload_size, void **slot)
{
    struct request *r = *slot;
    struct http_own *o = r->own;
    const char *why;
    int status;

    if (o->state == HEADERS) {
        o->connection = connection;
        o->state = BODY;
        r->method = method;
        if ((why = check_head(r, &status))) {
            o->refused = true;
            answer_problem(r, status, why);
            answer_queue(r);
        }
        return MHD_YES;
    }
    if (o->state == BODY && *upload_size) {
        if (r->body->len + *upload_size > r->server->max_body)
            o->refused = true;
        else
            g_string_append_len(r->body, upload, (gssize)*upload_size);
        *upload_size = 0;
        return MHD_YES;
    }
    if (o->state == BODY) {
        o->state = HANDLED;
        if (o->refused)
            answer_problem(r, 413, "the request is larger than http.max_body");
        else
            http_dispatch(r);
        if (o->state == HANDLED) {
            o->parked = true;
            MHD_suspend_connection(connection);
        }
    }
    if (o->state == ANSWERED)
        answer_queue(r);
    *upload_size = 0;
    return MHD_YES;
}

static void on_readable(struct ev_loop *loop, ev_io *w, int revents)
{
    MHD_run(((struct http_server *)w->data)->daemon);
}

static void on_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
    ev_timer_stop(loop, w);
    MHD_run(((struct http_server *)w->data)->daemon);
}

static void on_turn(struct ev_loop *loop, ev_prepare *w, int revents)
{
    struct http_server *s = w->data;
    MHD_UNSIGNED_LONG_LONG ms;

    ev_timer_stop(loop, &s->timer);
    if (MHD_get_timeout(s->daemon, &ms) == MHD_YES) {
        ev_timer_set(&s->timer, (double)ms / 1000 + 0.001, 0.);
        ev_timer_start(loop, &s->timer);
    }
}

/* Each stream is a descriptor. */
static void raise_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = MIN(limit.rlim_max, 65536);
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void server_free(struct http_server *s)
{
    streams_free(s->streams);
    keys_free(s->keys);
    listener_gone(&s->at);
    g_free(s);
}

struct http_server *http_start(struct service *service, enum http_face face, const char *(*not_ready)(void *),
                               void *arg, char **why)
{
    struct http_server *s = g_new0(struct http_server, 1);
    const char *setting = face == HTTP_FIGURES ? "http.metrics_listen" : "http.listen";
    const char *listen_on = setting_text(service->config->root, setting);

    raise_descriptors();
    *s = (struct http_server){ .service = service, .not_ready = not_ready, .arg = arg, .at = { .fd = -1 } };
    s->keys = keys_read(setting_json(service->config->root, "http.keys"));
    s->max_body = (size_t)setting_int(service->config->root, "http.max_body");
    s->figures = face == HTTP_FIGURES;
    s->local = listen_is_local(listen_on);
    int max_streams = (int)setting_int(service->config->root, "http.max_streams");
    s->streams = streams_new(s, max_streams);
    if (!s->figures && !s->local && !keys_any(s->keys))
        *why = g_strdup("http.listen: without http.keys only 127.0.0.1 may be listened on; add a key, or listen there");
    else
        listener_open(&s->at, setting, listen_on, !s->figures, why);
    if (s->at.fd < 0) {
        server_free(s);
        return NULL;
    }
    s->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_request, s, MHD_OPTION_LISTEN_SOCKET, s->at.fd,
        MHD_OPTION_URI_LOG_CALLBACK, on_uri, s, MHD_OPTION_NOTIFY_COMPLETED, on_completed, s,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)CONNECTION_TIMEOUT_S, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)(s->figures ? CONNECTIONS : CONNECTIONS + max_streams), MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)POOL_BYTES, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
    if (!s->daemon) {
        *why = g_strdup("the HTTP server cannot be started");
        close(s->at.fd);
        server_free(s);
        return NULL;
    }
    ev_io_init(&s->io, on_readable, MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd, EV_READ);
    ev_init(&s->timer, on_timer);
    ev_prepare_init(&s->turn, on_turn);
    s->io.data = s->timer.data = s->turn.data = s;
    ev_io_start(service->loop, &s->io);
    ev_prepare_start(service->loop, &s->turn);
    return s;
}

void http_stop(struct http_server *s)
{
    listener_gone(&s->at); /* before the next one may listen there */
    streams_bye(s->streams);
    MHD_socket fd = MHD_quiesce_daemon(s->daemon);
    if (fd != MHD_INVALID_SOCKET)
        close(fd);
}

void http_close(struct http_server *s)
{
    if (!s)
        return;
    streams_bye(s->streams); /* libmicrohttpd closes no parked connection */
    ev_io_stop(s->service->loop, &s->io);
    ev_timer_stop(s->service->loop, &s->timer);
    ev_prepare_stop(s->service->loop, &s->turn);
    MHD_stop_daemon(s->daemon);
    server_free(s);
}
