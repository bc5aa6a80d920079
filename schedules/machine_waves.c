#include "schedules/machine_own.h"

#include <string.h>

/* ---------------------------------------------------------------- places */

static bool gets(const struct machine *m, const char *name, const char *home, const char *run, int most, bool waits)
{
    const struct place place = { name, home, run, most, waits };
    return !m->in->place || m->in->place(m->in->arg, &place) != PLACE_NONE;
}

char *place_of(const struct machine *m, const struct sequence *s)
{
    const char *account = json_string_value(json_object_get(m->in->profile, "account"));

    return s->group && s->group->of_account && account ? g_strdup_printf("group|%s|%s", account, s->group->name) : NULL;
}

/* S64 */
bool has_place(struct machine *m, const struct sequence *s, const char *key, const json_t *event)
{
    const char *account = json_string_value(json_object_get(m->in->profile, "account"));
    g_autofree char *name = place_of(m, s);
    char id[MACHINE_ID_SIZE];

    run_id(m, s, key, event, id);
    return !name || gets(m, name, account, id, 1, s->group->on_conflict == CONFLICT_QUEUE);
}

/* ---------------------------------------------------------------- which wave */

static bool is_drawn(const struct machine *m, const struct sequence *s, const struct wave *w)
{
    g_autofree char *draw = g_strconcat(s->name, "/", w->name, NULL);
    return bucket_of(draw, m->in->recipient) < w->share;
}

/* S55 */
const struct wave *choose_wave(struct machine *m, const struct sequence *s, const json_t *event)
{
    struct sight sight = sight_of(m, NULL, event);

    sight.trigger = sight.event;
    for (guint i = 0; i < s->waves->len; i++) {
        const struct wave *w = s->waves->pdata[i];
        g_autofree char *place = g_strdup_printf("wave|%s|%s", s->name, w->name);
        if (condition_holds(w->where, &sight, NULL) && is_drawn(m, s, w) &&
            (!w->most || gets(m, place, s->name, "", w->most, false)))
            return w;
    }
    return NULL;
}

/* ---------------------------------------------------------------- the door */

static const char *state_of(const struct machine *m, const struct sequence *s, const char *wave)
{
    return kept_text(json_object_get(json_object_get(standing_of(m, s), "waves"), wave), "state");
}

bool is_at_door(const struct run *r)
{
    return r->wave && r->released < 0;
}

bool is_held(const struct machine *m, const struct run *r, const struct sequence *s)
{
    return r->wave && strcmp(state_of(m, s, r->wave), "held") == 0;
}

static void let_in(struct machine *m, struct run *r, const struct sequence *s)
{
    r->released = m->in->now;
    tell(m, EFFECT_RELEASED, r, NULL, json_string(r->wave));
    run_go(m, r, s, s->first);
}

void stand_at_door(struct machine *m, struct run *r, const struct sequence *s)
{
    const struct wave *w = sequence_wave(s, r->wave);

    if (!w->gap && !w->window && strcmp(state_of(m, s, r->wave), "open") == 0)
        let_in(m, r, s);
    else
        tell(m, EFFECT_DOOR, r, NULL, json_string(r->wave));
}

/* Whoever comes through while the wave is being held goes back to where they stood. */
void machine_release(const struct situation *in, struct person_runs *p, const char *run, GPtrArray *effects)
{
    struct machine m = { in, p, effects, NULL };

    for (guint i = 0; i < p->runs->len; i++) {
        struct run *r = p->runs->pdata[i];
        const struct sequence *s = strcmp(r->id, run) == 0 && is_at_door(r) ? definition_of(&m, r) : NULL;
        if (!s)
            continue;
        if (strcmp(state_of(&m, s, r->wave), "open") == 0)
            let_in(&m, r, s);
        else
            tell(&m, EFFECT_DOOR, r, NULL, json_string(r->wave));
        break;
    }
    end_fact(&m);
}

/* ---------------------------------------------------------------- what the gate asks for */

void note_answer(struct machine *m, const struct run *r, const struct sequence *s, const json_t *event)
{
    struct sight sight = sight_of(m, r, event);
    json_auto_t *score = NULL;

    if (!s->gate || !s->gate->event || !r->wave || r->released < 0 || !concerns(r, event, s->gate->event, r->released))
        return;
    score = sight_find(&sight, s->gate->field);
    if (json_is_number(score))
        tell(m, EFFECT_ANSWERED, r, NULL, json_incref(score));
}
