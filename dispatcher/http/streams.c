#include "dispatcher/http/streams.h"

#include <ev.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/base/clock.h"
#include "dispatcher/base/metrics.h"
#include "dispatcher/config/settings.h"
#include "dispatcher/http/handlers.h"
#include "dispatcher/store/inbox.h"

#define BEAT_S   15.0
#define SLICES   64   /* of the wheel: each stream has its heartbeat in one of them */
#define GATHER_S 0.05 /* what happens to a person in it becomes one frame */

struct streams {
    struct http_server *server;
    GHashTable *audiences; /* recipient → struct audience */
    GQueue slices[SLICES];
    ev_timer beat;
    int next_slice, hand, count, most;
    int missed; /* slices of the wheel that are still to be told */
};

/* Those who listen for one person. */
struct audience {
    struct streams *home;
    char recipient[129];
    GQueue streams;         /* the oldest first */
    unsigned news;          /* how often it was published */
    int asking;             /* answers that are to come */
    bool again;             /* something was published that nobody has been told yet */
    ev_timer gather, alarm; /* until the next frame; when a card comes back */
};

struct stream {
    struct audience *of; /* NULL: it is being ended */
    struct request *request;
    int64_t version; /* that it has been told; -1: it has not been greeted */
    int64_t after;   /* what it knew when it came, -1 for nothing */
    int64_t expires; /* its token */
    unsigned news;
    int slice;
};

static struct inbox_of inbox_of(const struct audience *a)
{
    const struct service *s = http_service(a->home->server);
    return (struct inbox_of){ s->store, a->recipient, s->policy->inbox_keep_ms };
}

/* ---------------------------------------------------------------- frames */

static char *frame(const char *event, json_int_t id, const json_t *data)
{
    char *text = json_dumps(data, JSON_COMPACT);
    char *made = id ? g_strdup_printf("event: %s\nid: %" JSON_INTEGER_FORMAT "\ndata: %s\n\n", event, id, text)
                    : g_strdup_printf("event: %s\ndata: %s\n\n", event, text);
    free(text);
    return made;
}

static json_int_t number(const json_t *in, const char *key)
{
    return json_integer_value(json_object_get(in, key));
}

static char *counts_frame(const char *event, const json_t *result, bool known)
{
    json_auto_t *data = json_pack("{s:I, s:I, s:I}", "version", number(result, "version"), "unread",
                                  number(result, "unread"), "unseen", number(result, "unseen"));
    if (strcmp(event, "hello") == 0)
        json_object_set_new(data, "beat", json_integer((json_int_t)BEAT_S));
    return frame(event, known ? number(result, "version") : 0, data);
}

/* What has changed after a version, of a result that begins earlier or there. */
static char *changes_frame(const json_t *result, int64_t since)
{
    json_auto_t *items = json_array(), *data = NULL;
    json_t *item;
    size_t i;

    json_array_foreach (json_object_get(result, "items"), i, item)
        if (number(item, "v") > since)
            json_array_append(items, item);
    data = json_pack("{s:I, s:I, s:I, s:I, s:O, s:O}", "version", number(result, "version"), "since", (json_int_t)since,
                     "unread", number(result, "unread"), "unseen", number(result, "unseen"), "items", items, "gone",
                     json_object_get(result, "gone"));
    return frame("inbox", number(result, "version"), data);
}

/* A reader that does not read is told to list again, instead of all that it has missed. */
static void send(struct stream *s, const json_t *result, const char *text)
{
    g_autofree char *resync = NULL;

    s->version = number(result, "version");
    if (stream_send(s->request, text))
        return;
    resync = counts_frame("resync", result, true);
    stream_cut(s->request, resync);
    metrics_add(METRIC_RESYNCS, "", 1);
}

static void tell_changes(struct stream *s, const json_t *result)
{
    bool resync = json_is_true(json_object_get(result, "resync"));
    g_autofree char *text = resync ? counts_frame("resync", result, true) : changes_frame(result, s->version);

    metrics_add(METRIC_RESYNCS, "", resync);
    send(s, result, text);
}

/* ---------------------------------------------------------------- the end of one */

static void audience_free(struct audience *a)
{
    struct ev_loop *loop = http_service(a->home->server)->loop;

    ev_timer_stop(loop, &a->gather);
    ev_timer_stop(loop, &a->alarm);
    g_hash_table_remove(a->home->audiences, a->recipient);
    g_free(a);
}

static void leave(struct stream *s)
{
    struct audience *a = s->of;

    if (!a)
        return;
    s->of = NULL;
    g_queue_remove(&a->home->slices[s->slice], s);
    a->home->count--;
    metrics_set(METRIC_STREAMS, "", a->home->count);
    g_queue_remove(&a->streams, s);
    if (!a->streams.length && !a->asking) /* else the answer frees it */
        audience_free(a);
}

static void on_closed(void *arg)
{
    struct stream *s = arg;

    leave(s);
    g_free(s);
}

static void say_bye(struct stream *s, const char *reason, double again)
{
    json_auto_t *data = json_pack("{s:s, s:f}", "reason", reason, "again", again);
    g_autofree char *text = frame("bye", 0, data);

    stream_send(s->request, text);
    stream_end(s->request);
    leave(s);
}

/* ---------------------------------------------------------------- telling */

static void tell(struct audience *a);

/* When a card comes back, the counts change without anybody's doing. */
static void set_alarm(struct audience *a, const json_t *result)
{
    struct ev_loop *loop = http_service(a->home->server)->loop;
    int64_t next = number(result, "next");

    ev_timer_stop(loop, &a->alarm);
    if (!next)
        return;
    ev_timer_set(&a->alarm, clock_wait(next) + 0.01, 0.);
    ev_timer_start(loop, &a->alarm);
}

static bool is_told(struct audience *a, bool ok, const json_t *result)
{
    a->asking--;
    if (!a->streams.length) {
        if (!a->asking)
            audience_free(a);
        return true;
    }
    if (ok)
        set_alarm(a, result);
    return false;
}

static void on_changes(void *arg, bool ok, json_t *result)
{
    struct audience *a = arg;

    if (is_told(a, ok, result))
        return;
    for (GList *l = a->streams.head; ok && l; l = l->next) {
        struct stream *s = l->data;
        if (s->version >= 0 && s->version < number(result, "version"))
            tell_changes(s, result);
    }
    ev_timer_set(&a->gather, GATHER_S, 0.);
    ev_timer_start(http_service(a->home->server)->loop, &a->gather);
}

/* Once for all of them, from what the least informed knows. */
static void tell(struct audience *a)
{
    struct inbox_of inbox = inbox_of(a);
    int64_t least = INT64_MAX;

    if (a->asking || ev_is_active(&a->gather)) {
        a->again = true;
        return;
    }
    for (GList *l = a->streams.head; l; l = l->next) {
        const struct stream *s = l->data;
        if (s->version >= 0)
            least = MIN(least, s->version);
    }
    if (least == INT64_MAX)
        return; /* they are just being greeted */
    a->again = false;
    a->asking++;
    inbox_since(&inbox, least, on_changes, a);
}

static void on_gathered(struct ev_loop *loop, ev_timer *w, int revents)
{
    struct audience *a = w->data;

    ev_timer_stop(loop, w);
    if (a->again)
        tell(a);
}

static void on_alarm(struct ev_loop *loop, ev_timer *w, int revents)
{
    ev_timer_stop(loop, w);
    tell(w->data);
}

/* The subscription was broken: whoever listens may have missed something.  A slice of the wheel at a time tells them.
 */
void streams_missed(struct streams *all)
{
    all->missed = SLICES;
}

static void tell_missed(struct stream *s)
{
    s->of->news++;
    tell(s->of);
}

void streams_published(struct streams *all, const char *recipients)
{
    g_auto(GStrv) list = all->count ? g_strsplit(recipients, " ", 0) : NULL;

    for (char **one = list; one && *one; one++) {
        struct audience *a = g_hash_table_lookup(all->audiences, *one);
        if (!a)
            continue;
        a->news++;
        tell(a);
    }
}

/* ---------------------------------------------------------------- greeting */

/* The request outlives its audience: who has gone meanwhile is greeted in vain. */
struct welcome {
    struct audience *audience;
    struct stream *stream;
};

static void greet(struct stream *s, const json_t *result)
{
    bool behind = s->after >= 0 && s->after != number(result, "version");
    g_autofree char *hello = counts_frame("hello", result, !behind); /* else the changes have it */

    send(s, result, hello);
    if (!behind)
        return;
    s->version = s->after;
    tell_changes(s, result);
}

static void on_greeting(void *arg, bool ok, json_t *result)
{
    struct welcome *g = arg;
    struct audience *a = g->audience;
    struct stream *s = g_queue_find(&a->streams, g->stream) ? g->stream : NULL;

    g_free(g);
    if (is_told(a, ok, result))
        return;
    a->again |= s && s->news != a->news;
    if (s && ok)
        greet(s, result);
    if (a->again)
        tell(a);
    if (s && !ok)
        say_bye(s, "shutdown", 2);
}

static void ask_greeting(struct stream *s)
{
    struct welcome *g = g_new0(struct welcome, 1);
    struct inbox_of inbox = inbox_of(s->of);

    *g = (struct welcome){ s->of, s };
    s->news = s->of->news;
    s->of->asking++;
    if (s->after >= 0)
        inbox_since(&inbox, s->after, on_greeting, g);
    else
        inbox_count(&inbox, on_greeting, g);
}

/* ---------------------------------------------------------------- coming */

static struct audience *audience_of(struct streams *all, const char *recipient)
{
    struct audience *a = g_hash_table_lookup(all->audiences, recipient);

    if (a)
        return a;
    a = g_new0(struct audience, 1);
    a->home = all;
    g_strlcpy(a->recipient, recipient, sizeof a->recipient);
    ev_timer_init(&a->gather, on_gathered, 0, 0);
    ev_timer_init(&a->alarm, on_alarm, 0, 0);
    a->gather.data = a->alarm.data = a;
    g_hash_table_insert(all->audiences, a->recipient, a);
    return a;
}

/* "123" of Last-Event-ID, or of ?after=; -1 for none, -2 for what is no version. */
static int64_t known_version(struct request *r)
{
    const char *text = request_header(r, "Last-Event-ID");

    if (!text)
        text = request_query(r, "after", "");
    if (!*text)
        return -1;
    return text[strspn(text, "0123456789")] || strlen(text) > 15 ? -2 : g_ascii_strtoll(text, NULL, 10);
}

static void come(struct streams *all, struct request *r, int64_t after)
{
    int most = (int)setting_int(r->service->config->root, "in_app.streams_per_recipient");
    struct audience *a = audience_of(all, r->recipient);
    struct stream *s = g_new0(struct stream, 1);
    g_autofree char *retry = g_strdup_printf("retry: %d\n\n", 3000 + (int)g_random_int_range(0, 4000));

    *s = (struct stream){
        .of = a, .request = r, .version = -1, .after = after, .expires = r->expires_ms, .slice = all->next_slice
    };
    all->next_slice = (all->next_slice + 1) % SLICES;
    all->count++;
    if (!ev_is_active(&all->beat))
        ev_timer_again(r->service->loop, &all->beat);
    metrics_set(METRIC_STREAMS, "", all->count);
    g_queue_push_tail(&a->streams, s);
    g_queue_push_tail(&all->slices[s->slice], s);
    answer_header(r, "X-Accel-Buffering", "no");
    answer_stream(r, on_closed, s);
    stream_send(r, retry);
    ask_greeting(s);
    while ((int)a->streams.length > most)
        say_bye(a->streams.head->data, "replaced", 5);
}

void get_inbox_stream(struct request *r)
{
    struct streams *all = http_streams(r->server);
    g_autofree char *later = g_strdup_printf("%d", 2 + (int)g_random_int_range(0, 28));
    int64_t after = known_version(r);

    if (after == -2) {
        answer_problem(r, 400, "Last-Event-ID and after are versions: digits");
    } else if (all->count >= all->most) {
        metrics_add(METRIC_STREAMS_REFUSED, "", 1);
        answer_header(r, "Retry-After", later);
        answer_problem(
            r, 503, "this service has as many streams as http.max_streams allows; ask GET /v1/inbox/count meanwhile");
    } else if (request_left(r)) {
        answer_problem(r, 503, "nobody waits for this stream any more");
    } else {
        come(all, r, after);
    }
}

/* ---------------------------------------------------------------- heartbeats */

/* A client that has gone is only noticed by writing to it.  A slice at a time, so that no turn of the loop is long. */
static void on_beat(struct ev_loop *loop, ev_timer *w, int revents)
{
    struct streams *all = w->data;
    GQueue *slice = &all->slices[all->hand];
    GList *next;

    all->hand = (all->hand + 1) % SLICES;
    if (!all->count)
        ev_timer_stop(loop, w); /* the next who comes starts it */
    for (GList *l = slice->head; l; l = next) {
        struct stream *s = l->data;
        next = l->next;
        if (s->expires && s->expires <= clock_now()) {
            say_bye(s, "expired", 0);
            continue;
        }
        stream_send(s->request, ": .\n\n");
        if (all->missed)
            tell_missed(s);
    }
    all->missed -= all->missed > 0;
}

/* ---------------------------------------------------------------- all of them */

struct streams *streams_new(struct http_server *server, int most)
{
    struct streams *all = g_new0(struct streams, 1);

    all->server = server;
    all->most = most;
    all->audiences = g_hash_table_new(g_str_hash, g_str_equal);
    ev_timer_init(&all->beat, on_beat, BEAT_S / SLICES, BEAT_S / SLICES);
    all->beat.data = all;
    return all;
}

void streams_bye(struct streams *all)
{
    for (int i = 0; i < SLICES; i++)
        while (all->slices[i].length)
            say_bye(all->slices[i].head->data, "shutdown", 1 + 9 * g_random_double());
}

void streams_free(struct streams *all)
{
    if (!all)
        return;
    ev_timer_stop(http_service(all->server)->loop, &all->beat);
    g_hash_table_unref(all->audiences);
    g_free(all);
}
