#include "dispatcher/http/http.h"

#include <errno.h>
#include <ev.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dispatcher/base/problem.h"
#include "dispatcher/base/log.h"
#include "dispatcher/base/metrics.h"
#include "dispatcher/base/text.h"
#include "dispatcher/config/settings.h"
#include "dispatcher/http/keys.h"
#include "dispatcher/http/listen.h"
#include "dispatcher/intake/intake.h"

#define CONNECTION_TIMEOUT_S 30
#define CONNECTIONS          1024 /* besides the streams */
#define POOL_BYTES           (32 * 1024)
#define URI_MAX              8192
#define HEARTBEAT_S          15.0

struct http_server {
    struct service *service;
    struct keys *keys;
    struct MHD_Daemon *daemon;
    ev_io io;
    ev_timer timer, heartbeat;
    ev_prepare turn;
    size_t max_body;
    int port, socket, streams_open, max_streams;
    bool figures; /* /healthz, /readyz and /metrics alone */
    char *socket_path;
    const char *(*not_ready)(void *arg);
    void *arg;
    GHashTable *streams;
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
    bool stream;
    GString *unsent;
    void (*on_closed)(void *arg);
    void *closed_arg;
};

GHashTable **http_streams(struct http_server *s)
{
    return &s->streams;
}

const struct keys *http_keys(const struct http_server *s)
{
    return s->keys;
}

struct service *http_service(struct http_server *s)
{
    return s->service;
}

int http_stream_count(const struct http_server *s)
{
    return s->streams_open;
}

int http_stream_limit(const struct http_server *s)
{
    return s->max_streams;
}

bool http_has_figures_only(const struct http_server *s)
{
    return s->figures;
}

int http_port(const struct http_server *s)
{
    return s->port;
}

const char *http_not_ready(struct http_server *s)
{
    return s->not_ready ? s->not_ready(s->arg) : NULL;
}

/* ---------------------------------------------------------------- requests */

static void request_free(struct request *r)
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
    if (r->own->stream)
        r->server->streams_open--;
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
    size_t len = strlen(type);

    if (!value || g_ascii_strncasecmp(value, type, len) != 0 || !strchr("; \t", value[len]))
        return false;
    g_autofree char *rest = g_ascii_strdown(value + len, -1);
    const char *charset = strstr(rest, "charset=");
    return !charset || g_str_has_prefix(charset + 8, "utf-8") || g_str_has_prefix(charset + 8, "\"utf-8");
}

const char *request_query(const struct request *r, const char *name, const char *fallback)
{
    const char *value = g_hash_table_lookup(r->query, name);
    return value ? value : fallback;
}

/* ---------------------------------------------------------------- what libmicrohttpd lets pass */

struct header_check {
    int lengths, encodings, hosts, keys;
    bool bad;
};

static enum MHD_Result count_header(void *arg, enum MHD_ValueKind kind, const char *name, const char *value)
{
    struct header_check *c = arg;

    c->lengths += g_ascii_strcasecmp(name, "Content-Length") == 0;
    c->encodings += g_ascii_strcasecmp(name, "Transfer-Encoding") == 0;
    c->hosts += g_ascii_strcasecmp(name, "Host") == 0;
    c->keys += g_ascii_strcasecmp(name, "Idempotency-Key") == 0;
    c->bad |= *name == '\0' || strpbrk(name, " \t") != NULL;
    if (g_ascii_strcasecmp(name, "Content-Length") == 0)
        c->bad |= !value || !*value || value[strspn(value, "0123456789")];
    return MHD_YES;
}

static bool split_uri(struct request *r)
{
    const char *uri = r->own->uri, *mark = strchr(uri, '?');

    if (*uri != '/' || strlen(uri) > URI_MAX)
        return false;
    r->path = mark ? g_strndup(uri, (gsize)(mark - uri)) : g_strdup(uri);
    r->query = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_auto(GStrv) pairs = g_strsplit(mark ? mark + 1 : "", "&", 64);
    for (char **p = pairs; *p; p++) {
        char *equals = strchr(*p, '=');
        g_autofree char *name = g_uri_unescape_segment(*p, equals, NULL);
        char *value = equals ? g_uri_unescape_string(equals + 1, NULL) : g_strdup("");
        if (!name || !value) {
            g_free(value);
            return false;
        }
        if (*name)
            g_hash_table_insert(r->query, g_steal_pointer(&name), value);
        else
            g_free(value);
    }
    return true;
}

/* Refusals before the body is read; NULL when content. */
static const char *check_head(struct request *r, int *status)
{
    struct header_check c = { 0 };
    const char *length = request_header(r, "Content-Length"), *encoding = request_header(r, "Content-Encoding");

    MHD_get_connection_values(r->own->connection, MHD_HEADER_KIND, count_header, &c);
    *status = 400;
    if (c.bad || c.lengths > 1 || c.encodings > 1 || (c.lengths && c.encodings))
        return "the length of the request is said twice, or wrongly";
    if (c.hosts > 1 || c.keys > 1)
        return "a header that may stand once stands twice";
    if (!split_uri(r))
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

/* ---------------------------------------------------------------- answers */

static void queue_answer(struct request *r)
{
    struct http_own *o = r->own;

    o->state = QUEUED;
    MHD_queue_response(o->connection, (unsigned)o->status, o->response);
}

/* Every answer passes here, once. */
static void answer(struct request *r, int status, struct MHD_Response *response)
{
    struct http_own *o = r->own;
    g_auto(GStrv) lines = g_strsplit(o->headers->str, "\n", 0);
    char labels[32];

    snprintf(labels, sizeof labels, "code=\"%d\"", status);
    metrics_add(METRIC_HTTP, labels, 1);
    for (char **line = lines; *line; line++) {
        char *colon = strchr(*line, ':');
        if (colon) {
            *colon = '\0';
            MHD_add_response_header(response, *line, colon + 2);
        }
    }
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    MHD_add_response_header(response, "Referrer-Policy", "no-referrer");
    MHD_add_response_header(response, "Cache-Control", "no-store");
    if (status >= 400 && status != 404 && status != 422)
        MHD_add_response_header(response, "Connection", "close");
    o->status = status;
    o->response = response;
    if (!o->connection) { /* the client has gone */
        request_free(r);
        return;
    }
    o->state = ANSWERED;
    if (o->parked) {
        o->parked = false;
        MHD_resume_connection(o->connection);
        ev_feed_event(r->service->loop, &r->server->io, EV_READ);
    }
}

void answer_header(struct request *r, const char *name, const char *value)
{
    if (!strpbrk(value, "\r\n"))
        g_string_append_printf(r->own->headers, "%s: %s\n", name, value);
}

void answer_text(struct request *r, int status, const char *type, const char *text, size_t len)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(len, (void *)text, MHD_RESPMEM_MUST_COPY);

    MHD_add_response_header(response, "Content-Type", type);
    answer(r, status, response);
}

void answer_json(struct request *r, int status, const json_t *body)
{
    char *text = json_dumps(body, JSON_COMPACT | JSON_ENCODE_ANY);

    if (!text) { /* what lies in the store is none of ours */
        log_error("store.unreadable", "{s:s}", "path", r->path);
        answer_text(r, 500, "application/problem+json", "{\"status\":500,\"title\":\"Unreadable\"}", 35);
        return;
    }
    answer_text(r, status, status >= 400 ? "application/problem+json" : "application/json", text, strlen(text));
    free(text);
}

void answer_problem(struct request *r, int status, const char *detail)
{
    json_auto_t *problem = problem_make(status, detail, NULL);

    if (status == 503)
        answer_header(r, "Retry-After", "2");
    answer_json(r, status, problem);
}

bool request_left(const struct request *r)
{
    const union MHD_ConnectionInfo *info =
        r->own->connection ? MHD_get_connection_info(r->own->connection, MHD_CONNECTION_INFO_CONNECTION_FD) : NULL;
    char byte;

    return !info || recv(info->connect_fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

bool answer_unless_gone(struct request *r, bool ok)
{
    if (!ok && script_failed())
        answer_problem(r, 500,
                       "the store could not do this; the log of the service says why, and trying again will not help");
    else if (!ok)
        answer_problem(r, 503, "the store does not answer; try again");
    return ok;
}

json_t *request_json(struct request *r)
{
    json_error_t error;
    json_t *json;

    if (request_header(r, "Content-Type") && !request_is(r, "application/json") &&
        !request_is(r, "application/merge-patch+json")) {
        answer_problem(r, 415, "send application/json");
        return NULL;
    }
    if (text_too_deep(r->body->str, r->body->len)) {
        answer_problem(r, 422, "the body is nested deeper than 32 levels");
        return NULL;
    }
    json = json_loadb(r->body->str, r->body->len, JSON_REJECT_DUPLICATES, &error);
    if (json_is_object(json))
        return json;
    json_decref(json);
    g_autofree char *why =
        json ? g_strdup("the body must be a JSON object")
             : g_strdup_printf("the body is no JSON: %s at line %d, column %d", error.text, error.line, error.column);
    answer_problem(r, 400, why);
    return NULL;
}

/* ---------------------------------------------------------------- streams */

static ssize_t on_stream_read(void *arg, uint64_t pos, char *buf, size_t max)
{
    struct request *r = arg;
    struct http_own *o = r->own;
    size_t n = MIN(max, o->unsent->len);

    if (n == 0) {
        if (!o->parked) {
            o->parked = true;
            MHD_suspend_connection(o->connection);
        }
        return 0;
    }
    memcpy(buf, o->unsent->str, n);
    g_string_erase(o->unsent, 0, (gssize)n);
    return (ssize_t)n;
}

void answer_stream(struct request *r, void (*on_closed)(void *), void *arg)
{
    struct MHD_Response *response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 4096, on_stream_read, r, NULL);

    r->own->stream = true;
    r->server->streams_open++;
    r->own->on_closed = on_closed;
    r->own->closed_arg = arg;
    MHD_add_response_header(response, "Content-Type", "text/event-stream");
    answer(r, 200, response);
}

void stream_send(struct request *r, const char *text)
{
    struct http_own *o = r->own;

    g_string_append(o->unsent, text);
    if (o->parked && o->connection) {
        o->parked = false;
        MHD_resume_connection(o->connection);
        ev_feed_event(r->service->loop, &r->server->io, EV_READ);
    }
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
            queue_answer(r);
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
        queue_answer(r);
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

static void ping_all(void *key, void *list, void *arg)
{
    for (GList *l = list; l; l = l->next)
        stream_send(l->data, ": ping\n\n");
}

/* A client that has gone is only noticed by writing to it. */
static void on_heartbeat(struct ev_loop *loop, ev_timer *w, int revents)
{
    struct http_server *s = w->data;

    if (s->streams)
        g_hash_table_foreach(s->streams, ping_all, NULL);
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
    if (s->streams)
        g_hash_table_unref(s->streams);
    keys_free(s->keys);
    g_free(s->socket_path);
    g_free(s);
}

struct http_server *http_start(struct service *service, enum http_face face, const char *(*not_ready)(void *),
                               void *arg, char **why)
{
    struct http_server *s = g_new0(struct http_server, 1);
    const char *setting = face == HTTP_FIGURES ? "http.metrics_listen" : "http.listen";
    const char *listen_on = setting_text(service->config->root, setting);

    raise_descriptors();
    *s = (struct http_server){ .service = service, .not_ready = not_ready, .arg = arg, .socket = -1 };
    s->keys = keys_read(setting_json(service->config->root, "http.keys"));
    s->max_body = (size_t)setting_int(service->config->root, "http.max_body");
    s->figures = face == HTTP_FIGURES;
    s->max_streams = (int)setting_int(service->config->root, "http.max_streams");
    if (!s->figures && !listen_is_local(listen_on) && !keys_any(s->keys))
        *why = g_strdup("http.listen: without http.keys only 127.0.0.1 may be listened on; add a key, or listen there");
    else
        s->socket = listen_open(setting, listen_on, !s->figures, &s->port, why);
    if (g_str_has_prefix(listen_on, "unix:"))
        s->socket_path = g_strdup(listen_on + 5);
    if (s->socket < 0) {
        server_free(s);
        return NULL;
    }
    s->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_request, s, MHD_OPTION_LISTEN_SOCKET, s->socket,
        MHD_OPTION_URI_LOG_CALLBACK, on_uri, s, MHD_OPTION_NOTIFY_COMPLETED, on_completed, s,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)CONNECTION_TIMEOUT_S, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)(s->figures ? CONNECTIONS : CONNECTIONS + s->max_streams), MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)POOL_BYTES, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
    if (!s->daemon) {
        *why = g_strdup("the HTTP server cannot be started");
        close(s->socket);
        server_free(s);
        return NULL;
    }
    ev_io_init(&s->io, on_readable, MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd, EV_READ);
    ev_init(&s->timer, on_timer);
    ev_timer_init(&s->heartbeat, on_heartbeat, HEARTBEAT_S, HEARTBEAT_S);
    s->heartbeat.data = s;
    ev_timer_start(service->loop, &s->heartbeat);
    ev_prepare_init(&s->turn, on_turn);
    s->io.data = s->timer.data = s->turn.data = s;
    ev_io_start(service->loop, &s->io);
    ev_prepare_start(service->loop, &s->turn);
    return s;
}

void http_stop(struct http_server *s)
{
    MHD_socket fd = MHD_quiesce_daemon(s->daemon);
    if (fd != MHD_INVALID_SOCKET)
        close(fd);
    if (s->socket_path)
        unlink(s->socket_path);
}

void http_close(struct http_server *s)
{
    if (!s)
        return;
    if (s->streams)
        g_hash_table_foreach(s->streams, ping_all, NULL); /* libmicrohttpd closes no parked connection */
    ev_io_stop(s->service->loop, &s->io);
    ev_timer_stop(s->service->loop, &s->timer);
    ev_timer_stop(s->service->loop, &s->heartbeat);
    ev_prepare_stop(s->service->loop, &s->turn);
    MHD_stop_daemon(s->daemon);
    server_free(s);
}
