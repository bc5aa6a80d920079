#include "channels/web/sms.h"

#include <ev.h>
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "channels/gsm.h"
#include "channels/web/webhook.h"

struct sms_provider {
    struct provider head;
    struct ev_loop *loop;
    struct sms_settings s;
    struct webhook *web;
    int on_the_way;
};

struct ticket {
    struct sms_provider *home;
    struct parcel_events events;
    ev_timer later; /* callbacks come from the loop, never from inside a call */
    char *id, *body;
    int64_t now_ms;
    bool stopped;
};

/* ---------------------------------------------------------------- the request */

static const char *field_value(const char *name, size_t len, const struct parcel *p, const struct sms_size *size,
                               const char *sender, char number[static 16])
{
    snprintf(number, 16, "%d", size->segments);
    const struct {
        const char *name, *value;
    } fields[] = { { "id", p->id },        { "to", p->to },
                   { "text", p->bytes },   { "encoding", size->encoding },
                   { "segments", number }, { "sender", sender ? sender : "" } };
    for (size_t i = 0; i < G_N_ELEMENTS(fields); i++)
        if (strlen(fields[i].name) == len && memcmp(fields[i].name, name, len) == 0)
            return fields[i].value;
    return NULL;
}

static char *fill(const char *shape, const struct parcel *p, const struct sms_size *size, const char *sender)
{
    GString *out = g_string_new(NULL);
    char number[16];

    while (*shape) {
        const char *end = *shape == '{' ? strchr(shape, '}') : NULL;
        const char *value = end ? field_value(shape + 1, (size_t)(end - shape - 1), p, size, sender, number) : NULL;
        if (value) {
            g_string_append(out, value);
            shape = end + 1;
        } else {
            g_string_append_c(out, *shape++);
        }
    }
    return g_string_free(out, FALSE);
}

static json_t *shaped(const json_t *shape, const struct parcel *p, const struct sms_size *size, const char *sender)
{
    const char *key;
    json_t *value, *out;
    size_t i;

    if (json_is_string(shape)) {
        g_autofree char *text = fill(json_string_value(shape), p, size, sender);
        return json_string(text);
    }
    if (json_is_array(shape)) {
        out = json_array();
        json_array_foreach (shape, i, value)
            json_array_append_new(out, shaped(value, p, size, sender));
        return out;
    }
    if (!json_is_object(shape))
        return json_deep_copy(shape);
    out = json_object();
    json_object_foreach ((json_t *)shape, key, value)
        json_object_set_new(out, key, shaped(value, p, size, sender));
    return out;
}

static char *as_form(const json_t *object)
{
    GString *out = g_string_new(NULL);
    const char *key;
    json_t *value;

    json_object_foreach ((json_t *)object, key, value) {
        g_autofree char *name = g_uri_escape_string(key, NULL, FALSE);
        char *plain = json_is_string(value) ? strdup(json_string_value(value))
                                            : json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
        g_autofree char *text = g_uri_escape_string(plain, NULL, FALSE);
        free(plain);
        g_string_append_printf(out, "%s%s=%s", out->len ? "&" : "", name, text);
    }
    return g_string_free(out, FALSE);
}

static char *make_body(const struct sms_settings *s, const struct parcel *p)
{
    struct sms_size size = sms_measure(p->bytes);
    json_auto_t *body = s->body
                            ? shaped(s->body, p, &size, s->sender)
                            : json_pack("{s:s, s:s, s:s, s:s, s:i, s:s?}", "id", p->id, "to", p->to, "text", p->bytes,
                                        "encoding", size.encoding, "segments", size.segments, "sender", s->sender);
    return s->form ? as_form(body) : json_dumps(body, JSON_COMPACT);
}

/* ---------------------------------------------------------------- the answer */

/* Which outcome a status stands for (faults: other 4xx are final; 401 and 403 are about us, not about the message). */
static enum outcome_kind kind_of(int status)
{
    if (status / 100 == 2)
        return OUTCOME_SENT;
    if (status == 401 || status == 403)
        return OUTCOME_FAULT;
    if (status == 408 || status == 425 || status == 429 || status / 100 == 5)
        return OUTCOME_DEFERRED;
    return OUTCOME_REFUSED;
}

static void take_ref(struct outcome *o, const char *body)
{
    json_auto_t *answer = json_loads(body, JSON_REJECT_DUPLICATES, NULL);
    const json_t *id = json_object_get(answer, "id");

    if (json_is_string(id))
        g_strlcpy(o->ref, json_string_value(id), sizeof o->ref);
    else if (json_is_integer(id))
        snprintf(o->ref, sizeof o->ref, "%" JSON_INTEGER_FORMAT, json_integer_value(id));
}

static void one_line(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ')
            *text = ' ';
}

static void ticket_finish(struct ticket *t, const struct outcome *o)
{
    t->home->on_the_way--;
    t->events.done(t->events.arg, o);
    ev_timer_stop(t->home->loop, &t->later);
    g_free(t->id);
    g_free(t->body);
    g_free(t);
}

static void on_answer(void *arg, const struct webhook_answer *a)
{
    struct ticket *t = arg;
    struct outcome o = { .code = a->status, .retry_after_ms = a->retry_after_ms };

    if (a->status) {
        o.kind = kind_of(a->status);
        int len = snprintf(o.detail, sizeof o.detail, "HTTP %d", a->status);
        if (o.kind == OUTCOME_SENT)
            take_ref(&o, a->body);
        else if (*a->body)
            snprintf(o.detail + len, sizeof o.detail - (size_t)len, " %.120s", a->body);
        if (a->status / 100 == 3)
            g_strlcpy(o.detail, "the gateway redirects, which is not followed: correct its url", sizeof o.detail);
    } else {
        /* a gateway that is only slow knows the repetition by its key */
        o.kind = a->nothing_sent ? OUTCOME_FAULT : a->timed_out ? OUTCOME_DEFERRED : OUTCOME_UNKNOWN;
        o.perhaps = o.kind == OUTCOME_DEFERRED;
        snprintf(o.detail, sizeof o.detail, "%s", a->error);
    }
    if (o.retry_after_ms > 0 && (o.code == 429 || o.code == 503))
        o.kind = OUTCOME_FAULT; /* it speaks of itself, not of this message */
    one_line(o.detail);
    ticket_finish(t, &o);
}

/* ---------------------------------------------------------------- the provider */

static void post(struct ticket *t)
{
    struct sms_provider *p = t->home;
    GPtrArray *headers = g_ptr_array_new_with_free_func(g_free);
    const char *name;
    json_t *value;
    int64_t now_s = t->now_ms / 1000;

    g_ptr_array_add(headers, g_strdup(p->s.form ? "Content-Type: application/x-www-form-urlencoded"
                                                : "Content-Type: application/json"));
    g_ptr_array_add(headers, g_strdup_printf("Idempotency-Key: %s", t->id));
    g_ptr_array_add(headers, g_strdup_printf("webhook-id: %s", t->id));
    g_ptr_array_add(headers, g_strdup_printf("webhook-timestamp: %" G_GINT64_FORMAT, now_s));
    if (p->s.signing_secret) {
        g_autofree char *signature = webhook_sign(p->s.signing_secret, t->id, now_s, t->body, strlen(t->body));
        g_ptr_array_add(headers, g_strdup_printf("webhook-signature: %s", signature));
    }
    json_object_foreach ((json_t *)p->s.headers, name, value)
        g_ptr_array_add(headers, g_strdup_printf("%s: %s", name, json_string_value(value)));
    g_ptr_array_add(headers, NULL);
    webhook_post(p->web, p->s.url, (const char *const *)headers->pdata, t->body, strlen(t->body), on_answer, t);
    g_ptr_array_unref(headers);
}

/* The commit question comes before the request: HTTP has no last byte that could be held back. */
static void on_later(struct ev_loop *loop, ev_timer *w, int revents)
{
    struct ticket *t = w->data;

    if (t->stopped)
        ticket_finish(t, &(struct outcome){ .kind = OUTCOME_STOPPED, .detail = "stopped before the request" });
    else
        t->events.ask(t->events.arg);
}

static int sms_room(const struct provider *head)
{
    const struct sms_provider *p = (const struct sms_provider *)head;
    return p->s.concurrency - p->on_the_way;
}

static struct ticket *sms_send(struct provider *head, const struct parcel *parcel, struct parcel_events events)
{
    struct sms_provider *p = (struct sms_provider *)head;
    struct ticket *t;

    if (sms_room(head) <= 0)
        return NULL;
    t = g_new0(struct ticket, 1);
    t->home = p;
    t->events = events;
    t->id = g_strdup(parcel->id);
    t->now_ms = parcel->now_ms;
    char *body = make_body(&p->s, parcel);
    t->body = g_strdup(body);
    free(body);
    p->on_the_way++;
    ev_timer_init(&t->later, on_later, 0., 0.);
    t->later.data = t;
    ev_timer_start(p->loop, &t->later);
    return t;
}

static void sms_answer(struct ticket *t, bool go)
{
    if (go) {
        post(t);
        return;
    }
    t->stopped = true;
    ev_timer_set(&t->later, 0., 0.);
    ev_timer_start(t->home->loop, &t->later);
}

static void sms_close(struct provider *head)
{
    struct sms_provider *p = (struct sms_provider *)head;
    webhook_close(p->web);
    g_free(p);
}

static const struct provider_type sms_type = { "sms", sms_room, sms_send, sms_answer, NULL, sms_close };

struct provider *sms_open(struct ev_loop *loop, const struct sms_settings *s)
{
    struct sms_provider *p = g_new0(struct sms_provider, 1);

    p->head.type = &sms_type;
    p->head.at_once = true;
    p->head.depth = 2;
    g_strlcpy(p->head.name, s->name, sizeof p->head.name);
    p->loop = loop;
    p->s = *s;
    p->web = webhook_open(loop, s->concurrency, s->timeout_ms);
    return &p->head;
}
