#include "dispatcher/store/wire/resolve.h"

#include <arpa/inet.h>
#include <assert.h>
#include <glib.h>
#include <netdb.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>

/* Held by the loop and by the thread; whoever lets go last frees it. */
struct resolving {
    int holders;
    char *host;
    struct resolved result;
    pthread_mutex_t lock; /* of all but the host: and so the thread rings no loop that may be gone */
    bool wanted;
    struct ev_loop *loop;
    ev_async answered;
    resolved_fn *fn;
    void *arg;
};

static void let_go(struct resolving *r)
{
    pthread_mutex_lock(&r->lock);
    bool last = --r->holders == 0;
    pthread_mutex_unlock(&r->lock);
    if (!last)
        return;
    pthread_mutex_destroy(&r->lock);
    g_free(r->host);
    g_free(r);
}

/* ---------------------------------------------------------------- the thread */

static void take(struct resolved *to, const struct addrinfo *list, int family)
{
    for (; list && to->count < RESOLVED_MAX; list = list->ai_next)
        if (list->ai_family == family && getnameinfo(list->ai_addr, list->ai_addrlen, to->address[to->count],
                                                     sizeof to->address[0], NULL, 0, NI_NUMERICHOST) == 0)
            to->count++;
}

static void *ask(void *arg)
{
    struct resolving *r = arg;
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list = NULL;
    int error = getaddrinfo(r->host, NULL, &hints, &list);

    if (error == 0) {
        take(&r->result, list, AF_INET);
        take(&r->result, list, AF_INET6);
        freeaddrinfo(list);
    }
    r->result.why = error ? gai_strerror(error) : "the name has no address";
    pthread_mutex_lock(&r->lock);
    if (r->wanted)
        ev_async_send(r->loop, &r->answered);
    pthread_mutex_unlock(&r->lock);
    let_go(r);
    return NULL;
}

/* ---------------------------------------------------------------- the loop */

static void on_answered(struct ev_loop *loop, ev_async *w, int revents)
{
    struct resolving *r = w->data;

    ev_async_stop(loop, w);
    pthread_mutex_lock(&r->lock); /* what the thread has written before it rang is seen behind this */
    pthread_mutex_unlock(&r->lock);
    r->fn(r->arg, &r->result);
    let_go(r);
}

struct resolving *resolve_begin(struct ev_loop *loop, const char *host, resolved_fn *fn, void *arg)
{
    struct resolving *r = g_new0(struct resolving, 1);
    pthread_t thread;

    *r = (struct resolving){ .holders = 2, .host = g_strdup(host), .wanted = true, .loop = loop, .fn = fn, .arg = arg };
    pthread_mutex_init(&r->lock, NULL);
    ev_async_init(&r->answered, on_answered);
    r->answered.data = r;
    ev_async_start(loop, &r->answered);
    int error = pthread_create(&thread, NULL, ask, r);
    assert(!error);
    pthread_detach(thread);
    return r;
}

void resolve_cancel(struct resolving *r)
{
    pthread_mutex_lock(&r->lock);
    r->wanted = false;
    pthread_mutex_unlock(&r->lock);
    ev_async_stop(r->loop, &r->answered);
    let_go(r);
}

bool resolve_is_number(const char *host)
{
    struct in6_addr any;
    return inet_pton(AF_INET, host, &any) == 1 || inet_pton(AF_INET6, host, &any) == 1;
}
