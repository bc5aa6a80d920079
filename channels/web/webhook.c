#include "channels/web/webhook.h"

#include <curl/curl.h>
#include <ev.h>
#include <glib.h>
#include <string.h>

#define RETRY_AFTER_MOST_S 86400

#define CONNECT_TIMEOUT_MS 10000L
#define IDLE_CONNECTION_S  20L /* shorter than what gateways and balancers keep */

struct request {
    struct webhook *home;
    CURL *easy;
    struct curl_slist *headers;
    const char *body;
    size_t len, given;
    GString *answer;
    char error[CURL_ERROR_SIZE];
    webhook_done_fn *done;
    void *arg;
    struct request *next; /* in the list of free ones */
};

struct webhook {
    struct ev_loop *loop;
    CURLM *multi;
    ev_timer timer;
    int64_t timeout_ms;
    struct request *idle;
};

struct watch {
    ev_io io;
};

/* ---------------------------------------------------------------- libcurl on libev */

static void finish_done(struct webhook *);

static void on_socket_event(struct ev_loop *loop, ev_io *io, int revents)
{
    struct webhook *w = io->data;
    int running;

    curl_multi_socket_action(w->multi, io->fd,
                             (revents & EV_READ ? CURL_CSELECT_IN : 0) | (revents & EV_WRITE ? CURL_CSELECT_OUT : 0),
                             &running);
    finish_done(w);
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct webhook *w = timer->data;
    int running;

    ev_timer_stop(loop, timer);
    curl_multi_socket_action(w->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    finish_done(w);
}

static int set_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    struct webhook *w = arg;
    struct watch *watch = socket_arg;

    if (what == CURL_POLL_REMOVE) {
        if (watch)
            ev_io_stop(w->loop, &watch->io);
        g_free(watch);
        curl_multi_assign(w->multi, fd, NULL);
        return 0;
    }
    if (!watch) {
        watch = g_new0(struct watch, 1);
        ev_init(&watch->io, on_socket_event);
        watch->io.data = w;
        curl_multi_assign(w->multi, fd, watch);
    }
    ev_io_stop(w->loop, &watch->io);
    ev_io_set(&watch->io, fd, (what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0));
    ev_io_start(w->loop, &watch->io);
    return 0;
}

static int set_timer(CURLM *multi, long ms, void *arg)
{
    struct webhook *w = arg;

    ev_timer_stop(w->loop, &w->timer);
    if (ms >= 0) {
        ev_timer_set(&w->timer, (double)ms / 1000, 0.);
        ev_timer_start(w->loop, &w->timer);
    }
    return 0;
}

/* ---------------------------------------------------------------- one request */

static size_t give_body(char *to, size_t size, size_t n, void *arg)
{
    struct request *r = arg;
    size_t part = MIN(size * n, r->len - r->given);

    memcpy(to, r->body + r->given, part);
    r->given += part;
    return part;
}

/* Refusing to rewind is what keeps a POST from being sent twice. */
static int refuse_rewind(void *arg, curl_off_t offset, int origin)
{
    struct request *r = arg;
    return r->given == 0 && offset == 0 ? CURL_SEEKFUNC_OK : CURL_SEEKFUNC_FAIL;
}

static size_t take_answer(char *bytes, size_t size, size_t n, void *arg)
{
    struct request *r = arg;

    if (r->answer->len + size * n > WEBHOOK_MAX_ANSWER)
        return 0;
    g_string_append_len(r->answer, bytes, (gssize)(size * n));
    return size * n;
}

static struct request *request_new(struct webhook *w)
{
    struct request *r = g_new0(struct request, 1);

    r->home = w;
    r->answer = g_string_new(NULL);
    r->easy = curl_easy_init();
    curl_easy_setopt(r->easy, CURLOPT_PRIVATE, r);
    curl_easy_setopt(r->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(r->easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(r->easy, CURLOPT_PROXY, "");
    curl_easy_setopt(r->easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(r->easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(r->easy, CURLOPT_MAXAGE_CONN, IDLE_CONNECTION_S);
    curl_easy_setopt(r->easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
    curl_easy_setopt(r->easy, CURLOPT_TIMEOUT_MS, (long)w->timeout_ms);
    curl_easy_setopt(r->easy, CURLOPT_POST, 1L);
    curl_easy_setopt(r->easy, CURLOPT_READFUNCTION, give_body);
    curl_easy_setopt(r->easy, CURLOPT_READDATA, r);
    curl_easy_setopt(r->easy, CURLOPT_SEEKFUNCTION, refuse_rewind);
    curl_easy_setopt(r->easy, CURLOPT_SEEKDATA, r);
    curl_easy_setopt(r->easy, CURLOPT_WRITEFUNCTION, take_answer);
    curl_easy_setopt(r->easy, CURLOPT_WRITEDATA, r);
    curl_easy_setopt(r->easy, CURLOPT_ERRORBUFFER, r->error);
    curl_easy_setopt(r->easy, CURLOPT_USERAGENT, "tidings");
    return r;
}

static void request_free(struct request *r)
{
    curl_easy_cleanup(r->easy);
    curl_slist_free_all(r->headers);
    g_string_free(r->answer, TRUE);
    g_free(r);
}

/* What is too large for a number is as long as we ever wait. */
static int64_t retry_after_of(CURL *easy)
{
    curl_off_t seconds = 0;
    struct curl_header *header;

    curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &seconds);
    if (seconds <= 0 && curl_easy_header(easy, "Retry-After", 0, CURLH_HEADER, -1, &header) == CURLHE_OK &&
        strlen(header->value) > 18 && header->value[strspn(header->value, "0123456789")] == '\0')
        seconds = RETRY_AFTER_MOST_S;
    return CLAMP(seconds, 0, RETRY_AFTER_MOST_S) * 1000;
}

static void request_finish(struct request *r, CURLcode code)
{
    struct webhook *w = r->home;
    long status = 0, request_size = 0;

    curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(r->easy, CURLINFO_REQUEST_SIZE, &request_size);
    /* an answer that was cut off counts by its status only when that had come whole: CURLE_WRITE_ERROR is our own limit
     */
    bool answered = status >= 200 && (code == CURLE_OK || code == CURLE_WRITE_ERROR);
    struct webhook_answer answer = {
        .status = answered ? (int)status : 0,
        .body = r->answer->str,
        .retry_after_ms = retry_after_of(r->easy),
        .nothing_sent = request_size == 0,
        .timed_out = code == CURLE_OPERATION_TIMEDOUT,
        .error = r->error[0] ? r->error : curl_easy_strerror(code),
    };
    curl_multi_remove_handle(w->multi, r->easy);
    curl_slist_free_all(r->headers);
    r->headers = NULL;
    r->done(r->arg, &answer);
    r->next = w->idle;
    w->idle = r;
}

static void finish_done(struct webhook *w)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(w->multi, &left))) {
        struct request *r;
        CURLcode code = message->data.result;
        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &r);
        request_finish(r, code);
    }
}

/* ---------------------------------------------------------------- the face */

struct webhook *webhook_open(struct ev_loop *loop, int concurrency, int64_t timeout_ms)
{
    struct webhook *w = g_new0(struct webhook, 1);

    w->loop = loop;
    w->timeout_ms = timeout_ms;
    w->multi = curl_multi_init();
    curl_multi_setopt(w->multi, CURLMOPT_SOCKETFUNCTION, set_socket);
    curl_multi_setopt(w->multi, CURLMOPT_SOCKETDATA, w);
    curl_multi_setopt(w->multi, CURLMOPT_TIMERFUNCTION, set_timer);
    curl_multi_setopt(w->multi, CURLMOPT_TIMERDATA, w);
    curl_multi_setopt(w->multi, CURLMOPT_MAXCONNECTS, (long)concurrency);
    curl_multi_setopt(w->multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
    ev_init(&w->timer, on_timer);
    w->timer.data = w;
    return w;
}

void webhook_post(struct webhook *w, const char *url, const char *const *headers, const char *body, size_t len,
                  webhook_done_fn *done, void *arg)
{
    struct request *r = w->idle;

    if (r)
        w->idle = r->next;
    else
        r = request_new(w);
    r->done = done;
    r->arg = arg;
    r->body = body;
    r->len = len;
    r->given = 0;
    r->error[0] = '\0';
    g_string_truncate(r->answer, 0);
    for (const char *const *h = headers; *h; h++)
        r->headers = curl_slist_append(r->headers, *h);
    r->headers = curl_slist_append(r->headers, "Expect:"); /* no 100-continue round trip */
    curl_easy_setopt(r->easy, CURLOPT_URL, url);
    curl_easy_setopt(r->easy, CURLOPT_HTTPHEADER, r->headers);
    curl_easy_setopt(r->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)len);
    curl_multi_add_handle(w->multi, r->easy);
}

void webhook_close(struct webhook *w)
{
    for (struct request *r = w->idle, *next; r; r = next) {
        next = r->next;
        request_free(r);
    }
    curl_multi_cleanup(w->multi);
    ev_timer_stop(w->loop, &w->timer);
    g_free(w);
}

char *webhook_sign(const char *secret, const char *id, int64_t timestamp_s, const char *body, size_t len)
{
    guint8 digest[32];
    gsize key_len, digest_len = sizeof digest;
    bool standard = g_str_has_prefix(secret, "whsec_");
    g_autofree guchar *key = standard ? g_base64_decode(secret + 6, &key_len) : (guchar *)g_strdup(secret);

    if (!standard)
        key_len = strlen(secret);
    g_autofree char *head = g_strdup_printf("%s.%" G_GINT64_FORMAT ".", id, timestamp_s);
    GHmac *hmac = g_hmac_new(G_CHECKSUM_SHA256, key, key_len);
    g_hmac_update(hmac, (guchar *)head, -1);
    g_hmac_update(hmac, (const guchar *)body, (gssize)len);
    g_hmac_get_digest(hmac, digest, &digest_len);
    g_hmac_unref(hmac);
    g_autofree char *base64 = g_base64_encode(digest, sizeof digest);
    return g_strconcat("v1,", base64, NULL);
}
