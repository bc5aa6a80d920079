#include "dispatcher/journeys/events.h"

#include <ev.h>
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/base/clock.h"
#include "dispatcher/base/metrics.h"
#include "dispatcher/base/problem.h"
#include "dispatcher/journeys/actor.h"
#include "dispatcher/journeys/declared.h"
#include "dispatcher/journeys/live.h"
#include "dispatcher/people/recipient.h"
#include "schedules/duration.h"
#include "schedules/instant.h"

#define DATA_MAX  (16 * 1024)
#define NAME_MAX_ 64
#define ID_MAX    128
#define AHEAD_MS  (5 * MINUTE_MS) /* clocks differ */

struct arriving {
    struct service *service;
    enum act_kind kind;
    char recipient[129], id[ID_MAX + 1], *sequence;
    char *account;        /* instead of a recipient; NULL */
    json_t *people, *did; /* of the account */
    size_t next;
    int open;
    bool lost;
    json_t *profile; /* the recipient's fields when they came along */
    json_t *event;   /* as kept */
    json_t *errors, *refusal;
    bool undeclared;
    int status;
    bool again, timed;
    ev_timer later;
    intake_fn *fn;
    void *arg;
};

static struct arriving *arriving_new(struct service *s, enum act_kind kind, intake_fn *fn, void *arg)
{
    struct arriving *a = g_new0(struct arriving, 1);

    *a = (struct arriving){ .service = s, .kind = kind, .errors = json_array(), .fn = fn, .arg = arg };
    return a;
}

/* ---------------------------------------------------------------- the end */

static void answer(struct arriving *a, int status, bool replayed, const json_t *body)
{
    g_autofree char *labels = g_strdup_printf("result=\"%d\"", status);

    metrics_add(METRIC_EVENTS, labels, 1);
    if (a->undeclared && status == 202)
        json_object_set_new((json_t *)body, "warnings",
                            json_pack("[s]", "no event of this name is declared in " DECLARED_FILE));
    a->fn(a->arg, &(struct intake_answer){ status, replayed, body });
    json_decref(a->profile);
    json_decref(a->event);
    json_decref(a->errors);
    json_decref(a->refusal);
    json_decref(a->people);
    json_decref(a->did);
    g_free(a->account);
    g_free(a->sequence);
    g_free(a);
}

static void on_later(struct ev_loop *loop, ev_timer *w, int revents)
{
    struct arriving *a = w->data;

    ev_timer_stop(loop, w);
    answer(a, a->status, false, a->refusal);
}

static void refuse(struct arriving *a, int status, const char *detail)
{
    a->status = status;
    a->refusal = problem_make(status, detail, json_array_size(a->errors) ? json_incref(a->errors) : NULL);
    ev_timer_init(&a->later, on_later, 0., 0.);
    a->later.data = a;
    ev_timer_start(a->service->loop, &a->later);
}

static void answer_gone(struct arriving *a)
{
    json_auto_t *problem =
        problem_make(503, "the store does not answer; try again, with an id of the event nothing happens twice", NULL);
    answer(a, 503, false, problem);
}

static void on_acted(void *arg, enum act_result result, const json_t *did)
{
    struct arriving *a = arg;
    static const char *const words[] = { "taken", "known" };
    const char *word = a->kind == ACT_KEEP && result == ACT_DONE ? "kept" : words[result == ACT_KNOWN];

    if (result == ACT_GONE) {
        answer_gone(a);
    } else if (result == ACT_FAILED) {
        refuse(a, 500, "the store could not take this event; the log of the service says why");
    } else if (result == ACT_BUSY) {
        refuse(a, 409, "other processes change this person all the time; try again");
    } else if (a->kind == ACT_LEAVE) {
        json_auto_t *body = json_pack("{s:o}", "did", did ? json_incref((json_t *)did) : json_array());
        answer(a, 200, false, body);
    } else {
        json_auto_t *body = json_pack("{s:s, s:s, s:o}", "id", a->id, "status", word, "did",
                                      did ? json_incref((json_t *)did) : json_array());
        answer(a, 202, result == ACT_KNOWN, body);
    }
}

static void act(struct arriving *a, const char *reason)
{
    actor_act(a->service,
              &(struct act){ .kind = a->kind,
                             .recipient = a->recipient,
                             .event = json_incref(a->event),
                             .profile = json_incref(a->profile),
                             .sequence = a->sequence,
                             .reason = reason,
                             .again = a->again },
              NULL, on_acted, a);
}

/* ---------------------------------------------------------------- checks */

static const char *text_in(struct arriving *a, const json_t *in, const char *key, size_t most)
{
    const json_t *value = json_object_get(in, key);
    g_autofree char *pointer = g_strconcat("/", key, NULL);

    if (!value || json_is_null(value))
        return NULL;
    if (json_is_string(value) && message_text_good(json_string_value(value), most))
        return json_string_value(value);
    problem_add(a->errors, pointer, "must be a text of 1 to %zu bytes without control characters", most);
    return NULL;
}

static bool is_there(const json_t *in, const char *key)
{
    const json_t *value = json_object_get(in, key);
    return value && !json_is_null(value);
}

static void check_account(struct arriving *a, const json_t *in)
{
    a->account = g_strdup(text_in(a, in, "account", 256));
    if (is_there(in, "recipient"))
        problem_add(a->errors, "/account", "stands beside a recipient; an event has happened to one of them");
}

static void check_recipient(struct arriving *a, const json_t *in)
{
    const json_t *recipient = json_object_get(in, "recipient");
    const char *id = json_string_value(recipient);

    if (json_is_object(recipient)) {
        a->profile = recipient_check(recipient, "/recipient", a->errors);
        id = json_string_value(json_object_get(a->profile, "id"));
        if (!json_object_get(recipient, "id"))
            problem_add(a->errors, "/recipient/id", "is required");
    } else if (!id) {
        problem_add(a->errors, "/recipient",
                    recipient ? "must be a recipient's id, or an object with an id" : "is required");
    } else if (!ident_good(id)) {
        problem_add(a->errors, "/recipient", "must be 1 to 128 letters, digits and . _ ~ @ + -");
    }
    g_strlcpy(a->recipient, id ? id : "", sizeof a->recipient);
}

static const char *check_name(struct arriving *a, const json_t *in)
{
    const char *name = text_in(a, in, "name", NAME_MAX_);

    if (!json_object_get(in, "name") || json_is_null(json_object_get(in, "name")))
        problem_add(a->errors, "/name", "is required: what happened, like \"customer.signed_up\"");
    else if (name && (strchr(name, ' ') || g_str_has_prefix(name, ACCOUNT_EVENT)))
        problem_add(a->errors, "/name", "must have no blanks, and not begin with \"account/\"");
    return name ? name : "";
}

static int64_t check_at(struct arriving *a, const json_t *in, int64_t now)
{
    const char *text = text_in(a, in, "at", 64);
    int64_t at = now;
    const char *why = text ? instant_parse(&at, text) : NULL;

    if (why)
        problem_add(a->errors, "/at", "%s", why);
    else if (at > now + AHEAD_MS)
        problem_add(a->errors, "/at", "lies in the future; an event has happened");
    a->timed = text != NULL;
    return MIN(at, now);
}

static const json_t *check_data(struct arriving *a, const json_t *in)
{
    const json_t *data = json_object_get(in, "data");

    if (data && !json_is_object(data) && !json_is_null(data))
        problem_add(a->errors, "/data", "must be an object");
    else if (json_is_object(data) && json_dumpb(data, NULL, 0, JSON_COMPACT) > DATA_MAX)
        problem_add(a->errors, "/data", "is larger than 16 kB");
    return json_is_object(data) ? data : NULL;
}

/* ---------------------------------------------------------------- its id */

static void make_id(struct arriving *a, const json_t *in, const json_t *data, const struct intake_origin *o)
{
    const char *given = text_in(a, in, "id", ID_MAX);
    const char *whose = a->account ? a->account : a->recipient;
    json_auto_t *words =
        json_pack("[s, O?, O?, O?]", whose, json_object_get(in, "name"), json_object_get(in, "at"), data);
    char *text = json_dumps(words, JSON_COMPACT | JSON_SORT_KEYS), made[MESSAGE_ID_SIZE];
    const char *seed = a->timed ? text : o->seed;

    ident_make(made, store_partition(a->service->store, whose), seed, seed ? strlen(seed) : 0);
    g_strlcpy(a->id, given ? given : made, sizeof a->id);
    free(text);
}

static void make_event(struct arriving *a, const char *name, int64_t at, int64_t now, const json_t *data)
{
    a->event = json_pack("{s:s, s:s, s:I, s:I, s:o}", "i", a->id, "n", name, "t", (json_int_t)at, "a", (json_int_t)now,
                         "d", data ? json_incref((json_t *)data) : json_object());
    if (a->kind == ACT_KEEP)
        json_object_set_new(a->event, "b", json_true());
}

/* ---------------------------------------------------------------- everybody of an account */

#define AT_A_TIME 64
#define DID_MOST  1000 /* that the answer tells */

static void tell_next(struct arriving *a);

static void on_company_kept(void *arg, bool ok, json_t *nothing)
{
    struct arriving *a = arg;

    if (!ok) {
        answer_gone(a);
        return;
    }
    json_auto_t *body = json_pack("{s:s, s:s, s:I, s:O}", "id", a->id, "status", a->kind == ACT_KEEP ? "kept" : "taken",
                                  "members", (json_int_t)json_array_size(a->people), "did", a->did);
    answer(a, 202, false, body);
}

static void on_member(void *arg, enum act_result result, const json_t *did)
{
    struct arriving *a = arg;

    a->open--;
    a->lost |= result != ACT_DONE && result != ACT_KNOWN;
    for (size_t i = 0; i < json_array_size(did) && json_array_size(a->did) < DID_MOST; i++)
        json_array_append(a->did, json_array_get(did, i));
    tell_next(a);
}

static void tell_member(struct arriving *a, const char *recipient)
{
    json_t *own = json_copy(a->event);
    g_autofree char *id = g_strconcat(ACCOUNT_EVENT, a->id, NULL);

    json_object_set_new(own, "i", json_string(id));
    a->open++;
    actor_act(a->service, &(struct act){ .kind = a->kind, .recipient = recipient, .event = own, .existing = true },
              NULL, on_member, a);
}

/* It is known only when all have been told: who repeats it goes on where it ended. */
static void tell_next(struct arriving *a)
{
    while (a->open < (a->service->rehearsal ? 1 : AT_A_TIME) && a->next < json_array_size(a->people) && !a->lost)
        tell_member(a, json_string_value(json_array_get(a->people, a->next++)));
    if (a->open > 0)
        return;
    if (a->lost)
        answer_gone(a);
    else
        store_company_keep(a->service->store, a->account, a->id, a->event, on_company_kept, a);
}

static void on_company(void *arg, bool ok, json_t *company)
{
    struct arriving *a = arg;

    if (!ok) {
        answer_gone(a);
    } else if (json_is_true(json_object_get(company, "known"))) {
        json_auto_t *body = json_pack("{s:s, s:s, s:[]}", "id", a->id, "status", "known", "did");
        answer(a, 202, true, body);
    } else {
        a->people = json_incref(json_object_get(company, "people"));
        a->did = json_array();
        tell_next(a);
    }
}

static void look_at_company(struct arriving *a)
{
    store_company(a->service->store, a->account, a->id, on_company, a);
}

void event_of_account(struct service *s, const char *account, json_t *event, intake_fn *fn, void *arg)
{
    struct arriving *a = arriving_new(s, ACT_EVENT, fn, arg);

    a->account = g_strdup(account);
    a->event = event;
    g_strlcpy(a->id, kept_text(event, "i"), sizeof a->id);
    look_at_company(a);
}

/* ---------------------------------------------------------------- the way in */

static void go(struct arriving *a)
{
    if (json_array_size(a->errors))
        refuse(a, 422, "the event was not taken");
    else if (a->account)
        look_at_company(a);
    else
        act(a, NULL);
}

static void take_event(struct arriving *a, const json_t *in, const struct intake_origin *o)
{
    static const char *const known[] = { "recipient", "account", "name", "at", "data", "id", "backfill", NULL };
    const json_t *backfill = json_object_get(in, "backfill");
    int64_t now = clock_now();

    problem_unknown(a->errors, in, known, "is no field of an event");
    if (is_there(in, "account"))
        check_account(a, in);
    else
        check_recipient(a, in);
    const char *name = check_name(a, in);
    int64_t at = check_at(a, in, now);
    const json_t *data = check_data(a, in);
    if (backfill && !json_is_boolean(backfill))
        problem_add(a->errors, "/backfill", "must be true or false");
    if (json_is_true(backfill))
        a->kind = ACT_KEEP;
    make_id(a, in, data, o);
    g_autofree char *own = a->account ? g_strconcat(ACCOUNT_EVENT, name, NULL) : g_strdup(name);
    make_event(a, own, at, now, data);
    a->undeclared = *name && !sequences_declare(a->service->sequences, own);
    if (!json_array_size(a->errors))
        live_note(a->service, own, o->source, !json_object_get(in, "id") && !a->timed);
    if (strcmp(o->door, "inbox") == 0)
        json_object_set(a->event, "g", json_object_get(data, "message"));
    go(a);
}

void event_text(struct service *s, const char *text, size_t len, const struct intake_origin *o, intake_fn *fn,
                void *arg)
{
    struct arriving *a = arriving_new(s, ACT_EVENT, fn, arg);
    json_auto_t *in = message_parse(text, len, a->errors);

    if (in)
        take_event(a, in, o);
    else
        refuse(a, 400, "the event cannot be read");
}

/* An enrolment is known by its id beside the events of that name, which nobody else gives. */
static void take_enrolment(struct arriving *a, const json_t *in, const struct intake_origin *o)
{
    static const char *const known[] = { "recipient", "data", "id", NULL };
    int64_t now = clock_now();
    const json_t *data = check_data(a, in);

    problem_unknown(a->errors, in, known, "is no field of an event");
    check_recipient(a, in);
    make_id(a, in, data, o);
    g_autofree char *own = g_strdup_printf("enroll/%s/%s", a->sequence, a->id);
    make_event(a, "enroll", now, now, data);
    json_object_set_new(a->event, "i", json_string(own));
    go(a);
}

void event_enroll(struct service *s, const char *sequence, const char *text, size_t len, bool again,
                  const struct intake_origin *o, intake_fn *fn, void *arg)
{
    struct arriving *a = arriving_new(s, ACT_ENROLL, fn, arg);
    json_auto_t *in = message_parse(text, len, a->errors);

    a->sequence = g_strdup(sequence);
    a->again = again;
    if (!sequences_find(s->sequences, sequence, NULL))
        refuse(a, 404, "there is no sequence of this name");
    else if (in)
        take_enrolment(a, in, o);
    else
        refuse(a, 400, "the enrolment cannot be read");
}

void event_leave(struct service *s, const char *sequence, const char *recipient, intake_fn *fn, void *arg)
{
    struct arriving *a = arriving_new(s, ACT_LEAVE, fn, arg);

    a->sequence = g_strdup(sequence);
    g_strlcpy(a->recipient, recipient, sizeof a->recipient);
    if (ident_good(recipient)) {
        act(a, "exited");
        return;
    }
    problem_add(a->errors, "/recipient", "must be 1 to 128 letters, digits and . _ ~ @ + -");
    refuse(a, 422, "nobody can be called so");
}
