#include "schedules/sequence_own.h"

#include <string.h>

#include "schedules/duration.h"

#define STEPS_MAX     200
#define DEPTH_MAX     8
#define ROUNDS_MAX    50
#define LONGEST_MS    (INT64_C(36530) * DAY_MS) /* a hundred years: as good as for ever */
#define MESSAGES_MOST 1000000

const char *const step_kind_names[] = { "send",   "wait",    "wait_for", "branch", "split",
                                        "repeat", "collect", "emit",     "end",    NULL };

/* ---------------------------------------------------------------- life */

static void arm_free(void *arm)
{
    struct arm *a = arm;

    g_free(a->name);
    condition_free(a->when);
    g_free(a);
}

static void awaited_free(void *awaited)
{
    struct awaited *a = awaited;

    g_free(a->name);
    g_free(a->is);
    g_free(a->as);
    condition_free(a->where);
    g_free(a);
}

static struct step *step_new(struct reader *r, const char *at, struct step *up)
{
    struct step *s = g_new0(struct step, 1);

    s->at = g_strdup(at);
    s->id = g_strdup("");
    s->kind = STEP_KINDS;
    s->up = up;
    s->arms = g_ptr_array_new_with_free_func(arm_free);
    s->awaited = g_ptr_array_new_with_free_func(awaited_free);
    g_ptr_array_add(r->s->steps, s);
    return s;
}

static void collect_free(struct collect *c)
{
    if (!c)
        return;
    g_free(c->remove);
    g_free(c->match);
    json_decref(c->first);
    json_decref(c->first_data);
    g_free(c);
}

void step_free(struct step *s)
{
    collect_free(s->collect);
    g_free(s->id);
    g_free(s->at);
    g_free(s->name);
    condition_free(s->when);
    condition_free(s->until);
    moment_free(s->moment);
    g_ptr_array_unref(s->arms);
    g_ptr_array_unref(s->awaited);
    json_decref(s->message);
    json_decref(s->data);
    g_free(s);
}

/* ---------------------------------------------------------------- arms */

static struct arm *add_arm(struct reader *r, struct step *s, const char *at, const char *name, const json_t *steps,
                           int depth)
{
    struct arm *a = g_new0(struct arm, 1);

    a->name = g_strdup(name);
    g_ptr_array_add(s->arms, a);
    a->first = read_steps(r, at, steps, s, depth + 1);
    return a;
}

static struct arm *find_arm(const struct step *s, const char *name)
{
    for (guint i = 0; i < s->arms->len; i++) {
        struct arm *a = s->arms->pdata[i];
        if (a->name && strcmp(a->name, name) == 0)
            return a;
    }
    return NULL;
}

/* then: {NAME: [steps]}; names: which there may be. */
static void read_then(struct reader *r, struct step *s, const json_t *from, const char *const *names, int depth)
{
    const json_t *then = json_object_get(from, "then");
    const char *name;
    json_t *steps;

    if (then && !json_is_object(then))
        complain(r->c, s->at, "then", "must be steps by name, like {timeout: [...]}");
    json_object_foreach ((json_t *)then, name, steps) {
        g_autofree char *list = path_to(s->at, "then"), *at = path_to(list, name);
        if (g_strv_contains(names, name)) {
            struct arm *drawn = find_arm(s, name); /* of a split it is there already */
            if (drawn)
                drawn->first = read_steps(r, at, steps, s, depth + 1);
            else
                add_arm(r, s, at, name, steps, depth);
        } else {
            g_autofree char *all = g_strjoinv(", ", (char **)names);
            complain(r->c, at, NULL, "names nothing that can come: there are %s", all);
        }
    }
}

/* ---------------------------------------------------------------- data */

static void read_data(struct reader *r, const char *at, const json_t *data)
{
    static const char *const words[] = { "from", "default", NULL };
    const char *key;
    json_t *value;

    if (data && !json_is_object(data))
        complain(r->c, at, NULL, "must be an object");
    json_object_foreach ((json_t *)data, key, value) {
        g_autofree char *place = path_to(at, key);
        const char *path = json_is_object(value) ? text_of(r->c, place, value, "from") : NULL;
        if (!json_is_object(value))
            continue;
        if (!path)
            complain(r->c, place, NULL, "must be a value, or {from: PATH, default: VALUE}");
        else if (g_str_has_prefix(path, "event."))
            complain(r->c, place, "from", "no event is at hand here; there are trigger.data.* and steps.ID.event.*");
        else
            looks_at(r, place, "from", path);
        complain_unknown(r->c, place, value, words);
    }
}

/* ---------------------------------------------------------------- each kind */

typedef void read_fn(struct reader *, struct step *, const char *at, const json_t *from, const json_t *step, int depth);

/* What the buttons of a card say, and the event that an answer is. */
static void read_answer(struct reader *r, const char *at, const json_t *from)
{
    static const char *const words[] = { "event", "choices", NULL };
    g_autofree char *place = path_to(at, "answer");
    const json_t *choices = json_object_get(from, "choices");
    json_t *one;
    size_t i;

    if (!from)
        return;
    complain_unknown(r->c, place, from, words);
    if (!text_of(r->c, place, from, "event"))
        complain(r->c, place, "event", "is required: what has happened when somebody answers");
    if (!json_is_array(choices) || json_array_size(choices) == 0 || json_array_size(choices) > 20)
        complain(r->c, place, "choices", "must be a list of 1 to 20 texts or numbers");
    json_array_foreach ((json_t *)choices, i, one)
        if (!json_is_string(one) && !json_is_number(one))
            complain(r->c, place, "choices", "must be a list of texts or numbers");
}

static void read_send(struct reader *r, struct step *s, const char *at, const json_t *from, const json_t *step,
                      int depth)
{
    static const char *const strategies[] = { "all", "first", NULL }, *const lanes[] = { "high", "normal", "low",
                                                                                         NULL };
    static const char *const words[] = { "template",  "channels", "strategy", "category",  "priority", "ttl",
                                         "supersede", "data",     "done",     "on_failed", "answer",   NULL };
    static const char *const done[] = { "ended", "enqueued", NULL }, *const failed[] = { "go", "exit", NULL },
                             *const plain[] = { "template", "channels",  "strategy", "category",
                                                "priority", "supersede", "answer",   NULL };
    g_autofree char *place = path_to(at, "data");

    if (!json_is_object(from)) {
        complain(r->c, at, NULL, "must be like {template: welcome, channels: [email]}");
        return;
    }
    complain_unknown(r->c, at, from, words);
    if (!text_of(r->c, at, from, "template"))
        complain(r->c, at, "template", "is required");
    choice_of(r->c, at, from, "strategy", strategies, 0);
    choice_of(r->c, at, from, "priority", lanes, 0);
    text_of(r->c, at, from, "category");
    text_of(r->c, at, from, "supersede");
    s->message = json_object();
    for (int i = 0; plain[i]; i++)
        if (json_object_get(from, plain[i]))
            json_object_set(s->message, plain[i], json_object_get(from, plain[i]));
    s->data = json_incref(json_object_get(from, "data"));
    read_data(r, place, s->data);
    s->ttl = duration_of(r->c, at, from, "ttl", r->s->ttl);
    if (s->ttl <= 0)
        complain(r->c, at, "ttl", "leaves no time to send");
    s->at_once = choice_of(r->c, at, from, "done", done, 0) == 1;
    read_answer(r, at, json_object_get(from, "answer"));
    s->leave_failed = choice_of(r->c, at, from, "on_failed", failed, 0) == 1;
}

static void read_wait(struct reader *r, struct step *s, const char *at, const json_t *from, const json_t *step,
                      int depth)
{
    s->moment = moment_read(r->c, at, from, true);
    if (s->moment->path)
        looks_at(r, at, "until", s->moment->path);
}

/* Engagement, and what providers say later. */
static bool word_is_unheard(const char *is)
{
    static const char *const words[] = { "delivered", "bounced", "clicked", "opened", NULL };
    return g_strv_contains(words, is);
}

static void read_awaited(struct reader *r, struct step *s, const char *at, const json_t *from)
{
    static const char *const words[] = { "event", "of", "where", "as", "message", "is", NULL }, *const known[] = {
        "sent", "delivered", "bounced", "clicked", "read", "answered", "opened", "failed", NULL
    };
    struct awaited *a = g_new0(struct awaited, 1);
    const char *message = text_of(r->c, at, from, "message");
    g_autofree char *event = read_event(r, at, from);

    g_ptr_array_add(s->awaited, a);
    complain_unknown(r->c, at, from, words);
    a->kind = message ? AWAIT_MESSAGE : AWAIT_EVENT;
    a->name = g_strdup(message ? message : event ? event : "");
    a->as = g_strdup(text_of(r->c, at, from, "as"));
    a->where = read_where(r, at, from, "where");
    if (!message == !event)
        complain(r->c, at, NULL, "needs event: the name of an event, or message: the id of a step that sends");
    if (message) {
        choice_of(r->c, at, from, "is", known, 0);
        a->is = g_strdup(text_of(r->c, at, from, "is"));
        g_hash_table_add(r->s->asked, g_strdup(message));
        if (a->is && word_is_unheard(a->is))
            warn(r->c, at,
                 "waits for something that nothing reports yet: it always ends by its timeout, unless something else "
                 "comes");
        if (!a->is)
            complain(r->c, at, "is", "is required: sent, delivered, clicked …");
    }
    if (a->as && strcmp(a->as, "timeout") == 0)
        complain(r->c, at, "as", "must not be timeout");
}

static void read_wait_for(struct reader *r, struct step *s, const char *at, const json_t *from, const json_t *step,
                          int depth)
{
    static const char *const words[] = { "any", "timeout", "since", "grace", NULL };
    const json_t *any = json_object_get(from, "any");
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    json_t *one;
    size_t i;

    complain_unknown(r->c, at, from, words);
    if (!json_is_array(any) || !json_array_size(any))
        complain(r->c, at, "any", "must be a list of what may come, like [{event: profile.completed, as: done}]");
    json_array_foreach ((json_t *)any, i, one) {
        g_autofree char *place = path_item(at, "any", i);
        read_awaited(r, s, place, one);
    }
    if (!json_object_get(from, "timeout"))
        complain(r->c, at, "timeout", "is required: a wait must end by itself");
    else {
        g_autofree char *place = path_to(at, "timeout");
        s->moment = moment_read(r->c, place, json_object_get(from, "timeout"), false);
    }
    s->since = since_read(r->c, at, from);
    s->grace = duration_of(r->c, at, from, "grace", 0);
    for (i = 0; i < s->awaited->len; i++)
        if (((struct awaited *)s->awaited->pdata[i])->as)
            g_ptr_array_add(names, ((struct awaited *)s->awaited->pdata[i])->as);
    g_ptr_array_add(names, (char *)"timeout");
    g_ptr_array_add(names, NULL);
    read_then(r, s, step, (const char *const *)names->pdata, depth);
}

static void read_branch(struct reader *r, struct step *s, const char *at, const json_t *from, const json_t *step,
                        int depth)
{
    static const char *const words[] = { "when", "else", "steps", NULL };
    json_t *one;
    size_t i;

    if (!json_is_array(from) || !json_array_size(from))
        complain(r->c, at, NULL, "must be a list of {when: COND, steps: [...]}");
    json_array_foreach ((json_t *)from, i, one) {
        g_autofree char *place = path_item(at, NULL, i), *list = path_to(place, "steps");
        bool otherwise = truth_of(r->c, place, one, "else", false);
        complain_unknown(r->c, place, one, words);
        if (otherwise == (json_object_get(one, "when") != NULL))
            complain(r->c, place, NULL, "needs when: a condition; the last one may say else: true instead");
        if (otherwise && i + 1 < json_array_size(from))
            complain(r->c, place, "else", "must be the last one: nothing behind it is ever reached");
        struct arm *a = add_arm(r, s, list, NULL, json_object_get(one, "steps"), depth);
        a->when = read_where(r, place, one, "when");
    }
}

static void read_split(struct reader *r, struct step *s, const char *at, const json_t *from, const json_t *step,
                       int depth)
{
    static const char *const words[] = { "name", "parts", NULL };
    const json_t *parts = json_object_get(from, "parts");
    g_autofree char *place = path_to(at, "parts");
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    const char *name;
    json_t *share;
    int total = 0;

    complain_unknown(r->c, at, from, words);
    s->name = g_strdup(text_of(r->c, at, from, "name"));
    if (!s->name)
        complain(r->c, at, "name", "is required: the same name draws the same people");
    json_object_foreach ((json_t *)parts, name, share) {
        struct arm *a = g_new0(struct arm, 1);
        a->name = g_strdup(name);
        a->upto = total += (int)(percent_of(r->c, place, name, share) * 10000 + 0.5);
        g_ptr_array_add(s->arms, a);
        g_ptr_array_add(names, (char *)name);
    }
    if (total != 10000)
        complain(r->c, place, NULL, "must be shares that make 100 together");
    g_ptr_array_add(names, NULL);
    read_then(r, s, step, (const char *const *)names->pdata, depth);
}

static void read_repeat(struct reader *r, struct step *s, const char *at, const json_t *from, const json_t *step,
                        int depth)
{
    static const char *const words[] = { "max", "until", "steps", NULL };
    g_autofree char *list = path_to(at, "steps");

    complain_unknown(r->c, at, from, words);
    if (!json_object_get(from, "max"))
        complain(r->c, at, "max", "is required: how many rounds at most, up to %d", ROUNDS_MAX);
    s->max = count_of(r->c, at, from, "max", 1, ROUNDS_MAX, 1);
    s->until = read_where(r, at, from, "until");
    if (!add_arm(r, s, list, NULL, json_object_get(from, "steps"), depth)->first)
        complain(r->c, at, "steps", "must be steps to repeat");
}

static void read_remove(struct reader *r, const char *at, const json_t *from, struct collect *c)
{
    static const char *const words[] = { "event", "match", NULL };
    g_autofree char *place = path_to(at, "remove");

    if (!from)
        return;
    complain_unknown(r->c, place, from, words);
    c->remove = read_event(r, place, from);
    c->match = g_strdup(text_of(r->c, place, from, "match"));
    if (!c->remove || !c->match || !g_str_has_prefix(c->match, "event."))
        complain(r->c, place, NULL, "must be like {event: activity.deleted, match: event.activity}");
}

static void read_first(struct reader *r, const char *at, const json_t *from, struct collect *c)
{
    static const char *const words[] = { "template", "channels", "category", "data", NULL };
    g_autofree char *place = path_to(at, "first"), *data = path_to(place, "data");

    if (!from)
        return;
    complain_unknown(r->c, place, from, words);
    if (!text_of(r->c, place, from, "template"))
        complain(r->c, place, "template", "is required");
    c->first = json_copy((json_t *)from);
    c->first_data = json_incref(json_object_get(from, "data"));
    json_object_del(c->first, "data");
    read_data(r, data, c->first_data);
}

static void read_collect(struct reader *r, struct step *s, const char *at, const json_t *from, const json_t *step,
                         int depth)
{
    static const char *const words[] = { "until", "quiet", "most_time", "most", "keep", "remove", "first", NULL };
    struct collect *c = s->collect = g_new0(struct collect, 1);
    g_autofree char *until = path_to(at, "until");

    complain_unknown(r->c, at, from, words);
    if (json_object_get(from, "until"))
        s->moment = moment_read(r->c, until, json_object_get(from, "until"), false);
    c->quiet = duration_of(r->c, at, from, "quiet", 0);
    c->most_time = duration_of(r->c, at, from, "most_time", 0);
    if (!s->moment == !c->quiet)
        complain(r->c, at, NULL, "needs until: when it closes, or quiet and most_time");
    else if (c->quiet && !c->most_time)
        complain(r->c, at, "most_time", "is required beside quiet, or it might never close");
    c->most = count_of(r->c, at, from, "most", 1, 200, 200);
    c->keep = count_of(r->c, at, from, "keep", 1, 200, 20);
    read_remove(r, at, json_object_get(from, "remove"), c);
    read_first(r, at, json_object_get(from, "first"), c);
    g_hash_table_add(r->s->asked, g_strdup(s->id));
    r->s->asks_trigger = true; /* it is the first item */
}

static void read_emit(struct reader *r, struct step *s, const char *at, const json_t *from, const json_t *step,
                      int depth)
{
    static const char *const words[] = { "event", "of", "data", NULL };
    g_autofree char *place = path_to(at, "data");

    complain_unknown(r->c, at, from, words);
    s->name = event_read(r->c, at, from);
    if (!s->name)
        complain(r->c, at, "event", "is required");
    s->data = json_incref(json_object_get(from, "data"));
    read_data(r, place, s->data);
}

static void read_end(struct reader *r, struct step *s, const char *at, const json_t *from, const json_t *step,
                     int depth)
{
    s->name = g_strdup(json_is_string(from) ? json_string_value(from) : "completed");
    if (!json_is_string(from))
        complain(r->c, at, NULL, "must be the reason, like completed");
}

static read_fn *const readers[STEP_KINDS] = { read_send,   read_wait,    read_wait_for, read_branch, read_split,
                                              read_repeat, read_collect, read_emit,     read_end };

/* ---------------------------------------------------------------- a step, a list of them */

static void read_id(struct reader *r, struct step *s, const json_t *from)
{
    const char *id = text_of(r->c, s->at, from, "id");
    size_t n = id ? strlen(id) : 0;

    if (!id) {
        complain(r->c, s->at, "id", "is required");
        return;
    }
    if (n < 1 || n > 32 || strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789_") != n)
        complain(r->c, s->at, "id", "must be 1 to 32 of a to z, 0 to 9 and _");
    if (sequence_step(r->s, id))
        complain(r->c, s->at, "id", "\"%s\" is another step's already", id);
    g_free(s->id);
    s->id = g_strdup(id);
}

static void read_kind(struct reader *r, struct step *s, const json_t *from, int depth)
{
    for (int k = 0; k < STEP_KINDS; k++) {
        const json_t *value = json_object_get(from, step_kind_names[k]);
        g_autofree char *place = path_to(s->at, step_kind_names[k]);
        if (!value)
            continue;
        if (s->kind != STEP_KINDS) {
            complain(r->c, place, NULL, "stands beside %s; a step does one thing", step_kind_names[s->kind]);
            continue;
        }
        s->kind = (enum step_kind)k;
        readers[k](r, s, place, value, from, depth);
    }
    if (s->kind == STEP_KINDS)
        complain(r->c, s->at, NULL,
                 "does nothing; it needs one of send, wait, wait_for, branch, split, repeat, emit and end");
}

static struct step *read_step(struct reader *r, const char *at, const json_t *from, struct step *up, int depth)
{
    static const char *const words[] = { "id",     "phase", "when",   "then",    "send", "wait", "wait_for",
                                         "branch", "split", "repeat", "collect", "emit", "end",  NULL };
    struct step *s = step_new(r, at, up);

    if (!json_is_object(from)) {
        complain(r->c, at, NULL, "must be a step, like {id: hello, send: {template: welcome}}");
        return s;
    }
    complain_unknown(r->c, at, from, words);
    read_id(r, s, from);
    text_of(r->c, at, from, "phase");
    s->when = read_where(r, at, from, "when");
    read_kind(r, s, from, depth);
    if (json_object_get(from, "then") && s->kind != STEP_WAIT_FOR && s->kind != STEP_SPLIT)
        complain(r->c, at, "then", "belongs to wait_for and split");
    return s;
}

struct step *read_steps(struct reader *r, const char *at, const json_t *list, struct step *up, int depth)
{
    struct step *first = NULL, *last = NULL;
    json_t *one;
    size_t i;

    if (!json_is_array(list) || (!up && !json_array_size(list)))
        complain(r->c, at, NULL, "must be a list of steps");
    if (depth > DEPTH_MAX) {
        complain(r->c, at, NULL, "is nested deeper than %d levels", DEPTH_MAX);
        return NULL;
    }
    json_array_foreach ((json_t *)list, i, one) {
        g_autofree char *place = path_item(at, NULL, i);
        if (r->s->steps->len >= STEPS_MAX) {
            complain(r->c, place, NULL, "is one too many: a sequence has at most %d steps", STEPS_MAX);
            break;
        }
        struct step *s = read_step(r, place, one, up, depth);
        *(last ? &last->next : &first) = s;
        last = s;
    }
    return first;
}

/* ---------------------------------------------------------------- names and ways */

static bool list_ends(const struct step *first);

static bool always_ends(const struct step *s)
{
    bool complete = s->kind == STEP_SPLIT;

    if (s->when || (s->kind != STEP_END && s->kind != STEP_BRANCH && s->kind != STEP_SPLIT))
        return false;
    for (guint i = 0; i < s->arms->len; i++) {
        const struct arm *a = s->arms->pdata[i];
        complete |= !a->when;
        if (!list_ends(a->first))
            return false;
    }
    return s->kind == STEP_END || complete;
}

static bool list_ends(const struct step *first)
{
    for (; first; first = first->next)
        if (always_ends(first))
            return true;
    return false;
}

static void check_past(struct reader *r, const struct step *s)
{
    const struct step *later = s->next;

    if (!s->moment || s->moment->past != PAST_STEP)
        return;
    while (later && strcmp(later->id, s->moment->past_step) != 0)
        later = later->next;
    g_autofree char *place = path_to(s->at, "wait");
    if (!later)
        complain(r->c, place, "past", "\"%s\" is neither go nor exit, nor a step that comes later in this list",
                 s->moment->past_step);
}

static void check_messages(struct reader *r, const struct step *s)
{
    for (guint i = 0; i < s->awaited->len; i++) {
        const struct awaited *a = s->awaited->pdata[i];
        const struct step *sender = a->kind == AWAIT_MESSAGE ? sequence_step(r->s, a->name) : NULL;
        g_autofree char *list = path_to(s->at, "wait_for"), *place = path_item(list, "any", i);
        if (a->kind == AWAIT_MESSAGE && (!sender || sender->kind != STEP_SEND))
            complain(r->c, place, "message", "names no step that sends");
    }
}

/* It would begin itself again, five times over, and of an account for everybody each time. */
static void check_emit(struct reader *r, const struct step *s)
{
    for (guint i = 0; s->kind == STEP_EMIT && s->name && i < r->s->triggers->len; i++) {
        const struct trigger *t = r->s->triggers->pdata[i];
        if (t->event && strcmp(t->event, s->name) == 0)
            warn(r->c, s->at, "makes the event that begins this sequence: it stops at the fifth hop only");
    }
}

/* As it was asked for, but of a trigger that repeats it makes as many messages. */
static void check_pace(struct reader *r)
{
    if (r->s->reentry != REENTRY_ALWAYS || r->s->key || (r->s->entry && r->s->entry->max))
        return;
    for (guint i = 0; i < r->s->steps->len; i++) {
        enum step_kind kind = ((const struct step *)r->s->steps->pdata[i])->kind;
        if (kind == STEP_WAIT || kind == STEP_WAIT_FOR || kind == STEP_COLLECT)
            return;
    }
    warn(r->c, "reentry",
         "is always and no step waits: each trigger goes through at once; entry: {max, per} or "
         "reentry: {per: PATH} bounds it");
}

void check_steps(struct reader *r)
{
    GHashTableIter i;
    const char *id;

    for (guint k = 0; k < r->s->steps->len; k++) {
        const struct step *s = r->s->steps->pdata[k];
        check_past(r, s);
        check_messages(r, s);
        check_emit(r, s);
        if (s->next && always_ends(s))
            complain(r->c, s->next->at, NULL, "is never reached: \"%s\" before it always ends the run", s->id);
    }
    check_pace(r);
    if (r->s->goal && r->s->goal->from && !sequence_step(r->s, r->s->goal->from))
        complain(r->c, "goal", "from", "names no step");
    g_hash_table_iter_init(&i, r->s->asked);
    while (g_hash_table_iter_next(&i, (void **)&id, NULL))
        if (!sequence_step(r->s, id))
            complain(r->c, "steps", NULL, "have none that is called \"%s\", which a path names", id);
}

/* ---------------------------------------------------------------- the longest way */

static struct longest list_longest(const struct step *first);

static struct longest longer(struct longest a, struct longest b)
{
    return (struct longest){ MAX(a.ms, b.ms), MAX(a.messages, b.messages), a.open || b.open };
}

static struct longest arms_longest(const struct step *s)
{
    struct longest most = { 0 };

    for (guint i = 0; i < s->arms->len; i++)
        most = longer(most, list_longest(((struct arm *)s->arms->pdata[i])->first));
    return most;
}

static struct longest step_longest(const struct step *s)
{
    struct longest l = arms_longest(s);
    int64_t wait = s->moment ? moment_longest(s->moment) : 0;

    l.messages += s->kind == STEP_SEND;
    l.ms += MAX(wait, 0) + s->grace + (s->collect ? s->collect->most_time : 0);
    l.messages += s->collect && s->collect->first;
    l.open |= wait < 0;
    if (s->kind == STEP_REPEAT) {
        l.ms = MIN(l.ms, LONGEST_MS / s->max) * s->max;
        l.messages = MIN(l.messages, MESSAGES_MOST / s->max) * s->max;
    }
    return l;
}

static struct longest list_longest(const struct step *first)
{
    struct longest sum = { 0 };

    for (; first; first = first->next) {
        struct longest one = step_longest(first);
        sum = (struct longest){ MIN(sum.ms + one.ms, LONGEST_MS), MIN(sum.messages + one.messages, MESSAGES_MOST),
                                sum.open || one.open };
    }
    return sum;
}

struct longest sequence_longest(const struct sequence *s)
{
    return list_longest(s->first);
}
