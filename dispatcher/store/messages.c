#include "dispatcher/store/store.h"

#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/base/vocab.h"
#include "dispatcher/base/clock.h"
#include "schedules/instant.h"
#include "dispatcher/store/asking.h"
#include "dispatcher/store/journeys.h"
#include "dispatcher/store/messages.h"
#include "dispatcher/store/pipeline.h"
#include "dispatcher/store/wire/state.h"

/* ---------------------------------------------------------------- accepting */

struct accepting {
    accept_fn *fn;
    void *arg;
    struct args *message; /* of one that is to be stored */
};

static struct batch *make_accept(void *arg)
{
    const struct store *s = arg;
    struct batch *b = batch_new("accept");
    g_autofree char *wake = store_key(s, "wake");

    args_int(batch_args(b), s->retain_messages_ms);
    args_int(batch_args(b), s->retain_events_ms);
    args_text(batch_args(b), wake);
    return b;
}

static void add_accept(struct batch *b, void *job)
{
    args_append(batch_args(b), ((struct accepting *)job)->message);
}

static void on_accepted(void *arg, const redisReply *reply, size_t index)
{
    struct accepting *job = arg;

    job->fn(job->arg, reply ? reply_text(reply, index) : NULL);
    args_free(job->message);
    g_free(job);
}

const struct batch_kind accept_kind = { make_accept, add_accept, on_accepted, BATCH_TURN };

void acceptance_args(struct args *a, const struct acceptance *m)
{
    args_text(a, m->id);
    args_text(a, m->recipient);
    args_bytes(a, m->body, m->body_len);
    args_text(a, m->category);
    args_char(a, m->kind);
    args_int(a, m->send_at);
    args_int(a, m->expires_at);
    args_char(a, m->strategy);
    args_text(a, m->channels);
    args_int(a, m->lane);
    args_text(a, m->supersede);
    args_text(a, m->source);
    args_text(a, m->local);
    args_text(a, m->profile_was);
    args_text(a, m->profile_new);
    args_text(a, m->journey);
}

void store_accept(struct batches *batches, const struct acceptance *m, accept_fn *fn, void *arg)
{
    struct accepting *job = g_new0(struct accepting, 1);

    *job = (struct accepting){ fn, arg, args_new() };
    acceptance_args(job->message, m);
    batch_join(batches, 0, ident_partition(m->id), job);
}

static void on_reserved(void *arg, const redisReply *reply)
{
    struct accepting *job = arg;
    job->fn(job->arg, reply && reply->type == REDIS_REPLY_STRING ? reply->str : NULL);
    g_free(job);
}

void store_reserve(struct store *s, const char *key, const char *hash, const char *id, int64_t send_at, accept_fn *fn,
                   void *arg)
{
    struct args *a = args_new();
    struct accepting *job = g_new0(struct accepting, 1);
    int64_t ahead = MAX(send_at - clock_now(), 0);

    *job = (struct accepting){ .fn = fn, .arg = arg };
    args_text(a, key);
    args_text(a, hash);
    args_text(a, id);
    args_int(a, send_at);
    args_int(a, (int64_t)((double)ahead / clock_rate()) + KEY_OUTLIVES_MS);
    store_script(s, store_partition(s, key), "reserve", a, on_reserved, job);
}

static void on_holder(void *arg, const redisReply *reply)
{
    struct accepting *job = arg;
    job->fn(job->arg, !reply ? NULL : reply->type == REDIS_REPLY_STRING ? reply->str : "");
    g_free(job);
}

void store_key_holder(struct store *s, const char *key, accept_fn *fn, void *arg)
{
    struct accepting *job = g_new0(struct accepting, 1);
    g_autofree char *name = g_strdup_printf("%s:{%d}:k:%s", s->prefix, store_partition(s, key), key);

    *job = (struct accepting){ .fn = fn, .arg = arg };
    store_command(s, on_holder, job, 2, (const char *[]){ "GET", name });
}

/* ---------------------------------------------------------------- a message as JSON */

static json_t *instant_json(int64_t ms)
{
    char text[32];
    return json_string(instant_format(text, ms));
}

static json_t *instant_or_null(const char *ms)
{
    return *ms && strcmp(ms, "0") != 0 ? instant_json(g_ascii_strtoll(ms, NULL, 10)) : json_null();
}

static json_t *text_or_null(const char *text)
{
    return *text ? json_string(text) : json_null();
}

static json_t *delivery_json(const char *const *d, const char *mid, char letter)
{
    char code = *d[DELIVERY_STATUS];
    g_autofree char *id = g_strdup_printf("%s-%c", mid, letter);
    int64_t attempts = g_ascii_strtoll(d[DELIVERY_ATTEMPTS], NULL, 10);

    return json_pack("{s:s, s:s, s:o, s:s, s:o, s:o, s:I, s:o, s:o, s:o, s:[]}", "id", id, "channel",
                     channel_name(letter), "planned_at", instant_or_null(d[DELIVERY_PLANNED]), "status",
                     status_name(code), "reason", text_or_null(d[DELIVERY_REASON]), "provider",
                     text_or_null(d[DELIVERY_PROVIDER]), "attempts", (json_int_t)attempts, "next_attempt_at",
                     status_is_final(code) ? json_null() : instant_or_null(d[DELIVERY_DUE]), "sent_at",
                     instant_or_null(d[DELIVERY_SENT_AT]), "provider_ref", text_or_null(d[DELIVERY_REFERENCE]),
                     "engagement");
}

/* The delivery on the channel of a letter, NULL when there is none. */
static const char *const *delivery_on(const struct state *s, char letter)
{
    const char *const *d = s->on[channel_of(letter)];
    return *d[DELIVERY_STATUS] ? d : NULL;
}

static const char *overall_status(const struct state *state)
{
    bool open = false, sending = false;
    char best = 0;

    for (const char *l = state->of[STATE_ORDER]; *l; l++) {
        const char *const *d = delivery_on(state, *l);
        char status = d ? *d[DELIVERY_STATUS] : 0;
        if (!status)
            continue;
        open |= !status_is_final(status);
        sending |= status == STATUS_ADMITTED || status == STATUS_COMMITTING;
        if (!best || status_rank(status) > status_rank(best))
            best = status;
    }
    return status_name(sending ? STATUS_ADMITTED : open || !best ? STATUS_SCHEDULED : best);
}

static void add_trace(json_t *trace, const char *packed)
{
    json_auto_t *entry = json_loads(packed, 0, NULL);
    const char *channel = channel_name(*(json_string_value(json_array_get(entry, 1)) ?: ""));

    for (size_t i = 2; i < json_array_size(entry); i++) {
        json_t *fact = json_array_get(entry, i), *detail = json_array_get(fact, 2);
        json_array_append_new(trace, json_pack("{s:o, s:o, s:O, s:O, s:o}", "at",
                                               instant_json(json_integer_value(json_array_get(entry, 0))), "channel",
                                               channel ? json_string(channel) : json_null(), "gate",
                                               json_array_get(fact, 0), "verdict", json_array_get(fact, 1), "detail",
                                               detail ? json_incref(detail) : json_object()));
    }
}

static json_t *trace_json(const struct state *state, const json_t *body, const char *lines)
{
    json_t *trace = json_array();
    json_t *detail = json_object();
    static const char *const keys[] = { "door", "source", "idempotency_key", "template_version" };

    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++)
        if (json_object_get(body, keys[i]))
            json_object_set(detail, keys[i], json_object_get(body, keys[i]));
    json_object_set_new(detail, "send_at", instant_or_null(state->of[STATE_SEND_AT]));
    json_array_append_new(trace,
                          json_pack("{s:o, s:n, s:s, s:s, s:o}", "at", instant_or_null(state->of[STATE_ACCEPTED_AT]),
                                    "channel", "gate", "accepted", "verdict", "pass", "detail", detail));
    g_auto(GStrv) list = g_strsplit(lines, "\n", -1);
    for (size_t i = 0; list[i] && *list[i]; i++)
        add_trace(trace, list[i]);
    return trace;
}

/* "run|sequence|step": why they get this. */
static void add_journey(json_t *message, const char *journey)
{
    g_auto(GStrv) words = g_strsplit(journey, "|", 3);

    if (g_strv_length(words) != 3)
        return;
    json_object_set_new(message, "run", json_string(words[0]));
    json_object_set_new(message, "sequence", json_string(words[1]));
    json_object_set_new(message, "step", json_string(words[2]));
}

static json_t *message_json(const char *mid, const redisReply *reply, enum show show)
{
    static const char *const kept[] = { "template", "priority", "strategy",  "channels", "source",
                                        "tags",     "data",     "supersede", "thread" };
    struct state state;

    state_read(&state, reply_text(reply, 0));
    json_auto_t *body = json_loads(reply_text(reply, 1), JSON_REJECT_DUPLICATES, NULL);
    json_t *message =
        json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:o}", "id", mid, "status", overall_status(&state), "recipient",
                  state.of[STATE_RECIPIENT], "category", state.of[STATE_CATEGORY], "send_at",
                  instant_or_null(state.of[STATE_SEND_AT]), "expires_at", instant_or_null(state.of[STATE_EXPIRES]),
                  "accepted_at", instant_or_null(state.of[STATE_ACCEPTED_AT]));
    json_t *deliveries = json_array();

    add_journey(message, state.of[STATE_JOURNEY]);
    for (size_t i = 0; i < G_N_ELEMENTS(kept); i++)
        if (json_object_get(body, kept[i]) && (show == SHOW_TRACE || i < 6))
            json_object_set(message, kept[i], json_object_get(body, kept[i]));
    for (const char *l = state.of[STATE_ORDER]; *l; l++)
        if (delivery_on(&state, *l))
            json_array_append_new(deliveries, delivery_json(delivery_on(&state, *l), mid, *l));
    json_object_set_new(message, "deliveries", deliveries);
    if (show == SHOW_TRACE)
        json_object_set_new(message, "trace", trace_json(&state, body, reply_text(reply, 2)));
    state_clear(&state);
    return message;
}

struct showing {
    char id[MESSAGE_ID_SIZE];
    enum show show;
    message_fn *fn;
    void *arg;
};

static void on_shown(void *arg, const redisReply *reply)
{
    struct showing *job = arg;
    json_auto_t *message = reply_at(reply, 0) ? message_json(job->id, reply, job->show) : NULL;

    job->fn(job->arg, reply != NULL, message);
    g_free(job);
}

void store_show(struct store *s, const char *id, enum show show, message_fn *fn, void *arg)
{
    struct showing *job = g_new0(struct showing, 1);
    struct args *a = args_new();
    int partition = ident_partition(id);

    *job = (struct showing){ .show = show, .fn = fn, .arg = arg };
    g_strlcpy(job->id, id, sizeof job->id);
    args_text(a, id);
    args_text(a, show == SHOW_TRACE ? "t" : "");
    /* what is no id is looked for all the same, in partition 0, so that the answer comes from the loop */
    store_script(s, partition >= 0 && partition < s->partitions ? partition : 0, "show", a, on_shown, job);
}

/* ---------------------------------------------------------------- of a person */

static void on_timeline_message(void *arg, bool ok, json_t *message)
{
    struct gather *g = arg;

    g->lost |= !ok;
    if (message) {
        const char *status = json_string_value(json_object_get(message, "status"));
        bool pending = strcmp(status, "scheduled") == 0 || strcmp(status, "sending") == 0;
        json_array_append(json_object_get(g->result, pending ? "pending" : "past"), message);
    }
    gather_done(g);
}

struct timeline {
    struct store *store;
    struct gather *gather;
    enum show show;
};

static void on_mids(void *arg, const redisReply *reply)
{
    struct timeline *job = arg;
    struct gather *g = job->gather;

    g->lost |= !reply;
    for (size_t list = 0; reply && list < 2; list++)
        for (size_t i = 0; i < reply_at(reply, list)->elements; i++) {
            g->open++;
            store_show(job->store, reply_text(reply_at(reply, list), i), job->show, on_timeline_message, g);
        }
    g_free(job);
    gather_done(g);
}

static void on_timeline_runs(void *arg, bool ok, json_t *runs)
{
    struct gather *g = arg;

    g->lost |= !ok;
    json_object_set(g->result, "runs", runs);
    gather_done(g);
}

void store_timeline(struct store *s, const char *recipient, int limit, enum show show, json_fn *fn, void *arg)
{
    struct timeline *job = g_new0(struct timeline, 1);
    struct args *a = args_new();

    *job = (struct timeline){ s, gather_new(json_pack("{s:[], s:[]}", "pending", "past"), fn, arg), show };
    args_text(a, "mids");
    args_text(a, recipient);
    args_int(a, limit);
    job->gather->open++;
    store_runs(s, recipient, on_timeline_runs, job->gather);
    store_script(s, store_partition(s, recipient), "person", a, on_mids, job);
}

/* ---------------------------------------------------------------- the queue */

static void add_to(json_t *row, const char *name, int64_t n)
{
    json_t *sum = json_object_get(row, name);
    json_integer_set(sum, json_integer_value(sum) + n);
}

static void at_least(json_t *row, const char *name, double x)
{
    if (x > json_real_value(json_object_get(row, name)))
        json_real_set(json_object_get(row, name), x);
}

#define ROW 4 /* figures that the script tells of a channel */

static void on_queue(void *arg, const redisReply *reply)
{
    struct gather *g = arg;
    json_t *channels = json_object_get(g->result, "channels");

    g->lost |= !reply;
    for (size_t c = 0; reply && c < CHANNEL_COUNT; c++) {
        json_t *row = json_object_get(channels, channel_rows[c].name);
        int64_t oldest = reply_int(reply, 2 + ROW * c + 2);
        double lag = oldest < 0 ? 0 : (double)(clock_now() - oldest) / 1000;
        add_to(row, "waiting", reply_int(reply, 2 + ROW * c));
        add_to(row, "due", reply_int(reply, 2 + ROW * c + 1));
        add_to(row, "in_flight", reply_int(reply, 2 + ROW * c + 3));
        at_least(row, "lag_seconds", lag);
        at_least(g->result, "lag_seconds", lag);
    }
    if (reply) {
        add_to(g->result, "in_flight", reply_int(reply, 0));
        add_to(g->result, "dead", reply_int(reply, 1));
    }
    gather_done(g);
}

void store_queue(struct store *s, json_fn *fn, void *arg)
{
    struct gather *g = gather_new(
        json_pack("{s:{}, s:i, s:i, s:f}", "channels", "in_flight", 0, "dead", 0, "lag_seconds", 0.), fn, arg);

    for (int c = 0; c < CHANNEL_COUNT; c++)
        json_object_set_new(
            json_object_get(g->result, "channels"), channel_rows[c].name,
            json_pack("{s:i, s:i, s:i, s:f}", "waiting", 0, "due", 0, "in_flight", 0, "lag_seconds", 0.));
    for (int p = 0; p < s->partitions; p++) {
        g->open++;
        store_script(s, p, "queue", args_new(), on_queue, g);
    }
    gather_done(g);
}
