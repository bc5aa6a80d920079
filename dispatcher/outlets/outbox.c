#include "dispatcher/outlets/outbox.h"

#include <glib.h>
#include <string.h>

#include "channels/mail/pool.h"
#include "channels/web/sms.h"
#include "dispatcher/base/vocab.h"
#include "dispatcher/base/log.h"
#include "dispatcher/base/metrics.h"
#include "dispatcher/config/settings.h"

#define FIRST_PAUSE   1.0
#define LONGEST_PAUSE 60.0
#define IN_APP_PLACES 256

struct outbox {
    struct service *service;
    GPtrArray *outlets;
    GQueue waiting[CHANNEL_COUNT][LANES];
    unsigned popped[CHANNEL_COUNT];
    GPtrArray *strings; /* settings that providers borrow */
};

/* ---------------------------------------------------------------- opening */

static char *keep(struct outbox *o, char *text)
{
    g_ptr_array_add(o->strings, text);
    return text;
}

static struct outlet *add_outlet(struct outbox *o, enum channel channel, struct provider *p, const char *name,
                                 int places, double rate)
{
    struct outlet *out = g_new0(struct outlet, 1);

    *out = (struct outlet){ .provider = p, .channel = channel, .places = places, .rate = rate };
    out->burst = MAX(1, rate / 10);
    out->tokens = out->burst;
    out->filled_at = ev_now(o->service->loop);
    g_strlcpy(out->name, name, sizeof out->name);
    g_ptr_array_add(o->outlets, out);
    return out;
}

static void add_email(struct outbox *o, const json_t *p)
{
    static const char *const modes[] = { "none", "opportunistic", "required", "implicit" };
    const char *url = setting_text(p, "email.providers[].url"), *tls = setting_text(p, "email.providers[].tls");
    GUri *uri = g_uri_parse(url, G_URI_FLAGS_HAS_PASSWORD, NULL);
    struct email_settings s = {
        .name = setting_text(p, "email.providers[].name"),
        .host = keep(o, g_strdup(g_uri_get_host(uri))),
        .user = keep(o, g_strdup(g_uri_get_user(uri))),
        .password = keep(o, g_strdup(g_uri_get_password(uri))),
        .ca_file = keep(o, config_path(o->service->config, p, "email.providers[].ca_file")),
        .hello = setting_text(p, "email.providers[].hello"),
        .connections = (int)setting_int(p, "email.providers[].connections"),
        .connect_timeout_ms = setting_ms(p, "email.providers[].connect_timeout"),
        .send_timeout_ms = setting_ms(p, "email.providers[].send_timeout"),
        .reply_timeout_ms = setting_ms(p, "email.providers[].reply_timeout"),
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(modes); i++)
        if (strcmp(tls, modes[i]) == 0)
            s.tls = (enum email_tls)i;
    if (g_str_has_prefix(url, "smtps:"))
        s.tls = EMAIL_TLS_IMPLICIT;
    s.port = g_uri_get_port(uri) > 0 ? g_uri_get_port(uri) : s.tls == EMAIL_TLS_IMPLICIT ? 465 : 587;
    g_uri_unref(uri);
    add_outlet(o, CHANNEL_EMAIL, email_open(o->service->loop, &s), s.name, s.connections,
               setting_rate(p, "email.providers[].rate"));
}

static void add_sms(struct outbox *o, const json_t *p)
{
    const json_t *request = json_object_get(p, "request");
    struct sms_settings s = {
        .name = setting_text(p, "sms.providers[].name"),
        .url = setting_text(p, "sms.providers[].url"),
        .sender = setting_text(p, "sms.providers[].sender"),
        .signing_secret = setting_text(p, "sms.providers[].signing_secret"),
        .concurrency = (int)setting_int(p, "sms.providers[].concurrency"),
        .timeout_ms = setting_ms(p, "sms.providers[].timeout"),
        .headers = json_object_get(request, "headers"),
        .body = json_object_get(request, "body"),
        .form = strcmp(setting_text(p, "sms.providers[].request.format"), "form") == 0,
    };

    add_outlet(o, CHANNEL_SMS, sms_open(o->service->loop, &s), s.name, s.concurrency,
               setting_rate(p, "sms.providers[].rate"));
}

struct outbox *outbox_open(struct service *s)
{
    struct outbox *o = g_new0(struct outbox, 1);
    json_t *p;
    size_t i;

    o->service = s;
    o->outlets = g_ptr_array_new();
    o->strings = g_ptr_array_new_with_free_func(g_free);
    json_array_foreach ((json_t *)setting_json(s->config->root, "email.providers"), i, p)
        add_email(o, p);
    json_array_foreach ((json_t *)setting_json(s->config->root, "sms.providers"), i, p)
        add_sms(o, p);
    add_outlet(o, CHANNEL_IN_APP, NULL, "inbox", IN_APP_PLACES, 0);
    return o;
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
    g_ptr_array_unref(o->strings);
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

int outbox_waiting(const struct outbox *o, enum channel c)
{
    return (int)(o->waiting[c][0].length + o->waiting[c][1].length + o->waiting[c][2].length);
}

/* ---------------------------------------------------------------- outlets */

static void refill(struct outbox *o, struct outlet *out)
{
    double now = ev_now(o->service->loop);

    out->tokens = MIN(out->burst, out->tokens + (now - out->filled_at) * out->rate);
    out->filled_at = now;
}

/* Places, and as many again so that the next ones are admitted while those are on their way; one after a fault. */
static int places(const struct outlet *out)
{
    return out->faults ? 1 : out->provider ? 2 * out->places : out->places;
}

static double wait_of(struct outbox *o, struct outlet *out)
{
    double now = ev_now(o->service->loop);

    if (out->paused_until > now)
        return out->paused_until - now;
    if (out->taken >= places(out))
        return 0;
    if (out->rate > 0) {
        refill(o, out);
        if (out->tokens < 1)
            return (1 - out->tokens) / out->rate + 0.001;
    }
    return -1;
}

struct outlet *outbox_take(struct outbox *o, enum channel c, double *again)
{
    *again = 0;
    for (guint i = 0; i < o->outlets->len; i++) {
        struct outlet *out = o->outlets->pdata[i];
        if (out->channel != c)
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
    out->paused_until = ev_now(o->service->loop) + seconds;
    set_up(out, false);
    log_warn("provider.paused", "{s:s, s:f, s:i, s:i}", "provider", out->name, "seconds", seconds, "faults",
             out->faults, "code", why->code);
}

void outlet_leave(struct outbox *o, struct outlet *out, const struct outcome *outcome)
{
    out->taken--;
    if (!outcome)
        return;
    g_autofree char *labels = g_strdup_printf("provider=\"%s\",outcome=\"%s\"", out->name, outcome_name(outcome->kind));
    metrics_add(METRIC_ATTEMPTS, labels, 1);
    if (outcome->kind == OUTCOME_SENT)
        out->sent++;
    else
        out->failed++;
    bool paused = out->paused_until > ev_now(o->service->loop); /* those that went down together are one fault */
    if (outcome->kind == OUTCOME_FAULT && !paused) {
        double seconds = MIN(LONGEST_PAUSE, FIRST_PAUSE * (1 << MIN(out->faults, 6)));
        out->faults++;
        pause_outlet(o, out, seconds, outcome);
    } else if (outcome->retry_after_ms > 0 && (outcome->code == 429 || outcome->code == 503)) {
        pause_outlet(o, out, (double)outcome->retry_after_ms / 1000, outcome); /* it asked us all to slow down */
    } else if (out->faults && !paused && outcome->kind != OUTCOME_FAULT && outcome->kind < OUTCOME_STOPPED) {
        out->faults = 0;
        log_info("provider.well", "{s:s}", "provider", out->name);
        set_up(out, true);
    }
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
    double left = out->paused_until - ev_now(o->service->loop);
    return left > 0 ? (int64_t)(1000 * left) : 0;
}

bool outbox_alternative(const struct outbox *o, const struct outlet *than)
{
    for (guint i = 0; i < o->outlets->len; i++) {
        const struct outlet *out = o->outlets->pdata[i];
        if (out != than && out->channel == than->channel && !out->faults)
            return true;
    }
    return false;
}

int outbox_capacity(struct outbox *o, enum channel c)
{
    double now = ev_now(o->service->loop);
    int capacity = 0;

    if (!outbox_configured(o, c))
        return 64; /* they are claimed to be told that there is no way out */
    for (guint i = 0; i < o->outlets->len; i++) {
        struct outlet *out = o->outlets->pdata[i];
        if (out->channel != c || out->paused_until > now)
            continue;
        int room = out->faults ? 1 : 2 * out->places + 64;
        if (out->rate > 0)
            room = MIN(room, MAX(1, (int)(2 * out->rate)));
        capacity += room;
    }
    return capacity;
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
                                              channel_name(channel_letters[out->channel]), "paused",
                                              out->paused_until > ev_now(o->service->loop), "in_flight", out->taken,
                                              "sent", (json_int_t)out->sent, "failed", (json_int_t)out->failed));
    }
    return list;
}
