#include "dispatcher/outlets/outbox.h"

#include <ev.h>
#include <glib.h>
#include <string.h>

#include "dispatcher/base/log.h"
#include "dispatcher/base/metrics.h"

#define FIRST_PAUSE   1.0
#define LONGEST_PAUSE 60.0
#define AHEAD_MOST    64    /* deliveries */
#define AHEAD_S       0.015 /* of its pace */
#define PACE_S        0.1
#define TELL_FROM     1.0 /* seconds */
#define TELL_MOST     64.0
#define GROW_AFTER    5.0 /* seconds without a complaint, then one connection more is tried */

struct outbox {
    struct ev_loop *loop;
    GPtrArray *outlets;
    GQueue waiting[CHANNEL_COUNT][LANES];
    unsigned popped[CHANNEL_COUNT];
    double tells[CHANNEL_COUNT], told_at[CHANNEL_COUNT];
};

/* ---------------------------------------------------------------- opening */

struct outbox *outbox_new(struct ev_loop *loop)
{
    struct outbox *o = g_new0(struct outbox, 1);

    o->loop = loop;
    o->outlets = g_ptr_array_new();
    return o;
}

static unsigned next_bit(const struct outbox *o, enum channel channel)
{
    unsigned bit = 1;

    for (guint i = 0; i < o->outlets->len; i++)
        bit <<= ((struct outlet *)o->outlets->pdata[i])->channel == channel;
    return bit;
}

void outbox_add(struct outbox *o, enum channel channel, struct provider *provider, const struct outlet_terms *terms)
{
    struct outlet *out = g_new0(struct outlet, 1);

    *out = (struct outlet){ .provider = provider,
                            .channel = channel,
                            .bit = next_bit(o, channel),
                            .places = terms->places,
                            .bears = terms->places,
                            .rate = terms->rate,
                            .longest_rest = terms->longest_rest };
    out->burst = MAX(1, out->rate / 10);
    out->tokens = out->burst;
    out->filled_at = ev_now(o->loop);
    g_strlcpy(out->name, terms->name, sizeof out->name);
    g_ptr_array_add(o->outlets, out);
}

void outbox_close(struct outbox *o)
{
    if (!o)
        return;
    for (guint i = 0; i < o->outlets->len; i++) {
        struct outlet *out = o->outlets->pdata[i];
        if (out->provider)
            out->provider->type->close(out->provider);
        g_queue_clear(&out->ready);
        g_free(out);
    }
    g_ptr_array_unref(o->outlets);
    for (int c = 0; c < CHANNEL_COUNT; c++)
        for (int l = 0; l < LANES; l++)
            g_queue_clear(&o->waiting[c][l]);
    g_free(o);
}

/* ---------------------------------------------------------------- queues */

void outbox_push(struct outbox *o, enum channel c, enum lane lane, struct delivery *d)
{
    g_queue_push_tail(&o->waiting[c][lane], d);
}

struct delivery *outbox_pop(struct outbox *o, enum channel c)
{
    bool from_below = ++o->popped[c] % 8 == 0;

    for (int i = 0; i < LANES; i++) {
        GQueue *q = &o->waiting[c][from_below ? LANES - 1 - i : i];
        if (q->length)
            return g_queue_pop_head(q);
    }
    return NULL;
}

void outbox_unpop(struct outbox *o, enum channel c, enum lane lane, struct delivery *d)
{
    g_queue_push_head(&o->waiting[c][lane], d);
    o->popped[c]--;
}

int outbox_waiting(const struct outbox *o, enum channel c)
{
    return (int)(o->waiting[c][0].length + o->waiting[c][1].length + o->waiting[c][2].length);
}

/* ---------------------------------------------------------------- outlets */

static void refill(struct outbox *o, struct outlet *out)
{
    double now = ev_now(o->loop);

    out->tokens = MIN(out->burst, out->tokens + (now - out->filled_at) * out->rate);
    out->filled_at = now;
}

/* How many it carries in a moment, by the last tenth of a second: so many more are admitted, together, before it asks
 * for them.  For a slow one that is none. */
static int ahead(const struct outlet *out)
{
    bool waits = out->provider && !out->provider->at_once && !out->faults;
    return waits ? (int)MIN(AHEAD_MOST, out->pace * AHEAD_S) : 0;
}

/* What its connections take, so that the next ones are admitted while the first are on their way; one after a fault. */
static int places(const struct outlet *out)
{
    return out->faults ? 1 : out->provider ? out->provider->depth * out->bears + ahead(out) : out->bears;
}

/* Once full it is filled again when some of what waits has left: one call for many. */
static bool is_full(struct outlet *out)
{
    int most = places(out), some = out->provider && out->provider->at_once ? most / 2 : ahead(out) / 2;

    if (out->taken >= most)
        out->full = true;
    else if (out->taken <= most - some)
        out->full = false;
    return out->full;
}

static void keep_pace(struct outbox *o, struct outlet *out)
{
    double elapsed = ev_now(o->loop) - out->pace_since;

    out->pace_sent++;
    if (elapsed < PACE_S)
        return;
    out->pace = out->pace_sent / elapsed;
    out->pace_sent = 0;
    out->pace_since = ev_now(o->loop);
}

static double wait_of(struct outbox *o, struct outlet *out)
{
    double now = ev_now(o->loop);

    if (out->paused_until > now)
        return out->paused_until - now;
    if (is_full(out))
        return 0;
    if (out->rate > 0) {
        refill(o, out);
        if (out->tokens < 1)
            return (1 - out->tokens) / out->rate + 0.001;
    }
    return -1;
}

struct outlet *outbox_take(struct outbox *o, enum channel c, unsigned unable, double *again)
{
    *again = 0;
    for (guint i = 0; i < o->outlets->len; i++) {
        struct outlet *out = o->outlets->pdata[i];
        if (out->channel != c || out->bit & unable || out->stopped)
            continue;
        double wait = wait_of(o, out);
        if (wait < 0) {
            out->taken++;
            if (out->rate > 0)
                out->tokens -= 1;
            return out;
        }
        if (wait > 0 && (*again == 0 || wait < *again))
            *again = wait;
    }
    return NULL;
}

static void set_up(const struct outlet *out, bool up)
{
    g_autofree char *labels = g_strdup_printf("provider=\"%s\"", out->name);
    metrics_set(METRIC_PROVIDER_UP, labels, up);
}

static void pause_outlet(struct outbox *o, struct outlet *out, double seconds, const struct outcome *why)
{
    out->paused_until = ev_now(o->loop) + seconds;
    set_up(out, false);
    log_warn("provider.paused", "{s:s, s:f, s:i, s:i}", "provider", out->name, "seconds", seconds, "faults",
             out->faults, "code", why->code);
}

static void set_bears(struct outbox *o, struct outlet *out, int bears)
{
    out->bears = CLAMP(bears, 1, out->places);
    out->grown_at = ev_now(o->loop);
    if (out->provider)
        out->provider->limit = out->bears < out->places ? out->bears : 0;
}

/* The other side lets no more connections in than are open: those carry on, and now and then one more is tried. */
static bool crowded(struct outbox *o, struct outlet *out, const struct outcome *outcome)
{
    int open = outcome->crowded && out->provider->type->open ? out->provider->type->open(out->provider) : 0;

    if (open < 1)
        return false;
    if (open < out->bears)
        log_info("provider.crowded", "{s:s, s:i}", "provider", out->name, "connections", open);
    set_bears(o, out, MIN(out->bears, open));
    return true;
}

static void grow(struct outbox *o, struct outlet *out)
{
    if (out->bears < out->places && ev_now(o->loop) - out->grown_at > GROW_AFTER)
        set_bears(o, out, out->bears + 1);
}

static bool asks_for_rest(const struct outcome *o)
{
    return o->retry_after_ms > 0 && (o->code == 429 || o->code == 503);
}

void outlet_leave(struct outbox *o, struct outlet *out, const struct outcome *outcome)
{
    out->taken--;
    if (!outcome || outcome->kind == OUTCOME_RETURNED) { /* only what is sent costs */
        out->tokens += out->rate > 0;
        return;
    }
    g_autofree char *labels = g_strdup_printf("provider=\"%s\",outcome=\"%s\"", out->name, outcome_name(outcome->kind));
    metrics_add(METRIC_ATTEMPTS, labels, 1);
    if (outcome->kind == OUTCOME_SENT)
        out->sent++, keep_pace(o, out);
    else
        out->failed++;
    bool paused = out->paused_until > ev_now(o->loop); /* those that went down together are one fault */
    if (outcome->kind == OUTCOME_SENT)
        grow(o, out);
    if (outcome->kind == OUTCOME_FAULT && crowded(o, out, outcome))
        return;
    if (asks_for_rest(outcome)) { /* it asked us all to slow down; when the rest is over, one probes */
        out->faults++;
        if (!paused)
            pause_outlet(o, out, MIN(out->longest_rest, (double)outcome->retry_after_ms / 1000), outcome);
        return;
    }
    if (outcome->kind == OUTCOME_FAULT && !paused) {
        double seconds = MIN(LONGEST_PAUSE, FIRST_PAUSE * (1 << MIN(out->faults, 6)));
        out->faults++;
        pause_outlet(o, out, seconds, outcome);
    } else if (out->faults && !paused && outcome->kind != OUTCOME_FAULT && outcome->kind < OUTCOME_STOPPED) {
        out->faults = 0;
        log_info("provider.well", "{s:s}", "provider", out->name);
        set_up(out, true);
    }
}

bool outbox_able(const struct outbox *o, enum channel c, unsigned unable)
{
    for (guint i = 0; i < o->outlets->len; i++) {
        const struct outlet *out = o->outlets->pdata[i];
        if (out->channel == c && !(out->bit & unable))
            return true;
    }
    return false;
}

bool outbox_configured(const struct outbox *o, enum channel c)
{
    for (guint i = 0; i < o->outlets->len; i++)
        if (((struct outlet *)o->outlets->pdata[i])->channel == c)
            return true;
    return false;
}

int64_t outlet_pause_ms(const struct outbox *o, const struct outlet *out)
{
    double left = out->paused_until - ev_now(o->loop);
    return left > 0 ? (int64_t)(1000 * left) : 0;
}

bool outbox_alternative(const struct outbox *o, const struct outlet *than)
{
    for (guint i = 0; i < o->outlets->len; i++) {
        const struct outlet *out = o->outlets->pdata[i];
        if (out != than && out->channel == than->channel && !out->faults && !out->stopped)
            return true;
    }
    return false;
}

void outbox_stop(struct outbox *o, stopped_fn *stopped, void *arg)
{
    for (guint i = 0; i < o->outlets->len; i++) {
        struct outlet *out = o->outlets->pdata[i];
        out->stopped = stopped(arg, out);
    }
}

const char *outbox_stopped(const struct outbox *o, enum channel c)
{
    const char *name = NULL;

    for (guint i = 0; i < o->outlets->len; i++) {
        const struct outlet *out = o->outlets->pdata[i];
        if (out->channel == c && !out->stopped)
            return NULL;
        if (out->channel == c && !name)
            name = out->name;
    }
    return name;
}

double outbox_rest(const struct outbox *o, enum channel c)
{
    double now = ev_now(o->loop), rest = -1;

    for (guint i = 0; i < o->outlets->len; i++) {
        const struct outlet *out = o->outlets->pdata[i];
        if (out->channel == c && !out->stopped && (rest < 0 || out->paused_until - now < rest))
            rest = MAX(0, out->paused_until - now);
    }
    return MAX(rest, 0);
}

/* While every outlet rests for a while, those that are due are claimed all the same, so many a second, to be told so.
 */
static int telling(struct outbox *o, enum channel c)
{
    double now = ev_now(o->loop);

    if (outbox_rest(o, c) < TELL_FROM)
        return 0;
    o->tells[c] = MIN(TELL_MOST, o->tells[c] + (now - o->told_at[c]) * TELL_MOST);
    o->told_at[c] = now;
    return (int)o->tells[c];
}

void outbox_told(struct outbox *o, enum channel c)
{
    o->tells[c] -= 1;
}

int outbox_capacity(struct outbox *o, enum channel c)
{
    double now = ev_now(o->loop);
    int capacity = 0;

    if (!outbox_configured(o, c))
        return 64; /* they are claimed to be told that there is no way out */
    for (guint i = 0; i < o->outlets->len; i++) {
        struct outlet *out = o->outlets->pdata[i];
        if (out->channel != c || out->paused_until > now)
            continue;
        int room = out->faults ? 1 : places(out) + 64;
        if (out->rate > 0)
            room = MIN(room, MAX(1, (int)(2 * out->rate)));
        capacity += room;
    }
    return capacity ? capacity : telling(o, c);
}

void outbox_each(struct outbox *o, void (*fn)(void *, struct outlet *), void *arg)
{
    for (guint i = 0; i < o->outlets->len; i++)
        fn(arg, o->outlets->pdata[i]);
}

json_t *outbox_report(const struct outbox *o)
{
    json_t *list = json_array();

    for (guint i = 0; i < o->outlets->len; i++) {
        const struct outlet *out = o->outlets->pdata[i];
        json_array_append_new(list, json_pack("{s:s, s:s, s:b, s:i, s:I, s:I}", "name", out->name, "channel",
                                              channel_rows[out->channel].name, "paused",
                                              out->paused_until > ev_now(o->loop), "in_flight", out->taken, "sent",
                                              (json_int_t)out->sent, "failed", (json_int_t)out->failed));
    }
    return list;
}
