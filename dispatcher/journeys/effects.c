#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/base/lapse.h"
#include "dispatcher/base/log.h"
#include "dispatcher/intake/intake.h"
#include "dispatcher/journeys/actor_own.h"
#include "dispatcher/people/person.h"

/* ---------------------------------------------------------------- what a step will write */

struct args *step_list(struct args **list, int *count)
{
    if (!*list)
        *list = args_new();
    ++*count;
    return *list;
}

void step_json(struct args **list, int *count, json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT);

    args_text(step_list(list, count), text);
    free(text);
    json_decref(value);
}

void step_count(struct thought *t, const char *field, int more)
{
    args_text(step_list(&t->step.counts, &t->step.n_counts), field);
    args_int(t->step.counts, more);
}

static void mark_text(struct thought *t, char *key, char *member, const char *score)
{
    struct args *a = step_list(&t->step.marks, &t->step.n_marks);

    args_text(a, key);
    args_text(a, member);
    args_text(a, score);
    g_free(key);
    g_free(member);
}

/* Takes key and member; score -1 takes it away. */
static void mark(struct thought *t, char *key, char *member, int64_t score)
{
    g_autofree char *text = score < 0 ? g_strdup("") : g_strdup_printf("%" G_GINT64_FORMAT, score);
    mark_text(t, key, member, text);
}

void step_door(struct thought *t, const char *sequence, const char *wave, const char *run, int64_t since)
{
    mark(t, g_strdup_printf("qw:%s:%s", sequence, wave), g_strdup_printf("%s|%s", t->recipient, run), since);
    mark(t, g_strdup_printf("qv:%s:%s", sequence, wave), g_strdup_printf("%s|%s", t->recipient, run), -1);
}

/* ---------------------------------------------------------------- effects: what is said of them */

/* What the answer to an event says; NULL for what only the trace says. */
static json_t *said_of(const struct effect *e)
{
    const char *what = effect_names[e->kind];
    json_t *item = json_pack("{s:s, s:s}", "sequence", e->sequence, "what", what);

    if (*e->run)
        json_object_set_new(item, "run", json_string(e->run));
    switch (e->kind) {
    case EFFECT_ENROLLED:
        if (*effect_text(e))
            json_object_set(item, "key", e->detail);
        if (e->wave)
            json_object_set_new(item, "wave", json_string(e->wave));
        return item;
    case EFFECT_NOT_ENROLLED: json_object_set(item, "why", e->detail); return item;
    case EFFECT_MATCHED:
        json_object_set_new(item, "step", json_string(e->step));
        json_object_set(item, "as", e->detail);
        return item;
    case EFFECT_LEFT:
        json_object_set(item, "why", e->detail);
        json_object_set_new(item, "cancelled", json_array());
        json_object_set_new(item, "in_flight", json_array());
        return item;
    case EFFECT_STUCK: json_object_set_new(item, "step", json_string(e->step)); return item;
    case EFFECT_MIGRATED:
        json_object_set_new(item, "step", json_string(e->step));
        json_object_update(item, e->detail);
        return item;
    case EFFECT_GATHERED:
        json_object_set_new(item, "step", json_string(e->step));
        json_object_set(item, "items", e->detail);
        return item;
    case EFFECT_QUEUED:
    case EFFECT_MOVED:
    case EFFECT_GOAL:
    case EFFECT_COUNTED: return item;
    default: json_decref(item); return NULL;
    }
}

/* The newest thing said of a run. */
static json_t *last_said(const struct thought *t, const char *run)
{
    for (size_t i = json_array_size(t->did); i-- > 0;) {
        json_t *item = json_array_get(t->did, i);
        if (g_strcmp0(json_string_value(json_object_get(item, "run")), run) == 0)
            return item;
    }
    return NULL;
}

static json_t *traced(const struct effect *e)
{
    char at[32];

    if (e->kind == EFFECT_SEND)
        return json_pack("{s:s, s:O?}", "message", e->message, "template", json_object_get(e->detail, "template"));
    if (e->kind == EFFECT_WAIT)
        return json_string(instant_format(at, json_integer_value(e->detail)));
    return e->detail ? json_incref(e->detail) : json_null();
}

static void write_trace(struct thought *t, const struct effect *e)
{
    step_json(&t->step.trace, &t->step.n_trace,
              json_pack("[I, s, s, s, s, o, O*]", (json_int_t)t->situation.now, e->run, e->sequence, e->step,
                        effect_names[e->kind], traced(e), e->inputs));
}

/* ---------------------------------------------------------------- effects: what they do */

struct sending {
    char id[MACHINE_ID_SIZE];
    char *journey;
    struct prepared prepared;
    bool dropped; /* cancelled before it was ever stored */
};

static void sending_free(void *sending)
{
    struct sending *s = sending;

    prepared_clear(&s->prepared);
    g_free(s->journey);
    g_free(s);
}

static char *complaint_of(const json_t *errors)
{
    const json_t *first = json_array_get(errors, 0);
    return g_strdup_printf("%s %s", kept_text(first, "pointer"), kept_text(first, "detail"));
}

/* What intake does not let in, the run hears of at once. */
static void refuse(struct thought *t, const struct effect *e, const json_t *errors)
{
    g_autofree char *why = complaint_of(errors), *id = g_strdup(e->message);

    json_array_append_new(t->did, json_pack("{s:s, s:s, s:s, s:s, s:s}", "sequence", e->sequence, "run", e->run, "what",
                                            "refused", "step", e->step, "why", why));
    step_json(
        &t->step.trace, &t->step.n_trace,
        json_pack("[I, s, s, s, s, s]", (json_int_t)t->situation.now, e->run, e->sequence, e->step, "refused", why));
    log_warn("sequence.refused", "{s:s, s:s, s:s}", "sequence", e->sequence, "step", e->step, "why", why);
    machine_message(&t->situation, t->person, id, "refused", why, t->effects);
}

static void send(struct thought *t, const struct effect *e)
{
    struct sending *s = g_new0(struct sending, 1);
    json_auto_t *errors = json_array();
    json_t *said = last_said(t, e->run);

    if (!t->sends)
        t->sends = g_ptr_array_new_with_free_func(sending_free);
    g_strlcpy(s->id, e->message, sizeof s->id);
    s->journey = g_strdup_printf("%s|%s|%s", e->run, e->sequence, e->step);
    g_ptr_array_add(t->sends, s);
    s->dropped = !intake_prepare(t->service, e->detail, s->id, t->profile_text, s->journey, &s->prepared, errors);
    if (s->dropped)
        refuse(t, e, errors);
    else if (said && !json_object_get(said, "message"))
        json_object_set_new(said, "message", json_string(e->message));
}

static struct sending *find_sending(const struct thought *t, const char *id)
{
    for (guint i = 0; t->sends && i < t->sends->len; i++)
        if (strcmp(((struct sending *)t->sends->pdata[i])->id, id) == 0)
            return t->sends->pdata[i];
    return NULL;
}

static void cancel(struct thought *t, const struct effect *e)
{
    struct sending *unsent = find_sending(t, e->message);
    json_t *left = last_said(t, e->run);

    if (unsent) {
        unsent->dropped = true;
        return;
    }
    args_text(step_list(&t->step.cancels, &t->step.n_cancels), e->message);
    json_auto_t *why = json_pack("{s:s, s:s, s:s, s:O?}", "reason", "cancelled", "by", "sequence", "sequence",
                                 e->sequence, "why", e->detail ? e->detail : json_object_get(left, "why"));
    char *detail = json_dumps(why, JSON_COMPACT);
    args_text(t->step.cancels, detail);
    free(detail);
    if (left)
        json_object_set(t->cancelling, e->message, left);
}

static json_t *emitted(const struct thought *t, const struct effect *e)
{
    json_int_t now = t->situation.now;

    return json_pack("{s:s, s:O, s:I, s:I, s:O, s:O}", "i", e->message, "n", json_object_get(e->detail, "event"), "t",
                     now, "a", now, "d", json_object_get(e->detail, "data"), "h", json_object_get(e->detail, "hops"));
}

/* An event that a run makes: of the person, who hears it in the next turn; or of the account. */
static void hand_on(struct thought *t, const struct effect *e)
{
    const char *account = person_account(t->profile);

    if (!g_str_has_prefix(kept_text(e->detail, "event"), ACCOUNT_EVENT))
        step_json(&t->step.handed, &t->step.n_handed, json_pack("{s:s, s:o}", "k", "e", "e", emitted(t, e)));
    else if (*account)
        step_json(&t->step.said, &t->step.n_said, json_pack("{s:s, s:o}", "account", account, "event", emitted(t, e)));
}

static void note_end(struct thought *t, const struct effect *e)
{
    json_t *was = json_deep_copy(e->was);
    char at[32];

    json_object_set_new(was, "ended", json_string(instant_format(at, t->situation.now)));
    json_object_set(was, "reason", e->detail);
    json_object_del(was, "until");
    step_json(&t->step.ended, &t->step.n_ended, was);
}

static void count_word(struct thought *t, const struct effect *e, const char *what, int word)
{
    g_autofree char *field = g_strdup_printf("%s|%s|%s|%s|%s|%d", e->sequence, e->version, e->held_out ? "h" : "",
                                             e->kind == EFFECT_COUNTED ? "" : e->step, what, word);
    step_count(t, field, 1);
}

/* An answer with a score from 0 to 10. */
static void count_score(struct thought *t, const struct effect *e)
{
    const char *id = kept_text(e->inputs, "event");
    json_t *event;
    size_t i;

    json_array_foreach (t->situation.kept, i, event) {
        const json_t *score = json_object_get(json_object_get(event, "d"), "score");
        if (*id && strcmp(kept_text(event, "i"), id) == 0 && json_is_integer(score) && json_integer_value(score) >= 0 &&
            json_integer_value(score) <= 10)
            count_word(t, e, "score", (int)json_integer_value(score));
    }
}

/* Counters never shrink: "sequence|version|h for who is held out|step|what|word". */
static void count_effect(struct thought *t, const struct effect *e)
{
    g_autofree char *field =
        g_strdup_printf("%s|%s|%s|%s|%s|%s", e->sequence, e->version, e->held_out ? "h" : "", e->step,
                        effect_names[e->kind], e->kind == EFFECT_ENROLLED ? "" : effect_text(e));

    step_count(t, field, 1);
    if (e->lapse >= 0)
        count_word(t, e, "lapse", lapse_bucket(e->lapse));
    if (e->kind == EFFECT_MATCHED)
        count_score(t, e);
}

/* What a wave counts, once for each run: when it was let in says to whom it happened. */
static const char *counted_by_wave(const struct effect *e)
{
    switch (e->kind) {
    case EFFECT_RELEASED: return "released";
    case EFFECT_GOAL:
    case EFFECT_COUNTED: return "goal";
    case EFFECT_ANSWERED: return "answered";
    case EFFECT_LEFT: return strcmp(effect_text(e), "opted_out") == 0 ? harm_names[HARM_OPTED_OUT] : NULL;
    case EFFECT_ENDED:
        if (strcmp(kept_text(e->inputs, "reason"), "opted_out") == 0)
            return harm_names[HARM_OPTED_OUT];
        for (int i = 0; harm_names[i]; i++)
            if (i != HARM_OPTED_OUT && strcmp(effect_text(e), harm_names[i]) == 0)
                return harm_names[i];
        return NULL;
    default: return NULL;
    }
}

/* Who had opted out before was not harmed by the wave. */
static bool has_withdrawn_since(const struct thought *t, int64_t released)
{
    const char *field;
    json_t *entry;
    bool since = false;

    json_object_foreach ((json_t *)t->consents, field, entry) {
        const char *text = json_string_value(entry);
        since |= text && *text == 'w' && g_ascii_strtoll(text + 2, NULL, 10) >= released;
    }
    return since;
}

static void mark_wave(struct thought *t, const struct effect *e)
{
    const char *what = counted_by_wave(e);
    bool at_door = e->kind == EFFECT_DOOR,
         leaves = (e->kind == EFFECT_LEFT && e->released < 0) || e->kind == EFFECT_RELEASED;

    if (e->wave && (at_door || leaves))
        step_door(t, e->sequence, e->wave, e->run, at_door ? e->enrolled : -1);
    if (!e->wave || e->released < 0)
        return;
    if (what == harm_names[HARM_OPTED_OUT] && !has_withdrawn_since(t, e->released))
        what = NULL;
    if (e->kind == EFFECT_ENDED && strcmp(kept_text(e->inputs, "reason"), "provider_rejected") == 0)
        mark(t, g_strdup_printf("qr:%s:%s:bounced", e->sequence, e->wave), g_strdup(e->run), e->released);
    if (what)
        mark(t, g_strdup_printf("qr:%s:%s:%s", e->sequence, e->wave, what), g_strdup(e->run), e->released);
    if (e->kind == EFFECT_ANSWERED) {
        char number[G_ASCII_DTOSTR_BUF_SIZE];
        g_autofree char *score =
            g_strconcat("=", g_ascii_dtostr(number, sizeof number, json_number_value(e->detail)), NULL);
        mark_text(t, g_strdup_printf("qr:%s:%s:scores", e->sequence, e->wave), g_strdup(e->run), score);
    }
}

/* "group|account|group" of a place, and who had it. */
static json_t *given(const char *place, const char *owner, const char *run)
{
    const char *account = strchr(place, '|') + 1, *group = strrchr(account, '|');

    return json_pack("{s:s%, s:s, s:s, s:s}", "account", account, (size_t)(group - account), "give", group + 1, "owner",
                     owner, "run", run);
}

/* The place of an account in a group goes back, or is another run's, or another person's. */
static void say_place(struct thought *t, const struct effect *e, bool passes)
{
    const char *was = kept_text(e->inputs, "run");
    json_t *said = given(effect_text(e), passes && !*was ? t->other : t->recipient, *was ? was : e->run);

    if (passes) {
        json_object_set_new(said, "to", json_string(t->recipient));
        json_object_set_new(said, "to_run", json_string(e->run));
    }
    step_json(&t->step.said, &t->step.n_said, said);
}

void thought_tell_line(struct thought *t, const char *place)
{
    step_json(&t->step.said, &t->step.n_said, given(place, "", ""));
}

static void take_effect(struct thought *t, const struct effect *e)
{
    json_t *said = said_of(e);

    if (said)
        json_array_append_new(t->did, said);
    write_trace(t, e);
    count_effect(t, e);
    mark_wave(t, e);
    switch (e->kind) {
    case EFFECT_SEND: send(t, e); break;
    case EFFECT_CANCELLED: cancel(t, e); break;
    case EFFECT_EMIT: hand_on(t, e); break;
    case EFFECT_GIVEN: say_place(t, e, false); break;
    case EFFECT_PASSED: say_place(t, e, true); break;
    case EFFECT_MOVED:
    case EFFECT_ENROLLED: step_count(t, e->sequence, 1); break;
    case EFFECT_LEFT:
        step_count(t, e->sequence, -1);
        note_end(t, e);
        break;
    default: break;
    }
}

void thought_end(struct thought *t)
{
    for (guint i = 0; i < t->effects->len; i++) /* they may become more meanwhile */
        take_effect(t, t->effects->pdata[i]);
    for (guint i = 0; t->sends && i < t->sends->len; i++) {
        const struct sending *s = t->sends->pdata[i];
        if (!s->dropped)
            acceptance_args(step_list(&t->step.messages, &t->step.n_messages), &s->prepared.acceptance);
    }
    t->runs = person_write(t->person);
}

struct step_of thought_step(struct thought *t, const struct view *v)
{
    t->step.version = v->version;
    t->step.runs = t->runs;
    t->step.is_in = t->person->runs->len + t->person->queue->len > 0;
    t->step.standings = kept_text(v->standings, "*");
    t->step.due =
        t->person->moved ? (t->person->runs->len ? t->situation.now : -1) : machine_due(&t->situation, t->person);
    return t->step;
}
