#include "dispatcher/carry/stops.h"

#include <glib.h>
#include <string.h>

#include "dispatcher/base/clock.h"
#include "dispatcher/base/figures.h"
#include "dispatcher/base/log.h"
#include "dispatcher/base/problem.h"
#include "dispatcher/config/settings.h"
#include "dispatcher/store/cancelling.h"
#include "dispatcher/store/messages.h"
#include "dispatcher/store/stops.h"
#include "schedules/instant.h"
#include "schedules/run.h"

#define AT_A_TIME  64
#define COUNT_MOST 10000 /* of what a stop holds; there may be more */
#define STALE_PART 20    /* a confirmation may be off by one part of so many */
#define TEXT_MOST  200
#define VALUE_MOST 200

/*
 *   (put) ──▶ what is in flight ──▶ what workers have in hand besides ──▶ what waits, page by page ──▶ (cancelled) ──▶
 * the receipt
 *
 * Holding is in force before any of it is counted, so a count that grows long is cut short.
 */
struct stopping {
    struct service *service;
    struct stop *stop;
    json_t *receipt, *showing, *in_hand, *cancelled; /* showing: ids that are being looked at */
    GHashTable *seen;
    char *cursor;
    size_t next;
    int open;
    enum { FLYING, IN_HAND, WAITING } pass;
    int channel; /* of the provider; -1: it is no stop of one */
    bool cancels, dry, lost;
    bool only_cancels; /* it is no stop */
    json_int_t expected;
    json_fn *fn;
    void *arg;
};

/* ---------------------------------------------------------------- what was asked */

static int property_of(const json_t *how, json_t *errors)
{
    int found = -1;

    for (int by = 0; by < STOP_BYS; by++) {
        if (!json_object_get(how, stop_bys[by]))
            continue;
        if (found >= 0) {
            problem_add(errors, "", "names %s and %s; a stop is by one of them", stop_bys[found], stop_bys[by]);
            return -1;
        }
        found = by;
    }
    if (found < 0)
        problem_add(errors, "", "needs one of all, channel, provider, category, template, sequence, source and tag");
    return found;
}

static void check_value(json_t *errors, int by, const json_t *value)
{
    g_autofree char *pointer = g_strconcat("/", stop_bys[by], NULL);
    const char *text = json_string_value(value);

    if (by == STOP_ALL && !json_is_true(value))
        problem_add(errors, pointer, "must be true");
    else if (by != STOP_ALL && (!text || !*text || strlen(text) > VALUE_MOST))
        problem_add(errors, pointer, "must be a text of 1 to %d bytes", VALUE_MOST);
    else if (by == STOP_CHANNEL && !channel_letter(text))
        problem_add(errors, pointer, "must be one of %s", CHANNEL_LIST);
}

char *stop_id(const json_t *how, json_t *errors)
{
    int by = property_of(how, errors);
    const json_t *value = by < 0 ? NULL : json_object_get(how, stop_bys[by]);

    if (value)
        check_value(errors, by, value);
    if (json_array_size(errors))
        return NULL;
    return by == STOP_ALL ? g_strdup("all") : g_strdup_printf("%s:%s", stop_bys[by], json_string_value(value));
}

static int64_t read_until(const json_t *how, json_t *errors)
{
    const json_t *until = json_object_get(how, "until");
    int64_t at = 0;

    if (!until || json_is_null(until))
        return 0;
    if (!json_is_string(until) || instant_parse(&at, json_string_value(until)) != NULL)
        problem_add(errors, "/until", "must be RFC 3339, like 2026-12-01T18:00:00Z");
    else if (at <= clock_now())
        problem_add(errors, "/until", "lies in the past");
    return at;
}

static bool read_truth(const json_t *how, const char *key, json_t *errors)
{
    const json_t *value = json_object_get(how, key);
    g_autofree char *pointer = g_strconcat("/", key, NULL);

    if (value && !json_is_boolean(value))
        problem_add(errors, pointer, "must be true or false");
    return json_is_true(value);
}

/* "hold" or "cancel" what waits. */
static bool read_waiting(const json_t *how, json_t *errors)
{
    const char *text = json_string_value(json_object_get(how, "waiting"));

    if (json_object_get(how, "waiting") && g_strcmp0(text, "hold") != 0 && g_strcmp0(text, "cancel") != 0)
        problem_add(errors, "/waiting", "must be hold or cancel");
    else if (g_strcmp0(text, "cancel") == 0 && (json_object_get(how, "channel") || json_object_get(how, "provider")))
        problem_add(errors, "/waiting", "a channel or a provider can only be held: messages have others, too");
    return g_strcmp0(text, "cancel") == 0;
}

static json_t *read_stop(const json_t *how, const char *who, json_t *errors)
{
    const json_t *reason = json_object_get(how, "reason");
    int by = property_of(how, errors);
    int64_t until = read_until(how, errors);

    if (reason && (!json_is_string(reason) || json_string_length(reason) > TEXT_MOST))
        problem_add(errors, "/reason", "must be a text of at most %d bytes", TEXT_MOST);
    if (json_array_size(errors))
        return NULL;
    return json_pack("{s:O, s:s, s:s, s:I, s:I}", stop_bys[by], json_object_get(how, stop_bys[by]), "who", who,
                     "reason", reason ? json_string_value(reason) : "", "since", (json_int_t)clock_now(), "until",
                     (json_int_t)until);
}

/* ---------------------------------------------------------------- the receipt */

static void finish(struct stopping *s)
{
    if (!s->lost && !s->dry)
        log_info("stop.set", "{s:s, s:s, s:s, s:I}", "stop", s->stop->id, "who", s->stop->who, "reason",
                 s->stop->reason, "held", json_integer_value(json_object_get(s->receipt, "held")));
    s->fn(s->arg, !s->lost, s->lost ? NULL : s->receipt);
    stop_free(s->stop);
    json_decref(s->receipt);
    json_decref(s->showing);
    json_decref(s->in_hand);
    json_decref(s->cancelled);
    g_hash_table_unref(s->seen);
    g_free(s->cursor);
    g_free(s);
}

/* A provider is known only of what has been with one: of the rest, those of its channel may be its. */
static bool covers(const struct stopping *s, const json_t *message, const json_t *delivery)
{
    const char *provider = json_string_value(json_object_get(delivery, "provider")),
               *channel = kept_text(delivery, "channel");
    const struct stoppable what = {
        .channel = channel,
        .category = kept_text(message, "category"),
        .template = kept_text(message, "template"),
        .source = kept_text(message, "source"),
        .sequence = kept_text(message, "sequence"),
        .provider = provider ? provider : s->stop->value,
        .tags = json_object_get(message, "tags"),
    };
    if (s->channel >= 0 && strcmp(channel, channel_rows[s->channel].name) != 0)
        return false;
    return stop_covers(s->stop, &what);
}

/* Whether some delivery of the message in a status is meant. */
static bool is_meant(const struct stopping *s, const json_t *message, const char *status)
{
    json_t *one;
    size_t i;

    json_array_foreach (json_object_get(message, "deliveries"), i, one)
        if (strcmp(kept_text(one, "status"), status) == 0 && covers(s, message, one))
            return true;
    return false;
}

static void go_on(struct stopping *s);

/* What was confirmed is not what there is. */
static bool is_stale(const struct stopping *s)
{
    json_int_t held = json_integer_value(json_object_get(s->receipt, "held")), apart = held - s->expected;
    return s->only_cancels && s->cancels && (apart < 0 ? -apart : apart) * STALE_PART > s->expected;
}

static void on_cancelled(void *arg, bool ok, json_t *result)
{
    struct stopping *s = arg;

    s->lost |= !ok;
    if (s->only_cancels)
        json_object_set(s->receipt, "in_flight", json_object_get(result, "in_flight"));
    json_object_set_new(s->receipt, "cancelled",
                        json_integer((json_int_t)json_array_size(json_object_get(result, "cancelled"))));
    finish(s);
}

static void hold(struct stopping *s, const json_t *message)
{
    figure_add(s->receipt, "held", 1);
    if (s->cancels)
        json_array_append(s->cancelled, json_object_get(message, "id"));
}

static void on_shown(void *arg, bool ok, json_t *message)
{
    struct stopping *s = arg;

    s->lost |= !ok;
    if (message && s->pass == FLYING && is_meant(s, message, "sending"))
        json_array_append(json_object_get(s->receipt, "in_flight"), json_object_get(message, "id"));
    else if (message && s->pass != FLYING &&
             (is_meant(s, message, "scheduled") || (s->pass == IN_HAND && is_meant(s, message, "sending"))))
        hold(s, message);
    s->open--;
    go_on(s);
}

/* Those that nobody has looked at yet. */
static void show_next(struct stopping *s, const json_t *ids)
{
    json_t *id;
    size_t i;

    json_array_clear(s->showing);
    s->next = 0;
    json_array_foreach ((json_t *)ids, i, id)
        if (g_hash_table_add(s->seen, g_strdup(json_string_value(id))))
            json_array_append(s->showing, id);
}

static void on_page(void *arg, bool ok, json_t *page)
{
    struct stopping *s = arg;

    s->lost |= !ok;
    g_free(s->cursor);
    s->cursor = g_strdup(kept_text(page, "next"));
    show_next(s, json_object_get(page, "ids"));
    s->open--;
    go_on(s);
}

static void end(struct stopping *s)
{
    if (!s->lost && is_stale(s)) {
        json_object_set_new(s->receipt, "stale", json_true());
        finish(s);
    } else if (!s->lost && json_array_size(s->cancelled)) {
        json_object_set_new(s->receipt, "held", json_integer(0));
        store_cancel_ids(s->service->store, s->cancelled, on_cancelled, s);
    } else {
        finish(s);
    }
}

/* Who only holds need not wait until a million are counted. */
static bool is_enough(struct stopping *s)
{
    bool enough =
        !s->cancels && !s->only_cancels && json_integer_value(json_object_get(s->receipt, "held")) >= COUNT_MOST;

    if (enough)
        json_object_set_new(s->receipt, "more", json_true());
    return enough;
}

static void go_on(struct stopping *s)
{
    while (!s->lost && s->open < AT_A_TIME && s->next < json_array_size(s->showing)) {
        s->open++;
        store_show(s->service->store, json_string_value(json_array_get(s->showing, s->next++)), SHOW_BRIEF, on_shown,
                   s);
    }
    if (s->open > 0)
        return;
    if (s->lost || is_enough(s) || (s->pass == WAITING && !*s->cursor)) {
        end(s);
    } else if (s->pass == FLYING) {
        s->pass = IN_HAND;
        show_next(s, s->in_hand);
        go_on(s);
    } else {
        s->pass = WAITING;
        s->open++;
        store_waiting_page(s->service->store, s->cursor, on_page, s);
    }
}

static void on_put(void *arg, bool ok, json_t *put)
{
    struct stopping *s = arg;

    s->lost |= !ok;
    json_decref(s->in_hand);
    s->in_hand = json_incref(json_object_get(put, "in_hand"));
    show_next(s, json_object_get(put, "flying"));
    go_on(s);
}

/* ---------------------------------------------------------------- what there is of that name */

/* The channel of a provider; -1 for none. */
static int channel_of_provider(const struct service *service, const char *name)
{
    static const char *const lists[CHANNEL_COUNT] = {
        [CHANNEL_EMAIL] = "email.providers", [CHANNEL_SMS] = "sms.providers"
    };
    json_t *one;
    size_t i;

    for (int c = 0; c < CHANNEL_COUNT; c++)
        json_array_foreach ((json_t *)(lists[c] ? setting_json(service->config->root, lists[c]) : NULL), i, one)
            if (g_strcmp0(json_string_value(json_object_get(one, "name")), name) == 0)
                return c;
    return -1;
}

/* A name that is none stops nothing, and nobody would notice. */
static void warn_unknown(const struct service *service, const struct stop *stop, json_t *receipt)
{
    bool known = stop->by == STOP_CATEGORY   ? policy_category(service->policy, stop->value) != NULL
                 : stop->by == STOP_TEMPLATE ? !service->library || library_find(service->library, stop->value)
                                             : true;
    g_autofree char *text = g_strdup_printf("no %s of this name is configured here", stop_bys[stop->by]);

    if (!known)
        json_object_set_new(receipt, "warnings", json_pack("[s]", text));
}

static struct stopping *stopping_new(struct service *service, struct stop *stop, json_fn *fn, void *arg)
{
    struct stopping *s = g_new0(struct stopping, 1);

    *s = (struct stopping){ .service = service,
                            .stop = stop,
                            .receipt = stop_json(stop),
                            .showing = json_array(),
                            .in_hand = json_array(),
                            .cancelled = json_array(),
                            .channel = stop->by == STOP_PROVIDER ? channel_of_provider(service, stop->value) : -1,
                            .seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
                            .cursor = g_strdup(""),
                            .fn = fn,
                            .arg = arg };
    json_object_update_new(s->receipt, json_pack("{s:i, s:i, s:[]}", "held", 0, "cancelled", 0, "in_flight"));
    warn_unknown(service, stop, s->receipt);
    return s;
}

bool stop_set(struct service *service, const json_t *how, const char *who, json_t *errors, json_fn *fn, void *arg)
{
    static const char *const known[] = { "all", "channel", "provider", "category", "template", "sequence", "source",
                                         "tag", "reason",  "until",    "waiting",  "dry_run",  NULL };
    struct stopping *s;

    problem_unknown(errors, how, known, "is unknown here");
    bool dry = read_truth(how, "dry_run", errors), cancels = read_waiting(how, errors);
    g_autofree char *id = stop_id(how, errors);
    json_auto_t *stop = id ? read_stop(how, who, errors) : NULL;
    const char *provider = json_string_value(json_object_get(stop, "provider"));
    if (provider && channel_of_provider(service, provider) < 0) {
        problem_add(errors, "/provider", "names no provider of the configuration");
        return false;
    }
    if (!stop)
        return false;
    s = stopping_new(service, stop_read(id, stop), fn, arg);
    s->cancels = cancels && !dry;
    s->dry = dry;
    if (dry)
        go_on(s);
    else
        store_stop_put(service->store, id, stop, on_put, s);
    return true;
}

/* ---------------------------------------------------------------- cancelling alone */

struct cancelling {
    json_fn *fn;
    void *arg;
    char *id, *who;
};

static void on_cancel_done(void *arg, bool ok, json_t *receipt)
{
    struct cancelling *c = arg;
    bool cancelled = json_is_integer(json_object_get(receipt, "cancelled"));
    json_auto_t *told = json_object_get(receipt, "stale") || !cancelled
                            ? json_pack("{s:O*, s:O*}", "stale", json_object_get(receipt, "stale"), "waiting",
                                        json_object_get(receipt, "held"))
                            : json_pack("{s:O*, s:O*}", "cancelled", json_object_get(receipt, "cancelled"), "in_flight",
                                        json_object_get(receipt, "in_flight"));

    if (json_object_get(receipt, "warnings"))
        json_object_set(told, "warnings", json_object_get(receipt, "warnings"));
    if (ok && cancelled)
        log_info("messages.cancelled", "{s:s, s:s, s:O}", "by", c->id, "who", c->who, "count",
                 json_object_get(receipt, "cancelled"));
    c->fn(c->arg, ok, ok ? told : NULL);
    g_free(c->id);
    g_free(c->who);
    g_free(c);
}

bool stop_cancel(struct service *service, const json_t *how, const char *who, json_t *errors, json_fn *fn, void *arg)
{
    static const char *const known[] = { "category", "template", "sequence", "source", "tag", "confirm", NULL };
    const json_t *confirm = json_object_get(how, "confirm");
    struct stopping *s;
    struct cancelling *c;

    problem_unknown(errors, how, known, "is unknown here, or cannot be cancelled by");
    if (confirm && (!json_is_integer(confirm) || json_integer_value(confirm) < 0))
        problem_add(errors, "/confirm", "must be the number that was counted");
    g_autofree char *id = stop_id(how, errors);
    json_auto_t *stop = id ? read_stop(how, who, errors) : NULL;
    if (!stop)
        return false;
    c = g_new0(struct cancelling, 1);
    *c = (struct cancelling){ fn, arg, g_strdup(id), g_strdup(who) };
    s = stopping_new(service, stop_read(id, stop), on_cancel_done, c);
    s->dry = s->only_cancels = true;
    s->cancels = confirm != NULL;
    s->expected = json_integer_value(confirm);
    json_object_del(s->receipt, "cancelled");
    go_on(s);
    return true;
}

/* ---------------------------------------------------------------- lifting */

struct lifting {
    struct service *service;
    char *id, *who;
    json_t *stop;
    json_fn *fn;
    void *arg;
};

static void lifting_end(struct lifting *l, bool ok)
{
    json_object_set_new(l->stop, "lifted", json_boolean(json_object_get(l->stop, "id") != NULL));
    l->fn(l->arg, ok, ok ? l->stop : NULL);
    json_decref(l->stop);
    g_free(l->id);
    g_free(l->who);
    g_free(l);
}

static void on_lifted(void *arg, bool ok, json_t *put)
{
    struct lifting *l = arg;

    if (ok)
        log_info("stop.lifted", "{s:s, s:s}", "stop", l->id, "who", l->who);
    lifting_end(l, ok);
}

/* Also of what is not there: who lifted it before may have been cut off in the middle. */
static void on_known(void *arg, bool ok, json_t *list)
{
    struct lifting *l = arg;
    struct stop *stop = stop_read(l->id, json_object_get(list, l->id));

    if (!ok) {
        lifting_end(l, false);
        return;
    }
    if (stop) {
        json_decref(l->stop);
        l->stop = stop_json(stop);
        stop_free(stop);
    }
    store_stop_put(l->service->store, l->id, NULL, on_lifted, l);
}

void stop_lift(struct service *service, const char *id, const char *who, json_fn *fn, void *arg)
{
    struct lifting *l = g_new0(struct lifting, 1);

    *l = (struct lifting){ service, g_strdup(id), g_strdup(who), json_object(), fn, arg };
    store_stops(service->store, 0, on_known, l);
}

/* ---------------------------------------------------------------- listing */

struct listing {
    json_fn *fn;
    void *arg;
};

static void add_stop(void *list, const struct stop *stop)
{
    json_array_append_new(list, stop_json(stop));
}

static void on_list(void *arg, bool ok, json_t *list)
{
    struct listing *l = arg;
    struct stops *stops = stops_read(list);
    json_auto_t *result = json_pack("{s:[]}", "stops");

    stops_each(stops, clock_now(), add_stop, json_object_get(result, "stops"));
    stops_free(stops);
    l->fn(l->arg, ok, ok ? result : NULL);
    g_free(l);
}

void stops_list(struct service *service, json_fn *fn, void *arg)
{
    struct listing *l = g_new0(struct listing, 1);

    *l = (struct listing){ fn, arg };
    store_stops(service->store, 0, on_list, l);
}
