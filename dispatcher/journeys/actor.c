#include "dispatcher/journeys/actor.h"

#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/base/clock.h"
#include "dispatcher/base/figures.h"
#include "dispatcher/base/log.h"
#include "dispatcher/intake/intake.h"
#include "dispatcher/journeys/actor_own.h"
#include "dispatcher/journeys/places.h"
#include "dispatcher/people/erasure.h"
#include "dispatcher/people/profile.h"
#include "dispatcher/people/turn.h"

#define RACES_MAX     64
#define LOOK_AGAIN_MS 1000
#define HOPS_MOST     32 /* of what is handed on */

/*
 *   turn_take ──▶ definitions kept ──▶ look ──▶ definitions of its runs ──▶ events of the account ──▶ think ──▶ step
 *                                                                                  places that it wants ◀──▶ think
 */
struct actor {
    struct service *service;
    enum act_kind kind;
    char recipient[129], sequence[129], reason[65], other[129];
    char version[VERSION_SIZE];
    const struct condition *where;
    json_t *event, *map, *profile;
    json_t *places;      /* by name: whether it is theirs */
    json_t *lines;       /* names of places that are free for others who wait */
    int64_t place_again; /* when one is worth asking for once more; 0 */
    bool again, dry, existing;
    char via[129];    /* whoever they were when it was brought; "" */
    bool frozen;      /* of MOVE: it has been written that they have moved */
    bool taking;      /* what is left here is being taken along */
    json_t *stopped;  /* run → what became of its messages when they moved: {"cancelled":[…],"in_flight":[…]} */
    json_t *trace;    /* while it is taken along */
    json_t *did;      /* what came of going along; NULL: the thought says it */
    struct view view; /* what was looked at */
    struct thought thought;
    int races, hops;
    acted_fn *fn;
    void *arg;
};

/* ---------------------------------------------------------------- the end */

static void release(struct actor *a)
{
    struct service *s = a->service;
    g_autofree char *recipient = g_strdup(a->recipient);

    view_clear(&a->view);
    thought_clear(&a->thought);
    json_decref(a->event);
    json_decref(a->map);
    json_decref(a->profile);
    json_decref(a->places);
    json_decref(a->lines);
    json_decref(a->did);
    json_decref(a->stopped);
    json_decref(a->trace);
    g_free(a);
    turn_end(s, recipient);
}

static void finish(struct actor *a, enum act_result result)
{
    a->fn(a->arg, result, result != ACT_DONE ? NULL : a->did ? a->did : a->thought.did);
    release(a);
}

/* ---------------------------------------------------------------- step */

static void look(struct actor *a);

static void add_stopped(struct actor *a, const struct person_runs *p, const redisReply *ids, const char *key)
{
    for (size_t i = 0; ids && i < ids->elements; i++)
        for (guint k = 0; k < p->runs->len; k++) {
            const struct run *r = p->runs->pdata[k];
            if (g_strcmp0(r->message, reply_text(ids, i)) != 0 && !json_object_get(r->open, reply_text(ids, i)))
                continue;
            json_t *of = figures_of(a->stopped, r->id), *list = json_object_get(of, key);
            if (!list)
                json_object_set_new(of, key, list = json_array());
            json_array_append_new(list, json_string(reply_text(ids, i)));
        }
}

static void note_stopped(struct actor *a, const redisReply *cancelled, const redisReply *flying)
{
    struct person_runs *p = person_read(a->view.runs);

    a->stopped = json_object();
    if (p) {
        add_stopped(a, p, cancelled, "cancelled");
        add_stopped(a, p, flying, "in_flight");
    }
    person_free(p);
}

static void on_stepped(void *arg, enum stepped stepped, const redisReply *cancelled, const redisReply *flying)
{
    struct actor *a = arg;

    if (stepped == STEP_RACE && a->races++ < RACES_MAX) {
        look(a);
        return;
    }
    if (stepped == STEPPED && a->kind == ACT_MOVE && !a->frozen) {
        a->frozen = true;
        note_stopped(a, cancelled, flying);
        look(a);
        return;
    }
    if (stepped == STEPPED && a->taking && a->kind != ACT_TURN && a->kind != ACT_MOVE) {
        a->taking = false; /* now what was brought is handed on */
        look(a);
        return;
    }
    if (stepped == STEPPED)
        thought_cancelled(&a->thought, cancelled, flying);
    static const enum act_result results[] = { [STEPPED] = ACT_DONE,
                                               [STEP_RACE] = ACT_BUSY,
                                               [STEP_KNOWN] = ACT_KNOWN,
                                               [STEP_GONE] = ACT_GONE,
                                               [STEP_FAILED] = ACT_FAILED };
    finish(a, results[stepped]);
}

/* An event that is enrolled with is no event of the person's: only its id is kept. */
static void write_step(struct actor *a)
{
    struct step_of step = thought_step(&a->thought, &a->view);

    step.recipient = a->recipient;
    step.looked = a->kind == ACT_TURN || a->kind == ACT_EVENT || a->taking;
    step.event_id = a->event ? kept_text(a->event, "i") : "";
    store_step(a->service->steps, &step, on_stepped, a);
}

/* ---------------------------------------------------------------- think */

static void think(struct actor *a);

static void on_placed(void *arg, bool ok, bool has, int64_t again_ms)
{
    struct actor *a = arg;
    g_autofree char *asked = g_strconcat(a->thought.wanted.name, "|", a->thought.wanted.run, NULL);

    json_object_set_new(a->places, asked, json_boolean(has));
    if (again_ms == PLACE_LINE)
        json_array_append_new(a->lines, json_string(a->thought.wanted.name));
    /* it may have been given back before it was written that they wait: then nobody told them */
    if (ok && !has && a->thought.wanted.waits && a->kind != ACT_TURN)
        again_ms = LOOK_AGAIN_MS;
    if (again_ms >= 0)
        a->place_again = clock_now() + (int64_t)((double)again_ms * clock_rate());
    if (ok)
        think(a);
    else
        finish(a, ACT_GONE);
}

static void think(struct actor *a)
{
    struct thought *t = &a->thought;

    thought_clear(t);
    if (!thought_begin(t, a->service, a->recipient, &a->view, a->dry ? NULL : a->places)) {
        finish(a, ACT_GONE);
        return;
    }
    if (a->kind == ACT_MOVE && thought_is_claimed(t)) {
        thought_clear(t);
        finish(a, ACT_BUSY);
        return;
    }
    if (a->where && !thought_meets(t, a->where)) {
        thought_clear(t);
        finish(a, ACT_DONE);
        return;
    }
    thought_hear(t, &a->view);
    switch (a->kind) {
    case ACT_EVENT: thought_event(t, a->event); break;
    case ACT_KEEP: thought_keep(t, a->event); break;
    case ACT_ENROLL: thought_enroll(t, a->sequence, a->event, a->again); break;
    case ACT_LEAVE: thought_leave(t, a->sequence, a->reason); break;
    case ACT_MIGRATE: thought_migrate(t, a->sequence, *a->version ? a->version : NULL, a->map); break;
    case ACT_TURN: thought_look(t); break;
    case ACT_REPLAN: thought_replan(t); break;
    case ACT_CLAIM: thought_claim(t, a->other); break;
    case ACT_MOVE: thought_move(t, a->other); break;
    case ACT_ABSORB: thought_absorb(t, a->event); break;
    case ACT_FORGET: thought_forget(t, a->other); break;
    }
    thought_end(t);
    if (t->wanted.name)
        place_ask(a->service, &t->wanted, a->recipient, on_placed, a);
    else if (a->dry)
        finish(a, ACT_DONE);
    else {
        if (a->place_again)
            t->again = a->place_again;
        for (size_t i = 0; i < json_array_size(a->lines); i++)
            thought_tell_line(t, json_string_value(json_array_get(a->lines, i)));
        write_step(a);
    }
}

/* ---------------------------------------------------------------- what happened to their account */

static void on_company(void *arg, bool ok, json_t *events)
{
    struct actor *a = arg;

    if (!ok) {
        finish(a, ACT_GONE);
        return;
    }
    view_add_company(&a->view, events);
    think(a);
}

static void ask_company(struct actor *a)
{
    g_autofree char *account = sequences_ask_accounts(a->service->sequences) ? view_account(&a->view) : NULL;

    if (account)
        store_company_events(a->service->store, account, on_company, a);
    else
        think(a);
}

/* ---------------------------------------------------------------- who has moved */

#define MOVED_MOST 10000 /* that a process remembers */

/* Lines of one person must follow each other, by whatever id they come: who has been seen to have moved is known at the
 * door, and who they are now knows whether that still holds. */
static void remember_moved(struct actor *a)
{
    GHashTable **moved = &a->service->moved;

    if (!*moved)
        *moved = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    if (g_hash_table_size(*moved) >= MOVED_MOST)
        g_hash_table_remove_all(*moved);
    g_hash_table_replace(*moved, g_strdup(a->recipient), g_strdup(a->view.moved));
}

static const char *now_called(struct service *s, const struct act *act)
{
    const char *name = act->recipient, *next;
    bool brought = act->kind == ACT_EVENT || act->kind == ACT_KEEP || act->kind == ACT_ENROLL || act->kind == ACT_LEAVE;

    for (int n = 0; brought && s->moved && !act->profile && !act->dry && n < 16; n++) {
        next = g_hash_table_lookup(s->moved, name);
        if (!next)
            break;
        name = next;
    }
    return name;
}

/* The same, to somebody else; their own turn is over before that one's begins. */
static void hand(struct actor *a, const char *recipient, int hops)
{
    actor_act(a->service,
              &(struct act){ .kind = a->kind,
                             .recipient = recipient,
                             .event = json_incref(a->event),
                             .sequence = a->sequence,
                             .reason = a->reason,
                             .other = a->other,
                             .hops = hops,
                             .again = a->again,
                             .where = a->where,
                             .existing = a->existing },
              NULL, a->fn, a->arg);
    release(a);
}

/* They were erased meanwhile, and are two again. */
static void hand_back(struct actor *a)
{
    g_hash_table_remove(a->service->moved, a->via);
    hand(a, a->via, 0);
}

/* What happens to them happens to who they are now. */
static void hand_on(struct actor *a)
{
    hand(a, a->view.moved, a->hops + 1);
}

/* Nothing is left of them here but where they have gone. */
static void leave(struct actor *a, size_t taken)
{
    struct thought *t = &a->thought;

    thought_clear(t);
    if (!thought_begin(t, a->service, a->recipient, &a->view, NULL)) {
        finish(a, ACT_GONE);
        return;
    }
    thought_moved(t, taken);
    thought_end(t);
    write_step(a);
}

/* Of runs that ended because the other one's was further. */
static void tell_stopped(struct actor *a)
{
    json_t *item, *list;
    const char *key;
    size_t i;

    json_array_foreach (a->did, i, item) {
        const char *run = json_string_value(json_object_get(item, "run"));
        json_t *of = run && json_object_get(item, "cancelled") ? json_object_get(a->stopped, run) : NULL;
        json_object_foreach (of, key, list)
            json_array_extend(json_object_get(item, key), list);
    }
}

static void on_erased(void *arg, bool ok, json_t *receipt)
{
    finish(arg, ok ? ACT_DONE : ACT_GONE);
}

static void on_absorbed(void *arg, enum act_result result, const json_t *did)
{
    struct actor *a = arg;

    if (result != ACT_DONE) {
        finish(a, result);
        return;
    }
    if (!did) { /* who they are now was erased meanwhile, and they are the same person */
        erase_person(a->service, a->recipient, on_erased, a);
        return;
    }
    json_decref(a->did);
    a->did = json_deep_copy(did);
    tell_stopped(a);
    leave(a, json_array_size(a->view.unheard));
}

static void on_ids(void *arg, bool ok, json_t *ids)
{
    struct actor *a = arg;

    if (!ok) {
        finish(a, ACT_GONE);
        return;
    }
    actor_act(a->service,
              &(struct act){ .kind = ACT_ABSORB,
                             .recipient = a->view.moved,
                             .event = json_pack("{s:s, s:s, s:O, s:O, s:O, s:O}", "from", a->recipient, "runs",
                                                a->view.runs, "unheard", a->view.unheard, "kept", a->view.kept, "trace",
                                                a->trace, "ids", ids),
                             .existing = true },
              NULL, on_absorbed, a);
}

static void on_trace(void *arg, bool ok, json_t *trace)
{
    struct actor *a = arg;

    json_decref(a->trace);
    a->trace = json_incref(trace);
    if (ok)
        store_event_ids(a->service->store, a->recipient, on_ids, a);
    else
        finish(a, ACT_GONE);
}

/* Also nothing: who they are now must know of it. */
static void take_along(struct actor *a)
{
    a->taking = true;
    store_trace(a->service->store, a->recipient, on_trace, a);
}

static bool has_something(const struct view *v)
{
    struct person_runs *p = person_read(v->runs);
    bool has = p && p->runs->len + p->queue->len + p->ended->len + json_object_size(p->seen) > 0;

    person_free(p);
    return has || json_array_size(v->unheard) > 0;
}

static void has_moved(struct actor *a)
{
    bool elsewhere = a->kind == ACT_MOVE && strcmp(a->other, a->view.moved) != 0,
         back = a->kind == ACT_ABSORB && strcmp(kept_text(a->event, "from"), a->view.moved) == 0;

    remember_moved(a);
    if (elsewhere || back || a->kind == ACT_CLAIM || a->hops > HOPS_MOST)
        finish(a, ACT_BUSY);
    else if (a->kind == ACT_MIGRATE || a->kind == ACT_REPLAN || a->dry)
        finish(a, ACT_DONE);
    else if (has_something(&a->view) || a->frozen)
        take_along(a);
    else if (a->kind != ACT_TURN && a->kind != ACT_MOVE)
        hand_on(a);
    else
        leave(a, 0);
}

/* ---------------------------------------------------------------- definitions of the runs */

static void learn(struct actor *a);

struct learning {
    struct actor *actor;
    char version[VERSION_SIZE];
};

static void on_definition(void *arg, const char *text)
{
    struct learning *l = arg;
    struct actor *a = l->actor;

    if (!text) {
        g_free(l);
        finish(a, ACT_GONE);
        return;
    }
    if (!sequences_knows(a->service->sequences, l->version))
        sequences_learn(a->service->sequences, l->version, text);
    g_free(l);
    learn(a);
}

static void learn(struct actor *a)
{
    g_autofree char *version = view_unknown_version(&a->view, a->service->sequences);

    if (!version) {
        if (a->view.moved)
            has_moved(a);
        else if (a->frozen)
            finish(a, ACT_DONE); /* they have been erased meanwhile */
        else if (*a->via && !json_object_get(a->view.merged, a->via))
            hand_back(a);
        else
            ask_company(a);
        return;
    }
    struct learning *l = g_new0(struct learning, 1);
    l->actor = a;
    g_strlcpy(l->version, version, sizeof l->version);
    store_definition(a->service->store, version, on_definition, l);
}

/* ---------------------------------------------------------------- look */

static void on_looked(void *arg, const struct seen_person *seen)
{
    struct actor *a = arg;

    if (!seen) {
        finish(a, ACT_GONE);
        return;
    }
    view_clear(&a->view);
    view_take(&a->view, seen);
    if (a->existing && !*a->view.profile && !*a->view.runs)
        finish(a, ACT_DONE);
    else
        learn(a);
}

static void look(struct actor *a)
{
    store_look(a->service->looks, a->recipient, on_looked, a);
}

static void on_kept(void *arg, bool ok)
{
    struct actor *a = arg;

    if (!ok)
        finish(a, ACT_GONE);
    else if (a->view.taken)
        learn(a);
    else
        look(a);
}

static void on_profile(void *arg, enum profile_result result, const char *profile)
{
    struct actor *a = arg;

    if (result == PROFILE_GONE || result == PROFILE_CONFLICT)
        finish(a, result == PROFILE_GONE ? ACT_GONE : ACT_BUSY);
    else
        sequences_keep(a->service->sequences, on_kept, a);
}

static void on_turn(void *arg)
{
    struct actor *a = arg;

    if (a->profile)
        profile_change_in_turn(a->service, a->recipient, json_incref(a->profile), PROFILE_MERGE, on_profile, a);
    else if (a->dry)
        on_kept(a, true); /* who only looks writes nothing, definitions neither */
    else
        sequences_keep(a->service->sequences, on_kept, a);
}

void actor_act(struct service *s, const struct act *act, const struct seen_person *seen, acted_fn *fn, void *arg)
{
    struct actor *a = g_new0(struct actor, 1);

    *a = (struct actor){ .service = s,
                         .kind = act->kind,
                         .event = act->event,
                         .profile = act->profile,
                         .again = act->again,
                         .fn = fn,
                         .arg = arg };
    g_strlcpy(a->recipient, now_called(s, act), sizeof a->recipient);
    if (strcmp(a->recipient, act->recipient) != 0)
        g_strlcpy(a->via, act->recipient, sizeof a->via);
    g_strlcpy(a->other, act->other ? act->other : "", sizeof a->other);
    g_strlcpy(a->sequence, act->sequence ? act->sequence : "", sizeof a->sequence);
    g_strlcpy(a->version, act->version ? act->version : "", sizeof a->version);
    a->map = json_incref((json_t *)act->map);
    a->places = json_object();
    a->lines = json_array();
    a->dry = act->dry;
    a->hops = act->hops;
    a->existing = act->existing;
    a->where = act->where;
    g_strlcpy(a->reason, act->reason ? act->reason : "", sizeof a->reason);
    if (seen)
        view_take(&a->view, seen);
    turn_take(s, a->recipient, on_turn, a);
}
