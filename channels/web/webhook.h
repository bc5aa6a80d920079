/*
 * HTTP POST for providers, by libcurl's multi interface inside libev.
 *
 * Never follows a redirect, never uses a proxy, keeps at most WEBHOOK_MAX_ANSWER
 * bytes of an answer, and never repeats a POST by itself: libcurl would re-send
 * one when a kept connection dies without a reply, so its rewind is refused.
 */
#ifndef CHANNELS_WEB_WEBHOOK_H
#define CHANNELS_WEB_WEBHOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WEBHOOK_MAX_ANSWER (64 * 1024)

struct ev_loop;
struct webhook;

struct webhook_answer {
    int status;             /* HTTP status, 0 when none came */
    const char *body;       /* ends with NUL; cut at WEBHOOK_MAX_ANSWER */
    int64_t retry_after_ms; /* 0 for none */
    bool nothing_sent;      /* certain: no byte of the request left */
    bool timed_out;
    const char *error; /* libcurl's words when status is 0 */
};

typedef void webhook_done_fn(void *arg, const struct webhook_answer *);

/* webhook_open: keeps up to `concurrency` connections, and ends each request after timeout_ms; its caller counts them.
 */
struct webhook *webhook_open(struct ev_loop *, int concurrency, int64_t timeout_ms);
/* webhook_post: body is borrowed until done; headers ("Name: value", NULL at the end) are copied. */
void webhook_post(struct webhook *, const char *url, const char *const *headers, const char *body, size_t len,
                  webhook_done_fn *, void *arg);
void webhook_close(struct webhook *);

/* webhook_sign: Standard Webhooks 1.0 "v1,BASE64" of id.timestamp.body; secret is "whsec_BASE64" or plain text. g_free.
 */
char *webhook_sign(const char *secret, const char *id, int64_t timestamp_s, const char *body, size_t len);

#endif
