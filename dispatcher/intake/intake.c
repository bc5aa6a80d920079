#include "dispatcher/intake/intake.h"

#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/base/vocab.h"
#include "dispatcher/base/problem.h"
#include "dispatcher/base/clock.h"
#include "dispatcher/base/log.h"
#include "dispatcher/base/metrics.h"
#include "dispatcher/intake/message.h"
#include "dispatcher/people/profile.h"
#include "dispatcher/people/recipient.h"
#include "dispatcher/people/turn.h"
#include "schedules/instant.h"
#include "dispatcher/store/messages.h"
#include "dispatcher/store/people.h"

#define RACES_MAX 64 /* with other processes; within this one people take turns */

struct intake {
    struct service *service;
    struct draft draft;
    char door[16], id[MESSAGE_ID_SIZE], hash[65];
    bool seeded, has_turn;
    int64_t send_at, expires_at;
    char local[64]; /* "2026-12-01T09:00|ttl" when the time was given in local time: the zone may change */
    char *profile_was, *profile_new; /* texts; new is "" when it stays */
    bool replayed;
    int races;
    json_t *errors, *refusal;
    int refusal_status;
    ev_timer later;
    intake_fn *fn;
    void *arg;
};

/* ---------------------------------------------------------------- the end */

static void finish(struct intake *in, int status, const json_t *body)
{
    g_autofree char *labels = g_strdup_printf("door=\"%s\",result=\"%d\"", in->door, status);

    metrics_add(METRIC_INTAKE, labels, 1);
    if (in->has_turn)
        turn_end(in->service, in->draft.recipient);
    in->fn(in->arg, &(struct intake_answer){ status, in->replayed, body });
    draft_clear(&in->draft);
    free(in->profile_new);
    g_free(in->profile_was);
    json_decref(in->errors);
    json_decref(in->refusal);
    g_free(in);
}

/* The store threw an error: that is no outage, and trying again does not mend it. */
static void finish_failed(struct intake *in)
{
    json_auto_t *problem =
        problem_make(500, "the store could not take this message; the log of the service says why", NULL);
    finish(in, 500, problem);
}

static void finish_gone(struct intake *in)
{
    if (script_failed()) {
        finish_failed(in);
        return;
    }
    json_auto_t *problem =
        problem_make(503, "the store does not answer; try again, with an idempotency key nothing happens twice", NULL);
    finish(in, 503, problem);
}

static void on_later(struct ev_loop *loop, ev_timer *w, int revents)
{
    struct intake *in = w->data;
    ev_timer_stop(loop, w);
    finish(in, in->refusal_status, in->refusal);
}

/* Refusals are answered from the loop like everything else. */
static void refuse(struct intake *in, int status, const char *detail)
{
    in->refusal_status = status;
    in->refusal = problem_make(status, detail, json_incref(in->errors));
    ev_timer_init(&in->later, on_later, 0., 0.);
    in->later.data = in;
    ev_timer_start(in->service->loop, &in->later);
}

static void finish_accepted(struct intake *in)
{
    char at[32];
    json_auto_t *body =
        json_pack("{s:s, s:s, s:s, s:s}", "id", in->id, "status", "scheduled", "send_at",
                  instant_format(at, in->send_at), "durability", durability_name(in->service->store->durability));
    finish(in, 202, body);
}

/*
 * A message that is refused today may be one that was accepted before: its answer was lost, and meanwhile it expired or
 * its template changed.  So before a refusal whatever makes it known is looked up: the key, or the id that its origin
 * gives it.
 */
static void on_known_message(void *arg, bool ok, json_t *message)
{
    struct intake *in = arg;
    const char *at = json_string_value(json_object_get(message, "send_at"));

    if (!ok) {
        finish_gone(in);
    } else if (message) {
        in->replayed = true;
        instant_parse(&in->send_at, at);
        finish_accepted(in);
    } else {
        refuse(in, 422, "the message was not accepted");
    }
}

static void on_known_key(void *arg, const char *held)
{
    struct intake *in = arg;
    g_auto(GStrv) words = g_strsplit(held ? held : "", "|", 3);

    if (!held)
        finish_gone(in);
    else if (g_strv_length(words) != 3 || strcmp(words[0], in->hash) != 0 || ident_partition(words[1]) < 0)
        refuse(in, 422, "the message was not accepted");
    else {
        g_strlcpy(in->id, words[1], sizeof in->id);
        store_show(in->service->store, in->id, SHOW_BRIEF, on_known_message, in);
    }
}

static void refuse_unless_known(struct intake *in)
{
    if (*in->draft.idempotency_key)
        store_key_holder(in->service->store, in->draft.idempotency_key, on_known_key, in);
    else if (in->seeded)
        store_show(in->service->store, in->id, SHOW_BRIEF, on_known_message, in);
    else
        refuse(in, 422, "the message was not accepted");
}

/* ---------------------------------------------------------------- accept */

static void accept_now(struct intake *in);
static void read_profile(struct intake *in);

static void on_replanned(void *arg)
{
    finish_accepted(arg);
}

static void accepted(struct intake *in)
{
    if (in->profile_new && *in->profile_new)
        profile_replan(in->service, in->draft.recipient, in->profile_was ? in->profile_was : "", in->profile_new,
                       on_replanned, in);
    else
        finish_accepted(in);
}

static void on_accepted(void *arg, const char *answer)
{
    struct intake *in = arg;

    if (!answer)
        finish_gone(in);
    else if (strcmp(answer, "race") == 0 && in->races++ < RACES_MAX)
        read_profile(in); /* somebody changed the person meanwhile: merge with that */
    else if (strcmp(answer, "race") == 0)
        refuse(in, 409, "other processes change this person all the time; try again");
    else
        accepted(in);
}

/* The stored profile as it will be, "" for none. */
static const char *profile_text(const struct intake *in)
{
    return in->profile_new && *in->profile_new ? in->profile_new : in->profile_was ? in->profile_was : "";
}

/* strategy first goes by the person's own order, as far as it names these channels */
static void order_channels(const struct draft *d, const char *profile_text, char out[static CHANNEL_COUNT + 1])
{
    json_auto_t *profile = *profile_text ? json_loads(profile_text, 0, NULL) : NULL;
    const json_t *preferred = json_object_get(profile, "channels");
    size_t i, n = 0;
    json_t *item;

    memset(out, 0, CHANNEL_COUNT + 1);
    if (d->strategy == 'f')
        json_array_foreach ((json_t *)preferred, i, item) {
            char letter = channel_letter(json_string_value(item) ? json_string_value(item) : "");
            if (letter && strchr(d->channels, letter) && !strchr(out, letter))
                out[n++] = letter;
        }
    for (const char *l = d->channels; *l; l++)
        if (!strchr(out, *l))
            out[n++] = *l;
}

/* What the store takes of a draft; borrows from it and from the texts. */
static struct acceptance acceptance_of(const struct draft *d, const char *id, const char *body, const char *profile)
{
    struct acceptance a = {
        .recipient = d->recipient,
        .body = body,
        .body_len = strlen(body),
        .category = d->category,
        .supersede = d->supersede,
        .kind = d->kind,
        .strategy = d->strategy,
        .lane = d->lane,
        .source = json_string_value(json_object_get(d->body, "source")) ?: "",
        .local = "",
        .profile_was = "",
        .profile_new = "",
        .journey = "",
    };

    g_strlcpy(a.id, id, sizeof a.id);
    order_channels(d, profile, a.channels);
    return a;
}

static void accept_now(struct intake *in)
{
    char *body = json_dumps(in->draft.body, JSON_COMPACT);
    struct acceptance a = acceptance_of(&in->draft, in->id, body, profile_text(in));

    a.send_at = in->send_at;
    a.expires_at = in->expires_at;
    a.local = in->local;
    a.profile_was = in->profile_was ? in->profile_was : "";
    a.profile_new = in->profile_new ? in->profile_new : "";
    store_accept(in->service->accepts, &a, on_accepted, in);
    free(body);
}

/* The time as the person's clock shows it, where it was given so: it follows their zone. */
static void note_local(const struct draft *d, char local[static 64])
{
    local[0] = '\0';
    if (d->when == WHEN_LOCAL)
        g_snprintf(local, 64, "%s|%" G_GINT64_FORMAT, d->local_text, d->ttl);
}

bool intake_prepare(const struct service *s, const json_t *message, const char *id, const char *profile,
                    const char *journey, struct prepared *out, json_t *errors)
{
    json_auto_t *person = *profile ? json_loads(profile, 0, NULL) : NULL;
    struct draft *d = &out->draft;

    *out = (struct prepared){ 0 };
    message_check(s, message, "sequence", "", d, errors);
    if (json_array_size(errors))
        return false;
    out->body = json_dumps(d->body, JSON_COMPACT);
    out->acceptance = acceptance_of(d, id, out->body, profile);
    note_local(d, out->local);
    out->acceptance.local = out->local;
    out->acceptance.journey = journey;
    draft_place(d, service_zone(s, person), clock_now(), &out->acceptance.send_at, &out->acceptance.expires_at, errors);
    return json_array_size(errors) == 0;
}

void prepared_clear(struct prepared *p)
{
    draft_clear(&p->draft);
    free(p->body);
}

/* ---------------------------------------------------------------- reserve */

static void on_reserved(void *arg, const char *answer)
{
    struct intake *in = arg;

    if (!answer) {
        finish_gone(in);
    } else if (strcmp(answer, "other") == 0) {
        problem_add(in->errors, "/idempotency_key",
                    "was used for another message already; a new message needs a new key");
        refuse(in, 422, "the idempotency key stands for another message");
    } else if (*answer) {
        /* known: the same answer again; and should the first try have ended before the message was stored, it is now */
        g_auto(GStrv) words = g_strsplit(answer, "|", 2);
        g_strlcpy(in->id, words[0], sizeof in->id);
        in->send_at = words[0] && words[1] ? g_ascii_strtoll(words[1], NULL, 10) : in->send_at;
        in->replayed = true;
        if (ident_partition(in->id) == store_partition(in->service->store, in->draft.recipient))
            accept_now(in);
        else
            finish_accepted(in);
    } else {
        accept_now(in);
    }
}

static void place(struct intake *in)
{
    const char *text = profile_text(in);
    json_auto_t *profile = *text ? json_loads(text, 0, NULL) : NULL;

    note_local(&in->draft, in->local);
    draft_place(&in->draft, service_zone(in->service, profile), clock_now(), &in->send_at, &in->expires_at, in->errors);
    if (json_array_size(in->errors))
        refuse_unless_known(in);
    else if (*in->draft.idempotency_key && !in->replayed)
        store_reserve(in->service->store, in->draft.idempotency_key, in->hash, in->id, in->send_at, on_reserved, in);
    else
        accept_now(in);
}

/* ---------------------------------------------------------------- profile */

static void on_profile(void *arg, const char *stored)
{
    struct intake *in = arg;

    if (!stored) {
        finish_gone(in);
        return;
    }
    g_free(in->profile_was);
    free(in->profile_new);
    in->profile_was = g_strdup(stored);
    in->profile_new = in->draft.profile ? recipient_merge(stored, in->draft.profile, MERGE_PART) : strdup("");
    if (*in->profile_new)
        profile_claim_addresses(in->service, in->draft.recipient, in->profile_was, in->profile_new);
    if (in->races > 0)
        accept_now(in); /* the rest is settled already */
    else
        place(in);
}

static void read_profile(struct intake *in)
{
    store_profile(in->service->store, in->draft.recipient, on_profile, in);
}

static void on_turn(void *arg)
{
    struct intake *in = arg;

    in->has_turn = true;
    read_profile(in);
}

/* ---------------------------------------------------------------- check */

static void hash_body(struct intake *in, const json_t *message)
{
    json_auto_t *copy = json_copy((json_t *)message);

    json_object_del(copy, "idempotency_key");
    char *text = json_dumps(copy, JSON_COMPACT | JSON_SORT_KEYS);
    g_autofree char *hash = g_compute_checksum_for_string(G_CHECKSUM_SHA256, text, -1);
    free(text);
    g_strlcpy(in->hash, hash, sizeof in->hash);
}

static void take_key(struct intake *in, const char *outer)
{
    if (!outer)
        return;
    if (!message_text_good(outer, sizeof in->draft.idempotency_key - 2)) {
        problem_add(in->errors, "/idempotency_key",
                    "the header Idempotency-Key must have 1 to 255 characters and no control characters");
        return;
    }
    if (*in->draft.idempotency_key && strcmp(outer, in->draft.idempotency_key) != 0)
        problem_add(in->errors, "/idempotency_key", "is not the same as the header Idempotency-Key");
    g_strlcpy(in->draft.idempotency_key, outer, sizeof in->draft.idempotency_key);
    if (in->draft.body)
        json_object_set_new(in->draft.body, "idempotency_key", json_string(outer));
}

static struct intake *intake_new(struct service *s, const struct intake_origin *o, intake_fn *fn, void *arg)
{
    struct intake *in = g_new0(struct intake, 1);

    in->service = s;
    in->fn = fn;
    in->arg = arg;
    in->errors = json_array();
    g_strlcpy(in->door, o->door, sizeof in->door);
    return in;
}

static void begin(struct intake *in, const json_t *message, const struct intake_origin *o)
{
    struct service *s = in->service;

    message_check(s, message, o->door, o->source, &in->draft, in->errors);
    take_key(in, o->key);
    hash_body(in, message);
    in->seeded = o->seed != NULL;
    ident_make(in->id, store_partition(s->store, in->draft.recipient), o->seed, o->seed ? strlen(o->seed) : 0);
    if (json_array_size(in->errors)) {
        refuse_unless_known(in);
        return;
    }
    if (in->draft.profile)
        turn_take(s, in->draft.recipient, on_turn, in);
    else if (in->draft.when == WHEN_LOCAL || in->draft.strategy == 'f')
        read_profile(in);
    else
        place(in);
}

void intake_text(struct service *s, const char *text, size_t len, const struct intake_origin *o, intake_fn *fn,
                 void *arg)
{
    struct intake *in = intake_new(s, o, fn, arg);
    json_auto_t *message = message_parse(text, len, in->errors);

    if (message)
        begin(in, message, o);
    else
        refuse(in, 400, "the message cannot be read");
}
