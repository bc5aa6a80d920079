#include "dispatcher/simulator/stage.h"

#include <ev.h>
#include <glib.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/base/clock.h"
#include "dispatcher/carry/worker.h"
#include "dispatcher/journeys/events.h"
#include "dispatcher/journeys/turns.h"
#include "dispatcher/journeys/waves.h"
#include "dispatcher/people/consent.h"
#include "dispatcher/store/inbox.h"

#define CONNECT_TIMEOUT 20.0
#define AT_ONE_INSTANT  10000

struct stage {
    struct service *service;
    struct worker *worker;
    struct turns *turns;
    struct waves *waves;
    struct sequences *sequences;
    char *dir;
    GArray *events; /* struct coming, sorted when it begins */
    guint next_event;
    bool sorted;
    const struct world *world; /* NULL: everything is sent, and nobody does anything by themselves */
    struct rehearsal_of rehearsal;
    int answers; /* of events, that are open */
    int64_t jumps;
    json_t *refused;
};

enum coming_kind { COMING_EVENT, COMING_ENROLMENT, COMING_CONSENT, COMING_WAVE, COMING_READ };
struct coming {
    enum coming_kind kind;
    int64_t at;
    guint order;
    char *text, *of; /* of: the sequence; of a card that is read: whose */
};

struct looked { /* one look at the store */
    bool done, ok;
    int64_t next;
    int in_hand;
};

/* ---------------------------------------------------------------- events */

static gint by_time(gconstpointer a, gconstpointer b)
{
    const struct coming *x = a, *y = b;
    return x->at != y->at ? (x->at < y->at ? -1 : 1) : x->order < y->order ? -1 : 1;
}

/* Before it begins in any order; then among those that are still to come. */
static void comes(struct stage *s, enum coming_kind kind, int64_t at, const char *of, const char *text)
{
    struct coming c = { kind, at, s->events->len, g_strdup(text), g_strdup(of) };
    guint low = s->sorted ? s->next_event : s->events->len, high = s->events->len;

    while (low < high) {
        guint middle = (low + high) / 2;
        if (by_time(&g_array_index(s->events, struct coming, middle), &c) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    g_array_insert_val(s->events, low, c);
}

void stage_event(struct stage *s, int64_t at, const char *text)
{
    comes(s, COMING_EVENT, at, NULL, text);
}

void stage_enroll(struct stage *s, int64_t at, const char *sequence, const char *text)
{
    comes(s, COMING_ENROLMENT, at, sequence, text);
}

void stage_consent(struct stage *s, int64_t at, const char *text)
{
    comes(s, COMING_CONSENT, at, NULL, text);
}

void stage_wave(struct stage *s, int64_t at, const char *sequence, const char *text)
{
    comes(s, COMING_WAVE, at, sequence, text);
}

struct told {
    struct stage *stage;
    const char *text;
};

static void told(struct told *t, const json_t *problem, const json_t *errors)
{
    const json_t *first = json_array_get(errors, 0);

    t->stage->answers--;
    if (problem || first)
        json_array_append_new(t->stage->refused,
                              json_pack("{s:s, s:s?, s:s?}", "event", t->text, "at",
                                        json_string_value(json_object_get(first, "pointer")), "why",
                                        json_string_value(json_object_get(first ? first : problem, "detail"))));
    g_free(t);
}

static void on_answer(void *arg, const struct intake_answer *a)
{
    told(arg, a->status == 202 ? NULL : a->body, json_object_get(a->body, "errors"));
}

static void on_done(void *arg, bool ok, json_t *result)
{
    told(arg, NULL, NULL);
}

static void tell_consent(struct stage *s, const struct coming *c, struct told *t)
{
    json_auto_t *entry = json_loads(c->text, 0, NULL), *errors = json_array();
    g_autofree char *recipient = g_strdup(json_string_value(json_object_get(entry, "recipient")));

    json_object_del(entry, "recipient");
    if (!recipient || !consent_change(s->service, recipient, entry, "simulator", errors, on_done, t))
        told(t, NULL, errors);
}

static void tell_wave(struct stage *s, const struct coming *c, struct told *t)
{
    json_auto_t *how = json_loads(c->text, 0, NULL), *errors = json_array();
    bool opens = g_strcmp0(json_string_value(json_object_get(how, "do")), "hold") != 0;

    json_object_del(how, "do");
    if (!(opens ? wave_open : wave_hold)(s->service, c->of, how, errors, on_done, t))
        told(t, NULL, errors);
}

/* A card may have gone meanwhile. */
static void on_read(void *arg, bool ok, json_t *result)
{
    told(arg, NULL, NULL);
}

static void read_card(struct stage *s, const struct coming *c, struct told *t)
{
    struct inbox_of inbox = { s->service->store, c->of, s->service->policy->inbox_keep_ms };
    inbox_mark(&inbox, "read", c->text, 0, on_read, t);
}

static void tell_event(struct stage *s, const struct coming *c)
{
    const struct intake_origin origin = { .door = "simulator", .source = "" };
    struct told *t = g_new0(struct told, 1);

    *t = (struct told){ s, c->text };
    s->answers++;
    switch (c->kind) {
    case COMING_EVENT: event_text(s->service, c->text, strlen(c->text), &origin, on_answer, t); break;
    case COMING_ENROLMENT:
        event_enroll(s->service, c->of, c->text, strlen(c->text), false, &origin, on_answer, t);
        break;
    case COMING_CONSENT: tell_consent(s, c, t); break;
    case COMING_WAVE: tell_wave(s, c, t); break;
    case COMING_READ: read_card(s, c, t); break;
    }
}

static void tell_events(struct stage *s)
{
    for (; s->next_event < s->events->len; s->next_event++) {
        const struct coming *c = &g_array_index(s->events, struct coming, s->next_event);
        if (c->at > clock_now())
            return;
        tell_event(s, c);
    }
}

/* ---------------------------------------------------------------- the world */

static void on_outcome(void *arg, const char *channel, const struct parcel *parcel, struct outcome *o)
{
    const struct stage *s = arg;

    if (s->world)
        world_outcome(s->world, channel, parcel, clock_now(), o);
}

struct following {
    struct stage *stage;
    const char *recipient, *card;
};

static void follows(void *arg, int64_t at, const char *event)
{
    const struct following *f = arg;

    if (event)
        stage_event(f->stage, at, event);
    else
        comes(f->stage, COMING_READ, at, f->recipient, f->card);
}

static void on_sent(void *arg, const char *recipient, const char *template, const char *message, const char *channel)
{
    struct stage *s = arg;
    g_autofree char *card = g_strdup_printf("%s-%c", message, channel_letter(channel));
    struct following f = { s, recipient, card };

    if (s->world)
        world_sent(s->world, recipient, template, message, channel, clock_now(), follows, &f);
}

void stage_world(struct stage *s, const struct world *world, const json_t *people, int64_t from, int64_t to)
{
    json_t *one;
    size_t i;

    s->world = world;
    json_array_foreach ((json_t *)people, i, one) {
        struct following f = { s, json_string_value(one), NULL };
        world_every(world, json_string_value(one), from, to, follows, &f);
    }
}

/* ---------------------------------------------------------------- until nothing is due */

static void on_looked(void *arg, bool ok, int64_t next, int in_hand)
{
    *(struct looked *)arg = (struct looked){ true, ok, next, in_hand };
}

/* What has been asked before is answered before: the connection keeps the order. */
static struct looked look(struct stage *s)
{
    struct looked l = { 0 };

    store_next(s->service->store, on_looked, &l);
    while (!l.done)
        ev_run(s->service->loop, EVRUN_ONCE);
    return l;
}

static bool is_busy(const struct stage *s)
{
    return s->answers > 0 || worker_busy(s->worker) > 0 || turns_busy(s->turns) > 0 || waves_busy(s->waves);
}

static int64_t sooner(int64_t a, int64_t b)
{
    return a < 0 ? b : b < 0 ? a : MIN(a, b);
}

/* Works off what is due; what comes next, -1 for nothing, or -2 when the store is gone. */
static int64_t settle(struct stage *s)
{
    for (;;) {
        worker_time_jumped(s->worker);
        turns_anew(s->turns);
        waves_look(s->waves);
        struct looked l;
        bool was_busy; /* then the answer may be older than what has happened since it was asked */
        do {
            ev_run(s->service->loop, EVRUN_NOWAIT);
            was_busy = is_busy(s);
            l = look(s);
        } while (l.ok && (was_busy || is_busy(s) || l.in_hand > 0));
        if (!l.ok)
            return -2;
        l.next = sooner(l.next, waves_next(s->waves));
        if (l.next < 0 || l.next > clock_now())
            return l.next;
    }
}

/* ---------------------------------------------------------------- playing */

bool stage_play(struct stage *s, int64_t to, char **why)
{
    int64_t next = clock_now(), at = 0;
    int here = 0;

    g_array_sort(s->events, by_time);
    s->sorted = true;
    while (next >= 0 && next <= to) {
        clock_jump(MAX(next, clock_now()));
        here = clock_now() == at ? here + 1 : 0;
        at = clock_now();
        if (here > AT_ONE_INSTANT) {
            *why = g_strdup("one instant does not end: what happens makes itself happen again, without a delay");
            return false;
        }
        s->jumps++;
        tell_events(s);
        next = settle(s);
        if (next == -2) {
            *why = g_strdup("the store of the rehearsal has gone");
            return false;
        }
        if (s->next_event < s->events->len)
            next = sooner(next, g_array_index(s->events, struct coming, s->next_event).at);
    }
    clock_jump(MAX(to, clock_now()));
    return true;
}

int64_t stage_jumps(const struct stage *s)
{
    return s->jumps;
}

const json_t *stage_refused(const struct stage *s)
{
    return s->refused;
}

/* ---------------------------------------------------------------- opening and closing */

/* The service's own settings, but for where its store is. */
static void move_in(struct service *service, const char *dir, int partitions)
{
    g_autofree char *count = g_strdup_printf("%d", partitions);
    json_t *root = service->config->root, *redis = json_object();

    json_object_set_new(root, "data_dir", json_string(dir));
    json_object_set_new(redis, "prefix", json_string("rehearsal"));
    json_object_set_new(redis, "partitions", json_string(count));
    json_object_set_new(root, "redis", redis);
}

static void on_kept(void *arg, bool ok)
{
}

static void on_pasted(void *arg, bool ok, json_t *nothing)
{
    *(struct looked *)arg = (struct looked){ .done = true, .ok = ok };
}

static bool paste(struct stage *s, const struct copy *copy)
{
    struct looked l = { .done = !copy, .ok = true };

    if (copy)
        store_paste(s->service->store, copy, on_pasted, &l);
    while (!l.done)
        ev_run(s->service->loop, EVRUN_ONCE);
    return l.ok;
}

static bool begin(struct stage *s, const struct copy *copy, char **why)
{
    if (!service_connect(s->service, 0, CONNECT_TIMEOUT, why))
        return false;
    s->service->store->trace_lines = INT_MAX; /* the report is made of it */
    if (!paste(s, copy)) {
        *why = g_strdup("the store of the rehearsal does not take what was read from the other one");
        return false;
    }
    sequences_keep(s->sequences, on_kept, NULL);
    s->worker = worker_start(s->service, event_text, why);
    if (s->worker) {
        s->turns = turns_start(s->service);
        s->waves = waves_start(s->service);
    }
    return s->worker != NULL;
}

struct stage *stage_open(struct service *service, int64_t from, const struct copy *copy, sequence_finding_fn *fn,
                         void *arg, char **why)
{
    struct stage *s = g_new0(struct stage, 1);
    GError *error = NULL;

    s->service = service;
    s->events = g_array_new(FALSE, FALSE, sizeof(struct coming));
    s->refused = json_array();
    s->dir = g_dir_make_tmp("tidings-rehearsal-XXXXXX", &error);
    s->sequences = sequences_open(service, fn, arg);
    if (!s->dir) {
        *why = g_strdup(error->message);
        g_error_free(error);
        stage_close(s);
        return NULL;
    }
    s->rehearsal = (struct rehearsal_of){ on_outcome, on_sent, s };
    service->rehearsal = &s->rehearsal;
    service->takes_over = true;
    move_in(service, s->dir, copy ? copy_partitions(copy) : 1);
    clock_jump(from);
    if (begin(s, copy, why))
        return s;
    stage_close(s);
    return NULL;
}

static void remove_folder(const char *dir)
{
    const char *const words[] = { "rm", "-rf", "--", dir, NULL };
    g_spawn_sync(NULL, (char **)words, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL);
}

void stage_close(struct stage *s)
{
    if (s->service->store)
        service_disconnect(s->service);
    turns_close(s->turns);
    waves_close(s->waves);
    if (s->worker)
        worker_close(s->worker);
    sequences_free(s->sequences);
    for (guint i = 0; i < s->events->len; i++) {
        g_free(g_array_index(s->events, struct coming, i).text);
        g_free(g_array_index(s->events, struct coming, i).of);
    }
    g_array_unref(s->events);
    json_decref(s->refused);
    if (s->dir)
        remove_folder(s->dir);
    g_free(s->dir);
    g_free(s);
}
