#include "schedules/machine_own.h"

#include <string.h>

#include "schedules/duration.h"

#define ENDED_MOST 20 /* runs that are over, and whose goal may still be counted */

const char *const effect_names[] = {
#define ROW(name, text) text,
    EFFECT_TABLE(ROW)
#undef ROW
};

/* ---------------------------------------------------------------- effects */

void effect_free(struct effect *e)
{
    g_free(e->sequence);
    g_free(e->run);
    g_free(e->step);
    g_free(e->wave);
    json_decref(e->detail);
    json_decref(e->inputs);
    json_decref(e->was);
    g_free(e);
}

const char *effect_text(const struct effect *e)
{
    const char *text = json_string_value(e->detail);
    return text ? text : "";
}

struct effect *add_effect(struct machine *m, enum effect_kind kind, const char *sequence, const char *run,
                          const char *step, json_t *detail)
{
    struct effect *e = g_new0(struct effect, 1);

    *e = (struct effect){ .kind = kind,
                          .sequence = g_strdup(sequence),
                          .run = g_strdup(run),
                          .step = g_strdup(step),
                          .detail = detail,
                          .lapse = -1 };
    g_ptr_array_add(m->effects, e);
    return e;
}

json_t *event_inputs(const json_t *event)
{
    return event ? json_pack("{s:O, s:O, s:O, s:O}", "event", json_object_get(event, "i"), "name",
                             json_object_get(event, "n"), "at", json_object_get(event, "t"), "arrived",
                             json_object_get(event, "a"))
                 : NULL;
}

/* How long it was in the step that is over, or on its way to the goal. */
static int64_t lapse_of(const struct machine *m, enum effect_kind kind, const struct run *r, const char *step)
{
    bool goal = kind == EFFECT_GOAL || kind == EFFECT_COUNTED;
    bool over = kind == EFFECT_MATCHED || kind == EFFECT_TIMEOUT || kind == EFFECT_WAITED || kind == EFFECT_ENDED ||
                kind == EFFECT_COLLECTED;

    if (goal && m->at_hand)
        return MAX(kept_time(m->at_hand, "t") - r->started, 0);
    return over && g_strcmp0(step, r->step) == 0 ? MAX(m->in->now - r->entered, 0) : -1;
}

struct effect *tell(struct machine *m, enum effect_kind kind, const struct run *r, const char *step, json_t *detail)
{
    struct effect *e = add_effect(m, kind, r->sequence, r->id, step ? step : "", detail);

    memcpy(e->version, r->version, sizeof e->version);
    e->held_out = r->held_out;
    e->wave = g_strdup(r->wave);
    e->released = r->released;
    e->enrolled = r->enrolled;
    e->lapse = lapse_of(m, kind, r, step);
    return e;
}

/* S45: a newer version that takes over runs does so where it still has their step. */
static const struct sequence *follow(struct machine *m, struct run *r, const struct sequence *s)
{
    const struct sequence *newer = m->in->find(m->in->arg, r->sequence, NULL);
    const struct step *here = sequence_step(s, r->step), *there = newer ? sequence_step(newer, r->step) : NULL;

    if (!newer || newer == s || !newer->follows || !here || !there || here->kind != there->kind)
        return s;
    g_strlcpy(r->version, newer->version, sizeof r->version);
    run_replan(m, r, newer, true);
    return newer;
}

const struct sequence *definition_of(struct machine *m, struct run *r)
{
    const struct sequence *s = m->in->find(m->in->arg, r->sequence, r->version);
    return s && r->step ? follow(m, r, s) : s;
}

/* ---------------------------------------------------------------- sight */

struct sight sight_of(const struct machine *m, const struct run *r, const json_t *event)
{
    const struct situation *in = m->in;

    return (struct sight){ .now = in->now,
                           .zone = in->zone,
                           .recipient = in->recipient,
                           .profile = in->profile,
                           .event = event ? json_object_get(event, "d") : NULL,
                           .run = r,
                           .kept = in->kept,
                           .consent = in->consent,
                           .arg = in->arg };
}

const struct zone *zone_of(const struct machine *m, const struct sequence *s)
{
    return s->zone ? s->zone : m->in->zone;
}

const json_t *standing_of(const struct machine *m, const struct sequence *s)
{
    return m->in->standing ? m->in->standing(m->in->arg, s) : NULL;
}

bool is_paused(const struct machine *m, const struct sequence *s)
{
    return strcmp(kept_text(standing_of(m, s), "paused"), "all") == 0;
}

/* ---------------------------------------------------------------- the end of a run */

bool run_is_over(const struct run *r)
{
    return r->step == NULL;
}

void leave_run(struct machine *m, struct run *r, const char *reason, bool keep_message)
{
    const char *id;
    json_t *step;

    struct effect *left = tell(m, EFFECT_LEFT, r, r->step, json_string(reason));
    left->was = run_json(r);
    left->inputs = event_inputs(m->at_hand);
    if (r->message)
        json_object_set_new(r->open, r->message, json_string(r->sender));
    json_object_foreach (r->open, id, step)
        if (!keep_message)
            g_strlcpy(tell(m, EFFECT_CANCELLED, r, json_string_value(step), NULL)->message, id, MACHINE_ID_SIZE);
    if (r->place)
        tell(m, EFFECT_GIVEN, r, NULL, json_string(r->place));
    json_object_clear(r->open);
    g_clear_pointer(&r->message, g_free);
    g_clear_pointer(&r->place, g_free);
    g_clear_pointer(&r->step, g_free);
    r->due = -1;
}

/* At the door of a wave it has not begun to live. */
static int64_t life_end(const struct run *r, const struct sequence *s)
{
    return (r->wave ? r->released : r->started) + s->life;
}

/* ---------------------------------------------------------------- goal and exit */

/* It happened, as far as a run is concerned, at or after `from`. */
bool concerns(const struct run *r, const json_t *event, const char *name, int64_t from)
{
    return name && event && strcmp(kept_text(event, "n"), name) == 0 && kept_time(event, "t") >= from &&
           strcmp(kept_text(event, "i"), r->trigger_id) != 0;
}

static bool reaches_goal(const struct machine *m, const struct run *r, const struct sequence *s, const json_t *event)
{
    const struct goal *g = s->goal;
    struct sight sight = sight_of(m, r, event);

    return g && !r->goal && (!g->from || r->goal_open) && concerns(r, event, g->event, r->started - g->before) &&
           condition_holds(g->where, &sight, NULL);
}

static void check_goal(struct machine *m, struct run *r, const struct sequence *s, const json_t *event)
{
    if (!reaches_goal(m, r, s, event))
        return;
    r->goal = true;
    tell(m, EFFECT_GOAL, r, NULL, NULL)->inputs = event_inputs(event);
    if (s->goal->ends)
        leave_run(m, r, "goal", false);
}

static bool has_changed(const struct machine *m, const struct run *r, const char *path)
{
    struct sight sight = sight_of(m, r, NULL);
    json_auto_t *now = sight_find(&sight, path);
    const json_t *then = json_object_get(r->watched, path);

    return now && then ? !json_equal(now, then) : now != then;
}

static void check_exit(struct machine *m, struct run *r, const struct sequence *s, const json_t *event)
{
    if (!s->stays_opted_out && m->in->may_hear && !m->in->may_hear(m->in->arg, s, NULL))
        leave_run(m, r, "opted_out", false); /* S35 */
    for (guint i = 0; i < s->leaves->len && !run_is_over(r); i++) {
        const struct leave *l = s->leaves->pdata[i];
        struct sight sight = sight_of(m, r, event);
        bool applies = l->event     ? concerns(r, event, l->event, r->started) && condition_holds(l->when, &sight, NULL)
                       : l->changed ? has_changed(m, r, l->changed)
                                    : condition_holds(l->when, &sight, NULL);
        if (applies)
            leave_run(m, r, l->reason, l->keep_messages);
    }
}

/* ---------------------------------------------------------------- facts */

/* S58: before a send, while its wave is held. */
static bool is_parked(const struct machine *m, const struct run *r, const struct sequence *s)
{
    const struct step *step = r->yielded ? sequence_step(s, r->step) : NULL;
    return step && step->kind == STEP_SEND && is_held(m, r, s);
}

static bool is_due(const struct machine *m, const struct run *r, const struct sequence *s)
{
    return !is_at_door(r) && (life_end(r, s) <= m->in->now ||
                              (r->due >= 0 && r->due <= m->in->now && !is_paused(m, s) && !is_parked(m, r, s)));
}

/* exit, life, what it waits for */
static void pass_time(struct machine *m, struct run *r, const struct sequence *s)
{
    check_exit(m, r, s, NULL);
    if (!run_is_over(r))
        run_resumed(m, r, s);
    if (!run_is_over(r))
        run_replan(m, r, s, false);
    if (run_is_over(r) || !is_due(m, r, s))
        return;
    if (life_end(r, s) <= m->in->now)
        leave_run(m, r, "life_over", false);
    else
        run_timer(m, r, s);
}

static void pass_time_of_all(struct machine *m)
{
    guint runs = m->person->runs->len; /* who begins meanwhile does so after this fact */

    for (guint i = 0; i < runs; i++) {
        struct run *r = m->person->runs->pdata[i];
        const struct sequence *s = run_is_over(r) ? NULL : definition_of(m, r);
        if (s)
            pass_time(m, r, s);
        if (run_is_over(r))
            admit_next(m);
    }
}

/* The gate of its wave still asks for answers. */
static bool is_settling(const struct machine *m, const struct run *r, const struct sequence *s)
{
    return s->gate && s->gate->event && r->released >= 0 && r->released + s->life > m->in->now;
}

/* S32: after the end a goal may still count for a while. */
static void count_goals(struct machine *m, const json_t *event)
{
    for (guint i = 0; i < m->person->ended->len;) {
        struct run *r = m->person->ended->pdata[i];
        const struct sequence *s = definition_of(m, r);
        bool counts = s && m->in->now <= r->deadline && reaches_goal(m, r, s, event);
        if (s && m->in->now <= r->due)
            note_answer(m, r, s, event);
        if (counts)
            tell(m, EFFECT_COUNTED, r, NULL, NULL);
        r->goal |= counts;
        if (!s || (r->goal && !is_settling(m, r, s)) || m->in->now > r->due)
            g_ptr_array_remove_index(m->person->ended, i);
        else
            i++;
    }
}

/* Of many the one that would be forgotten next. */
static void forget_soonest(GPtrArray *ended)
{
    guint soonest = 0;

    for (guint i = 1; i < ended->len; i++)
        if (((const struct run *)ended->pdata[i])->due < ((const struct run *)ended->pdata[soonest])->due)
            soonest = i;
    g_ptr_array_remove_index(ended, soonest);
}

static void forget_ended(struct machine *m)
{
    for (guint i = 0; i < m->person->runs->len;) {
        struct run *r = m->person->runs->pdata[i];
        const struct sequence *s = run_is_over(r) ? definition_of(m, r) : NULL;
        if (!run_is_over(r)) {
            i++;
            continue;
        }
        r = g_ptr_array_steal_index(m->person->runs, i);
        bool counts = s && s->goal && s->goal->within && !r->goal;
        if (counts || (s && is_settling(m, r, s))) {
            r->deadline = counts ? m->in->now + s->goal->within : -1;
            r->due = MAX(r->deadline, is_settling(m, r, s) ? r->released + s->life : -1);
            g_ptr_array_add(m->person->ended, r);
            if (m->person->ended->len > ENDED_MOST)
                forget_soonest(m->person->ended);
        } else {
            run_free(r);
        }
    }
}

void end_fact(struct machine *m)
{
    forget_ended(m);
    admit_next(m);
    forget_ended(m);
}

void machine_event(const struct situation *in, struct person_runs *p, const json_t *event, GPtrArray *effects)
{
    struct machine m = { in, p, effects, event };
    guint runs = p->runs->len;

    count_goals(&m, event);
    for (guint i = 0; i < runs; i++) {
        struct run *r = p->runs->pdata[i];
        const struct sequence *s = definition_of(&m, r);
        if (!s)
            continue;
        run_resumed(&m, r, s);
        note_answer(&m, r, s, event);
        if (!run_is_over(r))
            check_goal(&m, r, s, event);
        if (!run_is_over(r))
            check_exit(&m, r, s, event);
        if (!run_is_over(r) && !run_gives_up(&m, r, s, event))
            run_matches(&m, r, s, event);
        if (run_is_over(r))
            admit_next(&m);
    }
    check_line(&m, event);
    for (guint i = 0; i < in->current->len; i++) {
        check_triggers(&m, in->current->pdata[i], event);
        admit_next(&m);
    }
    end_fact(&m);
}

void machine_message(const struct situation *in, struct person_runs *p, const char *message, const char *status,
                     const char *reason, GPtrArray *effects)
{
    struct machine m = { in, p, effects, NULL };
    guint runs = p->runs->len;

    for (guint i = 0; i < runs; i++) {
        struct run *r = p->runs->pdata[i];
        const struct sequence *s = definition_of(&m, r);
        bool waited = g_strcmp0(r->message, message) == 0;
        const struct step *mine = s ? run_hears(&m, r, s, message, status, reason) : NULL;
        if (s)
            check_exit(&m, r, s, NULL);
        if (s && !run_is_over(r))
            run_moves(&m, r, s, mine, waited, status, reason);
        if (run_is_over(r))
            admit_next(&m);
    }
    end_fact(&m);
}

void machine_engaged(const struct situation *in, struct person_runs *p, const char *message, const char *what,
                     GPtrArray *effects)
{
    struct machine m = { in, p, effects, NULL };
    guint runs = p->runs->len;

    for (guint i = 0; i < runs; i++) {
        struct run *r = p->runs->pdata[i];
        const struct sequence *s = definition_of(&m, r);
        if (s)
            run_engages(&m, r, s, message, what);
        if (run_is_over(r))
            admit_next(&m);
    }
    end_fact(&m);
}

void machine_look(const struct situation *in, struct person_runs *p, GPtrArray *effects)
{
    struct machine m = { in, p, effects, NULL };

    pass_time_of_all(&m);
    check_dates(&m);
    end_fact(&m);
}

void machine_profile(const struct situation *in, struct person_runs *p, const json_t *was, const char *id, bool import,
                     GPtrArray *effects)
{
    struct machine m = { in, p, effects, NULL };

    pass_time_of_all(&m);
    check_profile(&m, was, id, import);
    end_fact(&m);
}

void machine_enroll(const struct situation *in, struct person_runs *p, const struct sequence *s, const json_t *event,
                    bool again, GPtrArray *effects)
{
    struct machine m = { in, p, effects, NULL };

    enrol(&m, s, event, again);
    end_fact(&m);
}

void machine_leave(const struct situation *in, struct person_runs *p, const char *sequence, const char *reason,
                   GPtrArray *effects)
{
    struct machine m = { in, p, effects, NULL };

    for (guint i = p->queue->len; i-- > 0;)
        if (!sequence || strcmp(((struct standing *)p->queue->pdata[i])->sequence, sequence) == 0)
            g_ptr_array_remove_index(p->queue, i);
    for (guint i = 0; i < p->runs->len; i++)
        if (!sequence || strcmp(((struct run *)p->runs->pdata[i])->sequence, sequence) == 0)
            leave_run(&m, p->runs->pdata[i], reason, false);
    end_fact(&m);
}

/* Whose wave is there stays at its door; where no wave is they begin. */
static bool migrate_at_door(struct machine *m, struct run *r, const struct sequence *to)
{
    bool there = sequence_wave(to, r->wave) != NULL;

    if (!there && to->waves->len)
        return false;
    g_strlcpy(r->version, to->version, sizeof r->version);
    tell(m, EFFECT_MIGRATED, r, "", json_pack("{s:s, s:n}", "to", "", "due"));
    if (there)
        return true;
    r->released = m->in->now;
    tell(m, EFFECT_RELEASED, r, NULL, json_string(r->wave));
    g_clear_pointer(&r->wave, g_free);
    run_go(m, r, to, to->first);
    return true;
}

static void migrate(struct machine *m, struct run *r, const struct sequence *to, const json_t *map)
{
    const struct sequence *s = m->in->find(m->in->arg, r->sequence, r->version);
    const struct step *here = s ? sequence_step(s, r->step) : NULL;
    const char *mapped = json_string_value(json_object_get(map, r->step));
    const struct step *there = sequence_step(to, mapped ? mapped : r->step);
    g_autofree char *old = g_strdup(r->step);

    if (is_at_door(r) && migrate_at_door(m, r, to))
        return;
    if (!here || !there || here->kind != there->kind) {
        tell(m, EFFECT_STUCK, r, old, NULL);
        return;
    }
    g_strlcpy(r->version, to->version, sizeof r->version);
    g_free(r->step);
    r->step = g_strdup(there->id);
    run_replan(m, r, to, true);
    tell(m, EFFECT_MIGRATED, r, old,
         json_pack("{s:s, s:o}", "to", there->id, "due", r->due < 0 ? json_null() : json_integer(r->due)));
}

void machine_migrate(const struct situation *in, struct person_runs *p, const struct sequence *to, const char *from,
                     const json_t *map, GPtrArray *effects)
{
    struct machine m = { in, p, effects, NULL };

    for (guint i = 0; i < p->runs->len; i++) {
        struct run *r = p->runs->pdata[i];
        if (strcmp(r->sequence, to->name) == 0 && strcmp(r->version, to->version) != 0 &&
            (!from || strcmp(r->version, from) == 0))
            migrate(&m, r, to, map);
    }
}

void machine_replan(const struct situation *in, struct person_runs *p, GPtrArray *effects)
{
    struct machine m = { in, p, effects, NULL };
    guint runs = p->runs->len;

    for (guint i = 0; i < runs; i++) {
        struct run *r = p->runs->pdata[i];
        const struct sequence *s = is_at_door(r) ? NULL : definition_of(&m, r);
        if (s && !run_is_over(r))
            run_replan(&m, r, s, false);
    }
    end_fact(&m);
}

int64_t machine_due(const struct situation *in, const struct person_runs *p)
{
    struct machine m = { in, (struct person_runs *)p, NULL, NULL };
    int64_t due = -1;

    for (guint i = 0; i < p->runs->len; i++) {
        struct run *r = p->runs->pdata[i];
        const struct sequence *s = in->find(in->arg, r->sequence, r->version);
        if (!s || is_at_door(r))
            continue; /* nobody can go on with it; whoever lets it in says so */
        int64_t at =
            r->due < 0 || is_paused(&m, s) || is_parked(&m, r, s) ? life_end(r, s) : MIN(life_end(r, s), r->due);
        if (at >= 0 && (due < 0 || at < due))
            due = at;
    }
    int64_t door = door_due(&m);
    return due < 0 || (door >= 0 && door < due) ? door : due;
}

int bucket_of(const char *name, const char *recipient)
{
    g_autofree char *text = g_strconcat(name, "|", recipient, NULL);
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    unsigned char digest[32];
    gsize size = sizeof digest;
    uint64_t first = 0;

    g_checksum_update(sum, (const guchar *)text, -1);
    g_checksum_get_digest(sum, digest, &size);
    for (int i = 0; i < 8; i++)
        first = first << 8 | digest[i];
    return (int)(first % 10000);
}
