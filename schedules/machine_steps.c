#include "schedules/machine_own.h"

#include <string.h>

#include "schedules/duration.h"

#define GO_MOST     100  /* steps in one go; then the turn ends, and the next one goes on */
#define VISITS_MOST 1000 /* steps in a life */
#define HOPS_MOST   5
#define OPEN_MOST   20 /* messages that a run does not wait for */

/* What became of a step, as far as something asks. */
static void record(struct run *r, const struct sequence *s, const char *step, const char *key, json_t *value)
{
    json_t *of = json_object_get(r->steps, step);

    if (!g_hash_table_contains(s->asked, step)) {
        json_decref(value);
        return;
    }
    if (!of)
        json_object_set_new(r->steps, step, of = json_object());
    json_object_set_new(of, key, value);
}

/* Of an earlier visit. */
static void forget(struct run *r, const char *step, const char *const *keys)
{
    for (; *keys; keys++)
        json_object_del(json_object_get(r->steps, step), *keys);
}

static const char *recorded(const struct run *r, const char *step, const char *key)
{
    return json_string_value(json_object_get(json_object_get(r->steps, step), key));
}

static bool is_around(const struct step *outer, const struct step *s)
{
    while (s && s != outer)
        s = s->up;
    return s == outer;
}

/* ---------------------------------------------------------------- entering a step: what comes next, or NULL */

enum outcome { GO_ON, STAY, OVER };
struct went {
    enum outcome outcome;
    const struct step *next;
};

static struct went go_on(const struct step *next)
{
    return (struct went){ next ? GO_ON : OVER, next };
}

static struct went stay(void)
{
    return (struct went){ STAY, NULL };
}

/* The arm, or what comes behind the step when there is none, or nothing in it. */
static struct went into(const struct step *s, const struct arm *a)
{
    return go_on(a && a->first ? a->first : step_after(s));
}

static const struct arm *named_arm(const struct step *s, const char *name)
{
    for (guint i = 0; name && i < s->arms->len; i++) {
        const struct arm *a = s->arms->pdata[i];
        if (a->name && strcmp(a->name, name) == 0)
            return a;
    }
    return NULL;
}

/* Literals, and what stands at paths; what stands nowhere is left out. */
static json_t *gather_data(const struct machine *m, const struct run *r, const json_t *data)
{
    struct sight sight = sight_of(m, r, NULL);
    json_t *out = json_object(), *value;
    const char *key;

    json_object_foreach ((json_t *)data, key, value) {
        const char *path = json_is_object(value) ? json_string_value(json_object_get(value, "from")) : NULL;
        json_t *found = path ? sight_find(&sight, path) : json_incref(value);
        if (!found)
            found = json_incref(json_object_get(value, "default"));
        if (found)
            json_object_set_new(out, key, found);
    }
    return out;
}

static json_t *compose(const struct machine *m, const struct run *r, const struct sequence *s, const struct step *step)
{
    json_t *message = json_copy(step->message);
    char ttl[48];

    json_object_set_new(message, "recipient", json_string(m->in->recipient));
    json_object_set_new(message, "source", json_string(s->source));
    json_object_set_new(message, "data", gather_data(m, r, step->data));
    json_object_set_new(message, "ttl", json_string(duration_format(ttl, step->ttl)));
    if (s->category && !json_object_get(message, "category"))
        json_object_set_new(message, "category", json_string(s->category));
    if (s->priority && !json_object_get(message, "priority"))
        json_object_set_new(message, "priority", json_string(s->priority));
    return message;
}

/* It goes its way; an exit cancels it, if it is still there. */
static void note_open(struct run *r, const char *message, const char *step)
{
    const char *oldest;
    json_t *value;

    json_object_set_new(r->open, message, json_string(step));
    if (json_object_size(r->open) <= OPEN_MOST)
        return;
    json_object_foreach (r->open, oldest, value)
        break;
    json_object_del(r->open, oldest);
}

static struct went enter_send(struct machine *m, struct run *r, const struct sequence *s, const struct step *step)
{
    g_autofree char *seed = g_strdup_printf("%s|%s|%d", r->id, step->id, r->visit);
    struct effect *e;

    if (r->held_out) {
        record(r, s, step->id, "status", json_string("holdout"));
        tell(m, EFFECT_HOLDOUT, r, step->id, NULL);
        return go_on(step_after(step));
    }
    e = tell(m, EFFECT_SEND, r, step->id, compose(m, r, s, step));
    m->in->make_id(m->in->arg, seed, e->message);
    record(r, s, step->id, "message", json_string(e->message));
    forget(r, step->id, (const char *const[]){ "status", "reason", "at", "did", "engagement", NULL });
    r->sent = true;
    if (step->at_once) {
        note_open(r, e->message, step->id);
        return go_on(step_after(step));
    }
    g_free(r->message);
    g_free(r->sender);
    r->message = g_strdup(e->message);
    r->sender = g_strdup(step->id);
    return stay();
}

static struct went past(struct machine *m, struct run *r, const struct sequence *s, const struct step *step)
{
    static const char *const words[] = { "go", "exit" };
    const struct moment *w = step->moment;

    tell(m, EFFECT_PAST, r, step->id, json_string(w->past == PAST_STEP ? w->past_step : words[w->past]));
    if (w->past == PAST_EXIT) {
        leave_run(m, r, "past", false);
        return stay();
    }
    return go_on(w->past == PAST_STEP ? sequence_step(s, w->past_step) : step_after(step));
}

static int64_t due_of(const struct machine *m, const struct run *r, const struct sequence *s, const struct moment *w)
{
    struct sight sight = sight_of(m, r, NULL);
    json_auto_t *value = w->path ? sight_find(&sight, w->path) : NULL;

    return moment_due(w, r->entered, zone_of(m, s), m->in->almanac, value);
}

/* What the end of a wait was computed from. */
static json_t *wait_inputs(const struct machine *m, const struct run *r, const struct sequence *s,
                           const struct moment *w)
{
    struct sight sight = sight_of(m, r, NULL);
    json_auto_t *value = w->path ? sight_find(&sight, w->path) : NULL;

    return json_pack("{s:I, s:s, s:O*}", "entered", (json_int_t)r->entered, "zone", zone_name(zone_of(m, s)), "value",
                     value);
}

static json_t *due_inputs(const struct run *r)
{
    return json_pack("{s:I}", "due", (json_int_t)r->due);
}

static json_t *compared_inputs(const struct machine *m, json_t *compared)
{
    return json_pack("{s:o, s:s}", "compared", compared, "zone", zone_name(m->in->zone));
}

static struct went enter_wait(struct machine *m, struct run *r, const struct sequence *s, const struct step *step)
{
    int64_t due = due_of(m, r, s, step->moment);

    if (due <= m->in->now)
        return past(m, r, s, step);
    r->due = due;
    tell(m, EFFECT_WAIT, r, step->id, json_integer(due))->inputs = wait_inputs(m, r, s, step->moment);
    return stay();
}

/* ---------------------------------------------------------------- wait_for */

static bool is_as_awaited(const char *is, const char *status)
{
    return status && (strcmp(is, status) == 0 || (strcmp(is, "sent") == 0 && strcmp(status, "delivered") == 0));
}

static bool event_is(const struct machine *m, const struct run *r, const struct awaited *a, const json_t *event,
                     int64_t since)
{
    struct sight sight = sight_of(m, r, event);

    return a->kind == AWAIT_EVENT && strcmp(a->name, kept_text(event, "n")) == 0 && kept_time(event, "t") >= since &&
           kept_time(event, "t") <= r->deadline && strcmp(kept_text(event, "i"), r->trigger_id) != 0 &&
           condition_holds(a->where, &sight, NULL);
}

/* What has led to a step does not happen anew in it. */
static bool is_at_hand(const struct machine *m, const json_t *event)
{
    return m->at_hand && strcmp(kept_text(m->at_hand, "i"), kept_text(event, "i")) == 0;
}

/* S14: of what is kept, what happened first; of one instant, what stands first in the list. */
static const struct awaited *find_kept(const struct machine *m, const struct run *r, const struct step *step,
                                       const json_t **found)
{
    int64_t since = since_from(&step->since, r);
    const struct awaited *best = NULL;

    for (guint k = 0; k < step->awaited->len; k++) {
        const struct awaited *a = step->awaited->pdata[k];
        json_t *event;
        size_t i;
        json_array_foreach (m->in->kept, i, event)
            if (event_is(m, r, a, event, since) && !(step->since.kind == SINCE_STEP && is_at_hand(m, event)) &&
                (!best || kept_time(event, "t") < kept_time(*found, "t"))) {
                best = a;
                *found = event;
            }
    }
    return best;
}

/* Since when a message is as it is waited for: what it has come to, or what the person has done with it; -1: it is not.
 */
static int64_t message_is(const struct run *r, const struct awaited *a)
{
    const json_t *of = json_object_get(r->steps, a->name), *done = json_object_get(json_object_get(of, "did"), a->is);

    if (done)
        return json_integer_value(done);
    return is_as_awaited(a->is, recorded(r, a->name, "status")) ? json_integer_value(json_object_get(of, "at")) : -1;
}

/* The same of messages, at the instant at which they became so. */
static const struct awaited *find_message(const struct run *r, const struct step *step, int64_t *at)
{
    const struct awaited *best = NULL;

    for (guint k = 0; k < step->awaited->len; k++) {
        const struct awaited *a = step->awaited->pdata[k];
        int64_t since = a->kind == AWAIT_MESSAGE ? message_is(r, a) : -1;
        if (since < 0 || since > r->deadline || (best && since >= *at))
            continue;
        best = a;
        *at = since;
    }
    return best;
}

static guint place_in(const struct step *step, const struct awaited *a)
{
    guint i = 0;

    while (step->awaited->pdata[i] != a)
        i++;
    return i;
}

static struct went matched(struct machine *m, struct run *r, const struct sequence *s, const struct step *step,
                           const struct awaited *a, const json_t *event)
{
    const char *as = a->as ? a->as : a->name;

    forget(r, step->id, (const char *const[]){ "event", NULL });
    record(r, s, step->id, "matched", json_string(as));
    if (event)
        record(r, s, step->id, "event", json_incref(json_object_get(event, "d")));
    json_t *inputs = event ? event_inputs(event) : json_object();
    json_object_set_new(inputs, "since", json_integer(since_from(&step->since, r)));
    json_object_set_new(inputs, "until", json_integer(r->deadline));
    tell(m, EFFECT_MATCHED, r, step->id, json_string(as))->inputs = inputs;
    return into(step, named_arm(step, a->as));
}

static struct went enter_wait_for(struct machine *m, struct run *r, const struct sequence *s, const struct step *step)
{
    const json_t *event = NULL;
    const struct awaited *a, *message;
    int64_t at = 0;

    r->deadline = due_of(m, r, s, step->moment);
    a = find_kept(m, r, step, &event);
    message = find_message(r, step, &at);
    if (message && (!a || at < kept_time(event, "t") ||
                    (at == kept_time(event, "t") && place_in(step, message) < place_in(step, a))))
        return matched(m, r, s, step, message, NULL);
    if (a)
        return matched(m, r, s, step, a, event);
    r->due = r->deadline + step->grace;
    tell(m, EFFECT_WAIT, r, step->id, json_integer(r->deadline))->inputs = wait_inputs(m, r, s, step->moment);
    return stay();
}

/* ---------------------------------------------------------------- ways */

static struct went enter_branch(struct machine *m, struct run *r, const struct sequence *s, const struct step *step)
{
    struct sight sight = sight_of(m, r, NULL);
    json_t *compared = json_array();
    const struct arm *taken = NULL;
    guint i = 0;

    for (; i < step->arms->len && !taken; i++)
        if (condition_holds(((const struct arm *)step->arms->pdata[i])->when, &sight, compared))
            taken = step->arms->pdata[i];
    tell(m, EFFECT_BRANCH, r, step->id, json_integer(taken ? (json_int_t)i - 1 : -1))->inputs =
        compared_inputs(m, compared);
    return taken ? into(step, taken) : go_on(step_after(step));
}

static struct went enter_split(struct machine *m, struct run *r, const struct sequence *s, const struct step *step)
{
    int bucket = bucket_of(step->name, m->in->recipient);
    guint i = 0;

    while (i + 1 < step->arms->len && bucket >= ((const struct arm *)step->arms->pdata[i])->upto)
        i++;
    const struct arm *a = step->arms->pdata[i];
    record(r, s, step->id, "part", json_string(a->name));
    tell(m, EFFECT_PART, r, step->id, json_string(a->name))->inputs = json_pack("{s:i}", "bucket", bucket);
    return into(step, a);
}

static struct went enter_repeat(struct machine *m, struct run *r, const struct sequence *s, const struct step *step)
{
    json_int_t rounds = json_integer_value(json_object_get(r->rounds, step->id));
    struct sight sight = sight_of(m, r, NULL);
    const struct arm *body = step->arms->pdata[0];
    json_auto_t *compared = json_array();

    if (rounds >= step->max || (step->until && condition_holds(step->until, &sight, compared))) {
        json_object_del(r->rounds, step->id);
        return go_on(step_after(step));
    }
    json_object_set_new(r->rounds, step->id, json_integer(rounds + 1));
    tell(m, EFFECT_ROUND, r, step->id, json_integer(rounds + 1))->inputs = compared_inputs(m, json_incref(compared));
    return go_on(body->first);
}

/* ---------------------------------------------------------------- digests */

static int64_t window_end(const struct machine *m, const struct run *r, const struct sequence *s,
                          const struct step *step)
{
    if (step->moment)
        return due_of(m, r, s, step->moment);
    return MIN(kept_time(r->gathered, "last") + step->collect->quiet,
               kept_time(r->gathered, "opened") + step->collect->most_time);
}

/* The opener hears at once, beside the digest. */
static void tell_first(struct machine *m, struct run *r, const struct sequence *s, const struct step *step)
{
    g_autofree char *seed = g_strdup_printf("%s|%s|%d|first", r->id, step->id, r->visit);
    struct step one = { .message = step->collect->first, .data = step->collect->first_data, .ttl = s->ttl };
    struct effect *e;

    if (!step->collect->first || r->held_out)
        return;
    e = tell(m, EFFECT_SEND, r, step->id, compose(m, r, s, &one));
    m->in->make_id(m->in->arg, seed, e->message);
    note_open(r, e->message, step->id);
}

static bool is_full(const struct run *r, const struct step *step)
{
    return (int)json_array_size(json_object_get(r->gathered, "items")) >= step->collect->most;
}

static void add_item(struct machine *m, struct run *r, const struct sequence *s, const struct step *step, json_t *data)
{
    json_t *items = json_object_get(r->gathered, "items");

    json_array_append(items, data);
    json_object_set_new(r->gathered, "last", json_integer(m->in->now));
    r->due = is_full(r, step) ? m->in->now : window_end(m, r, s, step);
    while ((int)json_array_size(items) > step->collect->most) { /* of a sequence that is paused: counted all the same */
        json_array_remove(items, 0);
        json_object_set_new(r->gathered, "more", json_integer(kept_time(r->gathered, "more") + 1));
    }
}

static struct went enter_collect(struct machine *m, struct run *r, const struct sequence *s, const struct step *step)
{
    r->gathered =
        json_pack("{s:[], s:I, s:I}", "items", "opened", (json_int_t)m->in->now, "last", (json_int_t)m->in->now);
    r->due = window_end(m, r, s, step);
    tell(m, EFFECT_WAIT, r, step->id, json_integer(r->due));
    if (r->opened)
        return stay();
    r->opened = true;
    json_auto_t *none = json_object();
    add_item(m, r, s, step, r->trigger ? r->trigger : none);
    tell_first(m, r, s, step);
    return stay();
}

static struct went close_window(struct machine *m, struct run *r, const struct sequence *s, const struct step *step)
{
    json_auto_t *items = json_incref(json_object_get(r->gathered, "items"));
    size_t total = json_array_size(items) + (size_t)kept_time(r->gathered, "more");

    json_decref(r->gathered);
    r->gathered = NULL;
    tell(m, EFFECT_COLLECTED, r, step->id, json_integer((json_int_t)total));
    if (total == 0) {
        leave_run(m, r, "empty", false);
        return stay();
    }
    while ((int)json_array_size(items) > step->collect->keep)
        json_array_remove(items, 0);
    record(r, s, step->id, "items", json_incref(items));
    record(r, s, step->id, "total", json_integer((json_int_t)total));
    return go_on(step_after(step));
}

bool run_gathers(struct machine *m, struct run *r, const struct sequence *s, const json_t *event)
{
    const struct step *step = s ? sequence_step(s, r->step) : NULL;
    bool open = r->due > m->in->now || (s && is_paused(m, s));

    if (!step || step->kind != STEP_COLLECT)
        return false;
    if (open) {
        add_item(m, r, s, step, json_object_get(event, "d"));
        tell(m, EFFECT_GATHERED, r, step->id,
             json_integer((json_int_t)json_array_size(json_object_get(r->gathered, "items"))));
    }
    if (r->due <= m->in->now && !is_paused(m, s))
        run_timer(m, r, s);
    return open;
}

/* S54: each item is in exactly one digest. */
void run_inherits(struct machine *m, struct run *r, const struct sequence *s, const struct run *other)
{
    const struct step *step = sequence_step(s, r->step);
    json_t *item;
    size_t i;

    if (!step || !step->collect || !r->gathered || !other->gathered)
        return;
    json_object_set_new(r->gathered, "more",
                        json_integer(kept_time(r->gathered, "more") + kept_time(other->gathered, "more")));
    json_array_foreach (json_object_get(other->gathered, "items"), i, item)
        add_item(m, r, s, step, item);
    tell(m, EFFECT_GATHERED, r, step->id,
         json_integer((json_int_t)json_array_size(json_object_get(r->gathered, "items"))));
}

/* S30: what an event takes out is what has the same value at the path. */
bool run_gives_up(struct machine *m, struct run *r, const struct sequence *s, const json_t *event)
{
    const struct step *step = sequence_step(s, r->step);
    json_t *items = json_object_get(r->gathered, "items");
    struct sight gone = sight_of(m, r, event), one = gone;

    if (!step || step->kind != STEP_COLLECT || g_strcmp0(step->collect->remove, kept_text(event, "n")) != 0)
        return false;
    json_auto_t *wanted = sight_find(&gone, step->collect->match);
    for (size_t i = json_array_size(items); wanted && i-- > 0;) {
        one.event = json_array_get(items, i);
        json_auto_t *found = sight_find(&one, step->collect->match);
        if (found && json_equal(found, wanted))
            json_array_remove(items, i);
    }
    return true;
}

static struct went enter_emit(struct machine *m, struct run *r, const struct sequence *s, const struct step *step)
{
    g_autofree char *seed = g_strdup_printf("%s|%s|%d", r->id, step->id, r->visit);
    struct effect *e;

    if (r->hops >= HOPS_MOST) {
        leave_run(m, r, "hop_limit", false);
        return stay();
    }
    e = tell(
        m, EFFECT_EMIT, r, step->id,
        json_pack("{s:s, s:o, s:i}", "event", step->name, "data", gather_data(m, r, step->data), "hops", r->hops + 1));
    m->in->make_id(m->in->arg, seed, e->message);
    return go_on(step_after(step));
}

static struct went enter_end(struct machine *m, struct run *r, const struct sequence *s, const struct step *step)
{
    leave_run(m, r, step->name, true);
    return stay();
}

typedef struct went enter_fn(struct machine *, struct run *, const struct sequence *, const struct step *);
static enter_fn *const enter[STEP_KINDS] = { enter_send,   enter_wait,    enter_wait_for, enter_branch, enter_split,
                                             enter_repeat, enter_collect, enter_emit,     enter_end };

/* ---------------------------------------------------------------- going */

static void come_to(struct run *r, const struct step *step, int64_t now)
{
    g_free(r->step);
    r->step = g_strdup(step->id);
    r->entered = now;
    r->due = r->deadline = -1;
    r->visit++;
}

static void note_goal_from(struct run *r, const struct sequence *s)
{
    if (s->goal && s->goal->from && strcmp(s->goal->from, r->step) == 0)
        r->goal_open = true;
}

/* Enters one step; back: a round of a repeat has ended. */
static struct went enter_step(struct machine *m, struct run *r, const struct sequence *s, const struct step *step,
                              bool back)
{
    struct sight sight;

    come_to(r, step, m->in->now);
    if (r->visit > VISITS_MOST) {
        leave_run(m, r, "too_many_visits", false);
        return stay();
    }
    json_auto_t *compared = json_array();
    sight = sight_of(m, r, NULL);
    if (!back && !condition_holds(step->when, &sight, compared)) {
        tell(m, EFFECT_SKIPPED, r, step->id, NULL)->inputs = compared_inputs(m, json_incref(compared));
        return go_on(step_after(step));
    }
    note_goal_from(r, s);
    return enter[step->kind](m, r, s, step);
}

/* The turn ends before this step; the next one begins with it. */
static void yield(struct machine *m, struct run *r, const struct step *step)
{
    come_to(r, step, m->in->now);
    r->visit--;
    r->yielded = true;
    r->due = m->in->now;
}

void run_go(struct machine *m, struct run *r, const struct sequence *s, const struct step *step)
{
    const struct step *before = sequence_step(s, r->step);
    struct went went = { GO_ON, step };

    for (int n = 0; went.outcome == GO_ON && went.next; n++) {
        const struct step *now = went.next;
        if (n == GO_MOST || (now->kind == STEP_SEND && (is_paused(m, s) || is_held(m, r, s)))) {
            yield(m, r, now);
            return;
        }
        went = enter_step(m, r, s, now, before && now->kind == STEP_REPEAT && before != now && is_around(now, before));
        before = now;
    }
    if (went.outcome != STAY)
        leave_run(m, r, "completed", true);
}

static void go_from(struct machine *m, struct run *r, const struct sequence *s, struct went went)
{
    if (!run_is_over(r) && went.outcome != STAY)
        run_go(m, r, s, went.next);
}

/* ---------------------------------------------------------------- what moves a run that waits */

bool run_matches(struct machine *m, struct run *r, const struct sequence *s, const json_t *event)
{
    const struct step *step = sequence_step(s, r->step);

    if (!step || step->kind != STEP_WAIT_FOR || r->yielded)
        return false;
    for (guint k = 0; k < step->awaited->len; k++) {
        const struct awaited *a = step->awaited->pdata[k];
        if (!event_is(m, r, a, event, since_from(&step->since, r)))
            continue;
        go_from(m, r, s, matched(m, r, s, step, a, event));
        return true;
    }
    return false;
}

/* S35: whoever may not be written to any more leaves. */
static bool is_opted_out(const char *status, const char *reason)
{
    static const char *const reasons[] = { "opted_out", "no_consent", "suppressed_address", NULL };
    return strcmp(status, "suppressed") == 0 && g_strv_contains(reasons, reason);
}

/* Some other channel is left for what is to come. */
static bool hears_elsewhere(const struct machine *m, const struct sequence *s, const struct step *lost)
{
    return m->in->may_hear && m->in->may_hear(m->in->arg, s, lost);
}

/* What a step that has been visited before says of that visit. */
static void note_status(const struct machine *m, struct run *r, const char *message, const char *status,
                        const char *reason)
{
    const char *id;
    json_t *of;

    json_object_foreach (r->steps, id, of)
        if (g_strcmp0(json_string_value(json_object_get(of, "message")), message) == 0) {
            json_object_set_new(of, "status", json_string(status));
            json_object_set_new(of, "at", json_integer(m->in->now));
            if (*reason)
                json_object_set_new(of, "reason", json_string(reason));
        }
}

const struct step *run_hears(struct machine *m, struct run *r, const struct sequence *s, const char *message,
                             const char *status, const char *reason)
{
    bool waited = g_strcmp0(r->message, message) == 0;
    g_autofree char *sender = g_strdup(waited ? r->sender : json_string_value(json_object_get(r->open, message)));
    const struct step *mine = sender ? sequence_step(s, sender) : NULL;

    note_status(m, r, message, status, reason);
    if (waited) {
        g_clear_pointer(&r->message, g_free);
        g_clear_pointer(&r->author, g_free);
    }
    json_object_del(r->open, message);
    if (mine)
        tell(m, EFFECT_ENDED, r, mine->id, json_string(status))->inputs =
            *reason ? json_pack("{s:s}", "reason", reason) : NULL;
    return mine;
}

/* Whoever answers has read. */
static void note_done(json_t *of, const char *what, int64_t now)
{
    json_t *did = json_object_get(of, "did");

    if (!did)
        json_object_set_new(of, "did", did = json_object());
    if (!json_object_get(did, what))
        json_object_set_new(did, what, json_integer(now));
}

void run_engages(struct machine *m, struct run *r, const struct sequence *s, const char *message, const char *what)
{
    const struct step *step = sequence_step(s, r->step);
    const struct awaited *a;
    const char *id;
    json_t *of;
    int64_t at;

    json_object_foreach (r->steps, id, of) {
        if (g_strcmp0(json_string_value(json_object_get(of, "message")), message) != 0)
            continue;
        note_done(of, what, m->in->now);
        note_done(of, "read", m->in->now);
        if (strcmp(what, "read") != 0 || !json_object_get(of, "engagement"))
            json_object_set_new(of, "engagement", json_string(what));
        tell(m, EFFECT_ENGAGED, r, id, json_string(what));
    }
    if (step && step->kind == STEP_WAIT_FOR && !r->yielded && (a = find_message(r, step, &at)))
        go_from(m, r, s, matched(m, r, s, step, a, NULL));
}

void run_moves(struct machine *m, struct run *r, const struct sequence *s, const struct step *mine, bool waited,
               const char *status, const char *reason)
{
    const struct step *step = sequence_step(s, r->step);
    bool arrived = strcmp(status, "sent") == 0 || strcmp(status, "delivered") == 0;
    const struct awaited *a;
    int64_t at;

    if (mine && is_opted_out(status, reason) && !s->stays_opted_out && !hears_elsewhere(m, s, mine))
        leave_run(m, r, "opted_out", false);
    else if (mine && mine->leave_failed && !arrived)
        leave_run(m, r, "failed", false);
    else if (step && waited && strcmp(status, "cancelled") == 0 && strcmp(reason, "merged") == 0)
        run_go(m, r, s, step); /* S54: it was to go to whoever they were before */
    else if (step && waited)
        go_from(m, r, s, go_on(step_after(step)));
    else if (step && step->kind == STEP_WAIT_FOR && !r->yielded && (a = find_message(r, step, &at)))
        go_from(m, r, s, matched(m, r, s, step, a, NULL));
}

static struct went over(struct machine *m, struct run *r, const struct sequence *s, const struct step *step)
{
    if (step->kind == STEP_WAIT_FOR) {
        forget(r, step->id, (const char *const[]){ "event", "matched", NULL });
        tell(m, EFFECT_TIMEOUT, r, step->id, NULL)->inputs = due_inputs(r);
        return into(step, named_arm(step, "timeout"));
    }
    if (step->kind == STEP_COLLECT)
        return close_window(m, r, s, step);
    tell(m, EFFECT_WAITED, r, step->id, NULL)->inputs = due_inputs(r);
    return go_on(step_after(step));
}

/* S51: after an outage or a pause a step may come too late; skip: sends are stepped over until the next that is none.
 */
static struct went comes_late(struct machine *m, struct run *r, const struct sequence *s, int64_t due, struct went went)
{
    static const char *const words[] = { "go", "skip", "exit" };

    if (s->late_max < 0 || m->in->now - due <= s->late_max || run_is_over(r) || went.outcome == STAY)
        return went;
    tell(m, EFFECT_LATE, r, r->step, json_string(words[s->late_then]));
    if (s->late_then == LATE_EXIT) {
        leave_run(m, r, "late", false);
        return stay();
    }
    while (s->late_then == LATE_SKIP && went.next && went.next->kind == STEP_SEND)
        went = go_on(step_after(went.next));
    return went;
}

void run_timer(struct machine *m, struct run *r, const struct sequence *s)
{
    const struct step *step = sequence_step(s, r->step);
    int64_t due = r->due;

    if (!step) {
        leave_run(m, r, "step_gone", false);
    } else if (r->yielded) {
        r->yielded = false;
        run_go(m, r, s, step);
    } else {
        struct went went = over(m, r, s, step);
        go_from(m, r, s, comes_late(m, r, s, due, went));
    }
}

/* The deadline is another one: what has come meanwhile may lie before it now. */
static void reconsider(struct machine *m, struct run *r, const struct sequence *s, const struct step *step)
{
    const json_t *event = NULL;
    const struct awaited *a = step->kind == STEP_WAIT_FOR ? find_kept(m, r, step, &event) : NULL;

    if (a)
        go_from(m, r, s, matched(m, r, s, step, a, event));
}

/* S49: keep: the instants stay; shift: elapsed ones get the pause added, calendar ones are computed anew; restart:
 * waits begin anew. */
static void move_by_pause(struct machine *m, struct run *r, const struct sequence *s, const struct step *step,
                          const json_t *pause)
{
    int64_t from = json_integer_value(json_array_get(pause, 0)), to = json_integer_value(json_array_get(pause, 1));
    const char *how = json_string_value(json_array_get(pause, 2));
    int64_t grace = r->due - r->deadline, more = to - MAX(from, r->entered);

    if (!how || strcmp(how, "keep") == 0 || r->entered >= to || !step->moment || step->moment->kind == MOMENT_UNTIL)
        return;
    if (strcmp(how, "shift") == 0 && step->moment->kind == MOMENT_ELAPSED)
        r->due += more;
    else {
        r->entered = to;
        r->due = due_of(m, r, s, step->moment) + (r->deadline >= 0 ? grace : 0);
    }
    if (r->deadline >= 0)
        r->deadline = r->due - grace;
    reconsider(m, r, s, step);
}

void run_resumed(struct machine *m, struct run *r, const struct sequence *s)
{
    const json_t *pauses = json_object_get(standing_of(m, s), "pauses");
    const struct step *step = sequence_step(s, r->step);
    json_t *pause;
    size_t i;

    json_array_foreach ((json_t *)pauses, i, pause) {
        int64_t to = json_integer_value(json_array_get(pause, 1));
        if (to <= r->resumed || !step)
            continue;
        r->resumed = to;
        if (r->due >= 0 && !r->yielded)
            move_by_pause(m, r, s, step, pause);
        step = sequence_step(s, r->step);
    }
}

void run_replan(struct machine *m, struct run *r, const struct sequence *s, bool all)
{
    const struct step *step = sequence_step(s, r->step);
    int64_t due;

    if (step && step->collect && is_full(r, step))
        return;
    if (!step || !step->moment || r->due < 0 || r->yielded || !(all || moment_is_local(step->moment)))
        return;
    due = due_of(m, r, s, step->moment);
    if (step->kind == STEP_WAIT_FOR) {
        r->deadline = due;
        due += step->grace;
    }
    r->due = due < 0 ? m->in->now : due;
    if (all)
        reconsider(m, r, s, step);
}
