#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/base/clock.h"
#include "dispatcher/base/log.h"
#include "dispatcher/base/vocab.h"
#include "dispatcher/journeys/actor_own.h"
#include "dispatcher/policy/reach.h"
#include "schedules/duration.h"

#define HEARD_MOST 100 /* in one step; what is left is heard in the next turn, which is now */

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
                                       .current = sequences_current(s->sequences) };
    thought_answers(t, &t->situation);
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

#define CLAIM_MS MINUTE_MS /* who has not come by then has died on the way */

static bool has_come(const json_t *since)
{
    return json_is_integer(since) && json_integer_value(since) >= 0;
}

void thought_claim(struct thought *t, const char *other)
{
    if (!has_come(json_object_get(t->person->merged, other)))
        json_object_set_new(t->person->merged, other, json_integer(-clock_real()));
}

bool thought_is_claimed(const struct thought *t)
{
    const char *other;
    json_t *since;
    bool is = false;

    json_object_foreach (t->person->merged, other, since)
        is |= !has_come(since) && clock_real() + json_integer_value(since) < CLAIM_MS;
    return is;
}

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
            !event_is_kept(t->situation.kept, kept_text(json_object_get(fact, "e"), "i")))
            hear(t, facts, i);
}

static void absorb_events(struct thought *t, const json_t *kept)
{
    size_t i;
    json_t *event;

    json_array_foreach ((json_t *)kept, i, event)
        if (!event_is_kept(t->situation.kept, kept_text(event, "i")))
            thought_keep(t, event);
}

/* What they have been told of, they have been told of. */
static void absorb_ids(struct thought *t, const json_t *ids)
{
    size_t i;
    json_t *id;

    json_array_foreach ((json_t *)ids, i, id)
        args_text(step_list(&t->step.known, &t->step.n_known), json_string_value(id));
}

static void absorb_trace(struct thought *t, const json_t *lines)
{
    size_t i;
    json_t *line;

    json_array_foreach ((json_t *)lines, i, line)
        step_json(&t->step.trace, &t->step.n_trace, json_incref(line));
}

void thought_absorb(struct thought *t, const json_t *other)
{
    const json_t *facts = json_object_get(other, "unheard");
    struct person_runs *from = person_read(kept_text(other, "runs"));

    t->other = kept_text(other, "from");
    if (from && !has_come(json_object_get(t->person->merged, t->other))) {
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
        step_count(t, r->sequence, -1);
        if (r->wave)
            step_door(t, r->sequence, r->wave, r->id, -1);
    }
    t->step.taken = taken;
    person_empty(t->person);
}

void thought_forget(struct thought *t, const char *other)
{
    json_object_del(t->person->merged, other);
    machine_forget(&t->situation, t->person, other, t->effects);
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
