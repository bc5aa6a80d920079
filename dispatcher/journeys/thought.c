#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/base/clock.h"
#include "dispatcher/base/lapse.h"
#include "dispatcher/base/log.h"
#include "dispatcher/base/vocab.h"
#include "dispatcher/intake/intake.h"
#include "dispatcher/journeys/actor_own.h"
#include "dispatcher/people/person.h"
#include "dispatcher/policy/reach.h"

#define HEARD_MOST 100 /* in one step; what is left is heard in the next turn, which is now */

/* ---------------------------------------------------------------- what was looked at */

static json_t *list_of(const redisReply *reply)
{
    json_t *list = json_array();

    for (size_t i = 0; reply && i < reply->elements; i++) {
        json_t *one = json_loads(reply_text(reply, i), 0, NULL);
        json_array_append_new(list, one ? one : json_object());
    }
    return list;
}

static json_t *fields_of(const redisReply *reply)
{
    json_t *fields = json_object();

    for (size_t i = 0; reply && i + 1 < reply->elements; i += 2)
        json_object_set_new(fields, reply_text(reply, i), json_string(reply_text(reply, i + 1)));
    return fields;
}

void view_take(struct view *v, const struct seen_person *seen)
{
    *v = (struct view){ .taken = true,
                        .version = g_strdup(seen->version),
                        .runs = g_strdup(seen->runs),
                        .profile = g_strdup(seen->profile),
                        .kept = list_of(seen->kept),
                        .unheard = list_of(seen->unheard),
                        .consents = fields_of(seen->consents),
                        .standings = fields_of(seen->standings) };
}

void view_clear(struct view *v)
{
    g_free(v->version);
    g_free(v->runs);
    g_free(v->profile);
    g_free(v->moved);
    json_decref(v->merged);
    json_decref(v->kept);
    json_decref(v->unheard);
    json_decref(v->consents);
    json_decref(v->standings);
    *v = (struct view){ 0 };
}

char *view_account(const struct view *v)
{
    json_auto_t *profile = *v->profile ? json_loads(v->profile, 0, NULL) : NULL;
    const char *account = person_account(profile);

    return *account ? g_strdup(account) : NULL;
}

static bool is_kept(const json_t *kept, const char *id)
{
    json_t *one;
    size_t i;

    json_array_foreach ((json_t *)kept, i, one)
        if (strcmp(kept_text(one, "i"), id) == 0)
            return true;
    return false;
}

void view_add_company(struct view *v, const json_t *events)
{
    json_t *event;
    size_t i;

    json_array_foreach ((json_t *)events, i, event) {
        g_autofree char *id = g_strconcat(ACCOUNT_EVENT, kept_text(event, "i"), NULL);
        size_t at = json_array_size(v->kept);
        if (is_kept(v->kept, id))
            continue;
        json_auto_t *own = json_copy(event);
        json_object_set_new(own, "i", json_string(id));
        while (at > 0 && kept_time(json_array_get(v->kept, at - 1), "a") > kept_time(own, "a"))
            at--;
        json_array_insert(v->kept, at, own);
    }
}

char *view_unknown_version(struct view *v, const struct sequences *sq)
{
    struct person_runs *p = person_read(v->runs);
    char *unknown = NULL;

    g_free(v->moved);
    json_decref(v->merged);
    v->moved = p ? g_strdup(p->moved) : NULL;
    v->merged = p ? json_incref(p->merged) : NULL;

    for (guint i = 0; p && i < p->runs->len + p->ended->len && !unknown; i++) {
        const struct run *r = i < p->runs->len ? p->runs->pdata[i] : p->ended->pdata[i - p->runs->len];
        if (!sequences_knows(sq, r->version))
            unknown = g_strdup(r->version);
    }
    person_free(p);
    return unknown;
}

/* ---------------------------------------------------------------- what the machine asks */

static const struct sequence *find(void *arg, const char *name, const char *version)
{
    const struct thought *t = arg;
    return sequences_find(t->service->sequences, name, version);
}

static void make_id(void *arg, const char *seed, char id[static MACHINE_ID_SIZE])
{
    const struct thought *t = arg;
    char made[MESSAGE_ID_SIZE];

    ident_make(made, store_partition(t->service->store, t->recipient), seed, strlen(seed));
    g_strlcpy(id, made, MACHINE_ID_SIZE);
}

/* The latest entry that covers a category on a channel; a withdrawal wins a tie, as in the store's own (caps.lua). */
static bool is_withdrawn(const json_t *consents, const char *category, char letter)
{
    const char *const covering[] = { category, "*" };
    int64_t best = -1;
    char state = 0;

    for (int i = 0; i < 4; i++) {
        g_autofree char *field = g_strdup_printf("%s|%c", covering[i / 2], i % 2 ? '*' : letter);
        const char *entry = json_string_value(json_object_get(consents, field));
        int64_t at = entry ? g_ascii_strtoll(entry + 2, NULL, 10) : -1;
        if (entry && (at > best || (at == best && *entry == 'w'))) {
            best = at;
            state = *entry;
        }
    }
    return state == 'w';
}

static const struct category *category_of(const struct thought *t, const struct sequence *q, const struct step *step,
                                          const struct template *template)
{
    const char *name = json_string_value(json_object_get(step->message, "category"));

    if (!name)
        name = q->category ? q->category : template ? template_category(template) : NULL;
    return name ? policy_category(t->service->policy, name) : NULL;
}

static bool is_among(const char *channel, const json_t *channels)
{
    bool named = !channels;

    for (size_t i = 0; i < json_array_size(channels); i++)
        named |= g_strcmp0(channel, json_string_value(json_array_get(channels, i))) == 0;
    return named;
}

/* Whether one step may be sent on one of its channels, besides those of another that is lost. */
static bool may_send(const struct thought *t, const struct sequence *q, const struct step *step,
                     const struct step *lost)
{
    const char *name = json_string_value(json_object_get(step->message, "template"));
    const json_t *channels = json_object_get(step->message, "channels");
    struct template *template = t->service->library ? library_find(t->service->library, name) : NULL;
    const struct category *category = category_of(t, q, step, template);

    if (!template || !category || (category->kind == KIND_TRANSACTIONAL && !lost))
        return true;
    for (const char *const *c = template_channels(template); *c; c++)
        if (is_among(*c, channels) && !(lost && is_among(*c, json_object_get(lost->message, "channels"))) &&
            !is_withdrawn(t->consents, category->name, channel_letter(*c)))
            return true;
    return false;
}

static bool may_hear(void *arg, const struct sequence *q, const struct step *lost)
{
    const struct thought *t = arg;
    bool sends = false;

    if (json_object_size(t->consents) == 0 && !lost)
        return true;
    for (guint i = 0; i < q->steps->len; i++) {
        const struct step *step = q->steps->pdata[i];
        if (step->kind == STEP_SEND && may_send(t, q, step, lost))
            return true;
        sends |= step->kind == STEP_SEND;
    }
    return !sends;
}

static const json_t *standing(void *arg, const struct sequence *q)
{
    const struct thought *t = arg;
    return json_object_get(t->standings, q->name);
}

static const char *consent(void *arg, const char *category, const char *channel)
{
    const struct thought *t = arg;
    char letter = channel_letter(channel);
    const char *const covering[] = { category, "*" };
    bool granted = false;

    for (int i = 0; i < 4; i++) {
        g_autofree char *field = g_strdup_printf("%s|%c", covering[i / 2], i % 2 ? '*' : letter);
        const char *entry = json_string_value(json_object_get(t->consents, field));
        granted |= entry && *entry == 'g';
    }
    return is_withdrawn(t->consents, category, letter) ? "withdrawn" : granted ? "granted" : NULL;
}

static enum place_answer place(void *arg, const struct place *wanted)
{
    struct thought *t = arg;
    g_autofree char *asked = g_strconcat(wanted->name, "|", wanted->run, NULL);
    const json_t *known = json_object_get(t->places, asked);

    if (!t->places || json_is_true(known))
        return PLACE_HAS;
    if (known)
        return PLACE_NONE;
    if (!t->wanted.name)
        t->wanted = (struct place){ g_strdup(wanted->name), g_strdup(wanted->home), g_strdup(wanted->run), wanted->most,
                                    wanted->waits };
    return PLACE_ASKED;
}

/* ---------------------------------------------------------------- what a step will write */

static struct args *listed(struct args **list, int *count)
{
    if (!*list)
        *list = args_new();
    ++*count;
    return *list;
}

static void add_json(struct args **list, int *count, json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT);

    args_text(listed(list, count), text);
    free(text);
    json_decref(value);
}

static void count(struct thought *t, const char *field, int more)
{
    args_text(listed(&t->step.counts, &t->step.n_counts), field);
    args_int(t->step.counts, more);
}

static void mark_text(struct thought *t, char *key, char *member, const char *score)
{
    struct args *a = listed(&t->step.marks, &t->step.n_marks);

    args_text(a, key);
    args_text(a, member);
    args_text(a, score);
    g_free(key);
    g_free(member);
}

static void mark(struct thought *t, char *key, char *member, int64_t score)
{
    g_autofree char *text = score < 0 ? g_strdup("") : g_strdup_printf("%" G_GINT64_FORMAT, score);
    mark_text(t, key, member, text);
}

/* ---------------------------------------------------------------- facts */

static json_t *standings_of(const struct view *v)
{
    json_t *all = json_object(), *text;
    const char *name;

    json_object_foreach (v->standings, name, text) {
        json_t *one = json_loads(json_string_value(text), 0, NULL);
        if (one)
            json_object_set_new(all, name, one);
    }
    return all;
}

bool thought_begin(struct thought *t, struct service *s, const char *recipient, const struct view *v,
                   const json_t *places)
{
    t->service = s;
    t->places = places;
    t->again = -1;
    t->recipient = recipient;
    t->profile_text = v->profile;
    t->profile = *v->profile ? json_loads(v->profile, 0, NULL) : NULL;
    t->consents = v->consents;
    t->standings = standings_of(v);
    t->person = person_read(v->runs);
    t->effects = g_ptr_array_new_with_free_func((GDestroyNotify)effect_free);
    t->did = json_array();
    t->cancelling = json_object();
    policy_days(s->policy, service_region(t->profile), &t->almanac.holidays, &t->almanac.blackout);
    t->situation = (struct situation){ .now = clock_now(),
                                       .recipient = recipient,
                                       .profile = t->profile,
                                       .zone = service_zone(s, t->profile),
                                       .almanac = &t->almanac,
                                       .kept = json_copy(v->kept),
                                       .current = sequences_current(s->sequences),
                                       .find = find,
                                       .make_id = make_id,
                                       .may_hear = may_hear,
                                       .standing = standing,
                                       .place = place,
                                       .consent = consent,
                                       .arg = t };
    if (!t->person)
        log_error("sequence.unreadable", "{s:s}", "why",
                  "the runs of a person cannot be read; nothing is done to them");
    return t->person != NULL;
}

bool thought_meets(const struct thought *t, const struct condition *where)
{
    const struct situation *in = &t->situation;
    const struct sight sight = { .now = in->now,
                                 .zone = in->zone,
                                 .recipient = t->recipient,
                                 .profile = in->profile,
                                 .kept = in->kept,
                                 .consent = in->consent,
                                 .arg = in->arg };

    return condition_holds(where, &sight, NULL);
}

void thought_keep(struct thought *t, json_t *event)
{
    char *text = json_dumps(event, JSON_COMPACT);

    if (!t->step.events)
        t->step.events = args_new();
    args_text(t->step.events, text);
    t->step.n_events++;
    json_array_append(t->situation.kept, event);
    free(text);
}

void thought_event(struct thought *t, json_t *event)
{
    thought_keep(t, event);
    machine_event(&t->situation, t->person, event, t->effects);
    if (*kept_text(event, "g"))
        machine_engaged(&t->situation, t->person, kept_text(event, "g"), "answered", t->effects);
}

/* {"k":"m","m":id,"d":[[status letter, reason], …]}: the best of its deliveries speaks for it. */
static void hear_message(struct thought *t, const json_t *fact)
{
    const json_t *deliveries = json_object_get(fact, "d");
    const char *best = "", *reason = "";
    json_t *one;
    size_t i;

    json_array_foreach ((json_t *)deliveries, i, one) {
        const char *letter = json_string_value(json_array_get(one, 0));
        if (!letter || (*best && status_rank(*letter) <= status_rank(*best)))
            continue;
        best = letter;
        reason = json_string_value(json_array_get(one, 1));
    }
    machine_message(&t->situation, t->person, kept_text(fact, "m"), status_name(*best), reason ? reason : "",
                    t->effects);
}

/* {"k":"p","w":profile as it was,"m":imported,"i":id}; as it was after that write, the next such fact says, or nobody.
 */
static void hear_profile(struct thought *t, const json_t *fact, const json_t *next)
{
    json_auto_t *was = *kept_text(fact, "w") ? json_loads(kept_text(fact, "w"), 0, NULL) : NULL,
                *then = next && *kept_text(next, "w") ? json_loads(kept_text(next, "w"), 0, NULL) : NULL;

    t->situation.profile = next ? then : t->profile;
    machine_profile(&t->situation, t->person, was, kept_text(fact, "i"), json_is_true(json_object_get(fact, "m")),
                    t->effects);
    t->situation.profile = t->profile;
}

static const json_t *next_profile(const json_t *unheard, size_t i)
{
    while (++i < json_array_size(unheard))
        if (strcmp(kept_text(json_array_get(unheard, i), "k"), "p") == 0)
            return json_array_get(unheard, i);
    return NULL;
}

static void hear(struct thought *t, const json_t *unheard, size_t i)
{
    json_t *fact = json_array_get(unheard, i);

    if (strcmp(kept_text(fact, "k"), "m") == 0)
        hear_message(t, fact);
    else if (strcmp(kept_text(fact, "k"), "p") == 0)
        hear_profile(t, fact, next_profile(unheard, i));
    else if (strcmp(kept_text(fact, "k"), "g") == 0)
        machine_engaged(&t->situation, t->person, kept_text(fact, "m"), kept_text(fact, "d"), t->effects);
    else if (strcmp(kept_text(fact, "k"), "w") == 0)
        machine_release(&t->situation, t->person, kept_text(fact, "r"), t->effects);
    else if (json_object_get(fact, "e"))
        thought_event(t, json_object_get(fact, "e"));
}

void thought_hear(struct thought *t, const struct view *v)
{
    t->step.taken = MIN(json_array_size(v->unheard), HEARD_MOST);
    for (size_t i = 0; i < t->step.taken; i++)
        hear(t, v->unheard, i);
}

void thought_enroll(struct thought *t, const char *sequence, const json_t *event, bool again)
{
    const struct sequence *q = sequences_find(t->service->sequences, sequence, NULL);

    if (q)
        machine_enroll(&t->situation, t->person, q, event, again, t->effects);
}

void thought_leave(struct thought *t, const char *sequence, const char *reason)
{
    machine_leave(&t->situation, t->person, sequence, reason, t->effects);
}

void thought_migrate(struct thought *t, const char *sequence, const char *from, const json_t *map)
{
    const struct sequence *q = sequences_find(t->service->sequences, sequence, NULL);

    if (q)
        machine_migrate(&t->situation, t->person, q, from, map, t->effects);
}

void thought_replan(struct thought *t)
{
    machine_replan(&t->situation, t->person, t->effects);
}

void thought_look(struct thought *t)
{
    machine_look(&t->situation, t->person, t->effects);
}

/* ---------------------------------------------------------------- two people who are one */

void thought_move(struct thought *t, const char *into)
{
    machine_move(&t->situation, t->person, into, t->effects);
}

/* What happened to their profile was about somebody else's. */
static void absorb_facts(struct thought *t, const json_t *facts)
{
    size_t i;
    json_t *fact;

    json_array_foreach ((json_t *)facts, i, fact)
        if (strcmp(kept_text(fact, "k"), "p") != 0 &&
            !is_kept(t->situation.kept, kept_text(json_object_get(fact, "e"), "i")))
            hear(t, facts, i);
}

static void absorb_events(struct thought *t, const json_t *kept)
{
    size_t i;
    json_t *event;

    json_array_foreach ((json_t *)kept, i, event)
        if (!is_kept(t->situation.kept, kept_text(event, "i")))
            thought_keep(t, event);
}

/* What they have been told of, they have been told of. */
static void absorb_ids(struct thought *t, const json_t *ids)
{
    size_t i;
    json_t *id;

    json_array_foreach ((json_t *)ids, i, id)
        args_text(listed(&t->step.known, &t->step.n_known), json_string_value(id));
}

static void absorb_trace(struct thought *t, const json_t *lines)
{
    size_t i;
    json_t *line;

    json_array_foreach ((json_t *)lines, i, line)
        add_json(&t->step.trace, &t->step.n_trace, json_incref(line));
}

void thought_absorb(struct thought *t, const json_t *other)
{
    const json_t *facts = json_object_get(other, "unheard");
    struct person_runs *from = person_read(kept_text(other, "runs"));

    t->other = kept_text(other, "from");
    if (from && !json_object_get(t->person->merged, t->other)) {
        absorb_trace(t, json_object_get(other, "trace"));
        absorb_events(t, json_object_get(other, "kept"));
        absorb_ids(t, json_object_get(other, "ids"));
        machine_absorb(&t->situation, t->person, t->other, from, t->effects);
    }
    if (from)
        json_object_update_missing(t->person->merged, from->merged);
    json_object_set_new(t->person->merged, t->other, json_integer((json_int_t)json_array_size(facts)));
    absorb_facts(t, facts);
    person_free(from);
}

void thought_moved(struct thought *t, size_t taken)
{
    for (guint i = 0; i < t->person->runs->len; i++) {
        const struct run *r = t->person->runs->pdata[i];
        count(t, r->sequence, -1);
        for (int k = 0; r->wave && k < 2; k++)
            mark(t, g_strdup_printf("%s:%s:%s", k ? "qv" : "qw", r->sequence, r->wave),
                 g_strdup_printf("%s|%s", t->recipient, r->id), -1);
    }
    t->step.taken = taken;
    person_empty(t->person);
}

void thought_forget(struct thought *t, const char *other)
{
    json_object_del(t->person->merged, other);
    machine_forget(&t->situation, t->person, other, t->effects);
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
    add_json(&t->step.trace, &t->step.n_trace,
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
    add_json(
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
    args_text(listed(&t->step.cancels, &t->step.n_cancels), e->message);
    json_auto_t *why = json_pack("{s:s, s:s, s:s, s:O?}", "reason", "cancelled", "by", "sequence", "sequence",
                                 e->sequence, "why", e->detail ? e->detail : json_object_get(left, "why"));
    char *detail = json_dumps(why, JSON_COMPACT);
    args_text(t->step.cancels, detail);
    free(detail);
    if (left)
        json_object_set(t->cancelling, e->message, left);
}

/* An event that a run makes: of the person, who hears it in the next turn; or of the account. */
static void hand_on(struct thought *t, const struct effect *e)
{
    const char *name = kept_text(e->detail, "event");

    if (g_str_has_prefix(name, ACCOUNT_EVENT)) {
        if (*person_account(t->profile))
            add_json(&t->step.said, &t->step.n_said,
                     json_pack("{s:s, s:{s:s, s:s, s:I, s:I, s:O, s:O}}", "account", person_account(t->profile),
                               "event", "i", e->message, "n", name, "t", (json_int_t)t->situation.now, "a",
                               (json_int_t)t->situation.now, "d", json_object_get(e->detail, "data"), "h",
                               json_object_get(e->detail, "hops")));
        return;
    }
    add_json(&t->step.handed, &t->step.n_handed,
             json_pack("{s:s, s:{s:s, s:O, s:I, s:I, s:O, s:O}}", "k", "e", "e", "i", e->message, "n",
                       json_object_get(e->detail, "event"), "t", (json_int_t)t->situation.now, "a",
                       (json_int_t)t->situation.now, "d", json_object_get(e->detail, "data"), "h",
                       json_object_get(e->detail, "hops")));
}

static void note_end(struct thought *t, const struct effect *e)
{
    json_t *was = json_deep_copy(e->was);
    char at[32];

    json_object_set_new(was, "ended", json_string(instant_format(at, t->situation.now)));
    json_object_set(was, "reason", e->detail);
    json_object_del(was, "until");
    add_json(&t->step.ended, &t->step.n_ended, was);
}

static void count_word(struct thought *t, const struct effect *e, const char *what, int word)
{
    g_autofree char *field = g_strdup_printf("%s|%s|%s|%s|%s|%d", e->sequence, e->version, e->held_out ? "h" : "",
                                             e->kind == EFFECT_COUNTED ? "" : e->step, what, word);
    count(t, field, 1);
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

    count(t, field, 1);
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

static void mark_door(struct thought *t, const char *key, const char *sequence, const char *wave, const char *run,
                      int64_t score)
{
    mark(t, g_strdup_printf("%s:%s:%s", key, sequence, wave), g_strdup_printf("%s|%s", t->recipient, run), score);
}

static void mark_wave(struct thought *t, const struct effect *e)
{
    const char *what = counted_by_wave(e);
    bool at_door = e->kind == EFFECT_DOOR, leaves = e->kind == EFFECT_LEFT && e->released < 0;

    if (e->wave && (at_door || leaves))
        mark_door(t, "qw", e->sequence, e->wave, e->run, at_door ? e->enrolled : -1);
    if (e->wave && (at_door || leaves || e->kind == EFFECT_RELEASED))
        mark_door(t, "qv", e->sequence, e->wave, e->run, -1);
    if (!e->wave || e->released < 0)
        return;
    if (what == harm_names[HARM_OPTED_OUT] && !has_withdrawn_since(t, e->released))
        what = NULL;
    if (e->kind == EFFECT_ENDED && strcmp(kept_text(e->inputs, "reason"), "provider_rejected") == 0)
        mark(t, g_strdup_printf("qr:%s:%s:bounced", e->sequence, e->wave), g_strdup(e->run), e->released);
    if (what)
        mark(t, g_strdup_printf("qr:%s:%s:%s", e->sequence, e->wave, what), g_strdup(e->run), e->released);
    if (e->kind == EFFECT_ANSWERED) {
        g_autofree char *score = g_strdup_printf("=%g", json_number_value(e->detail));
        mark_text(t, g_strdup_printf("qr:%s:%s:scores", e->sequence, e->wave), g_strdup(e->run), score);
    }
}

/* The place of an account in a group goes back, or is another run's, or another person's. */
static void say_place(struct thought *t, const struct effect *e, bool passes)
{
    const char *account = strchr(effect_text(e), '|') + 1, *group = strrchr(account, '|'),
               *was = kept_text(e->inputs, "run");
    json_t *said = json_pack("{s:s%, s:s, s:s, s:s}", "account", account, (size_t)(group - account), "give", group + 1,
                             "owner", passes && !*was ? t->other : t->recipient, "run", *was ? was : e->run);

    if (passes) {
        json_object_set_new(said, "to", json_string(t->recipient));
        json_object_set_new(said, "to_run", json_string(e->run));
    }
    add_json(&t->step.said, &t->step.n_said, said);
}

void thought_tell_line(struct thought *t, const char *place)
{
    const char *account = strchr(place, '|') + 1, *group = strrchr(account, '|');

    add_json(&t->step.said, &t->step.n_said,
             json_pack("{s:s%, s:s, s:s, s:s}", "account", account, (size_t)(group - account), "give", group + 1,
                       "owner", "", "run", ""));
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
    case EFFECT_ENROLLED: count(t, e->sequence, 1); break;
    case EFFECT_LEFT:
        count(t, e->sequence, -1);
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
            acceptance_args(listed(&t->step.messages, &t->step.n_messages), &s->prepared.acceptance);
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

/* ---------------------------------------------------------------- the answer */

static void note_cancelled(struct thought *t, const redisReply *ids, const char *key)
{
    for (size_t i = 0; ids && i < ids->elements; i++) {
        json_t *item = json_object_get(t->cancelling, reply_text(ids, i));
        json_array_append_new(json_object_get(item, key), json_string(reply_text(ids, i)));
    }
}

void thought_cancelled(struct thought *t, const redisReply *cancelled, const redisReply *flying)
{
    note_cancelled(t, cancelled, "cancelled");
    note_cancelled(t, flying, "in_flight");
}

static void args_clear(struct args **a)
{
    if (*a)
        args_free(*a);
    *a = NULL;
}

void thought_clear(struct thought *t)
{
    struct step_of *s = &t->step;

    args_clear(&s->events);
    args_clear(&s->messages);
    args_clear(&s->cancels);
    args_clear(&s->trace);
    args_clear(&s->ended);
    args_clear(&s->handed);
    args_clear(&s->counts);
    args_clear(&s->said);
    args_clear(&s->marks);
    args_clear(&s->known);
    g_free((char *)t->wanted.name);
    g_free((char *)t->wanted.home);
    g_free((char *)t->wanted.run);
    if (t->effects)
        g_ptr_array_unref(t->effects);
    if (t->sends)
        g_ptr_array_unref(t->sends);
    person_free(t->person);
    json_decref(t->profile);
    json_decref(t->standings);
    json_decref(t->situation.kept);
    json_decref(t->did);
    json_decref(t->cancelling);
    free(t->runs);
    *t = (struct thought){ 0 };
}
