#include "schedules/machine_own.h"

#include <string.h>

/*
 * Two people turn out to be one (S54): `move` freezes the one who goes, and cancels
 * what they have open; `absorb` takes their runs over, as they were.  What has been
 * cancelled is heard of there, and sent anew under the same step.
 */

static void cancel_open(struct machine *m, struct run *r)
{
    const char *id;
    json_t *step;

    if (r->message)
        json_object_set_new(r->open, r->message, json_string(r->sender));
    json_object_foreach (r->open, id, step) {
        struct effect *e = tell(m, EFFECT_CANCELLED, r, json_string_value(step), json_string("merged"));
        g_strlcpy(e->message, id, MACHINE_ID_SIZE);
    }
    if (r->message)
        json_object_del(r->open, r->message);
}

void machine_move(const struct situation *in, struct person_runs *p, const char *into, GPtrArray *effects)
{
    struct machine m = { in, p, effects, NULL };

    p->moved = g_strdup(into);
    for (guint i = 0; i < p->runs->len; i++)
        cancel_open(&m, p->runs->pdata[i]);
}

/* ---------------------------------------------------------------- taking over */

static struct run *same_of(const struct person_runs *p, const struct run *r)
{
    for (guint i = 0; i < p->runs->len; i++) {
        struct run *own = p->runs->pdata[i];
        if (own != r && !run_is_over(own) && strcmp(own->sequence, r->sequence) == 0 && strcmp(own->key, r->key) == 0)
            return own;
    }
    return NULL;
}

/* Of two runs of one sequence the one that is further stays, else the one that was here. */
static void take_over(struct machine *m, struct run *r)
{
    const struct sequence *s = definition_of(m, r);
    struct run *own;

    if (r->place)
        tell(m, EFFECT_PASSED, r, NULL, json_string(r->place));
    tell(m, EFFECT_MOVED, r, r->step, NULL);
    g_ptr_array_add(m->person->runs, r);
    own = same_of(m->person, r);
    if (own) {
        struct run *stays = r->visit > own->visit ? r : own, *goes = stays == r ? own : r;
        if (definition_of(m, stays))
            run_inherits(m, stays, definition_of(m, stays), goes);
        leave_run(m, goes, "merged", false);
    }
    if (!run_is_over(r) && is_at_door(r))
        tell(m, EFFECT_DOOR, r, NULL, json_string(r->wave));
    if (!run_is_over(r) && s)
        run_replan(m, r, s, false); /* they may live elsewhere than that one did */
}

static gint by_age(gconstpointer a, gconstpointer b)
{
    const struct run *x = *(const struct run *const *)a, *y = *(const struct run *const *)b;
    return x->enrolled < y->enrolled ? -1 : x->enrolled > y->enrolled;
}

/* Whoever must not enter again must not because of either. */
static void remember_all(json_t *seen, const json_t *theirs)
{
    const char *sequence, *key;
    json_t *keys, *at;

    json_object_foreach ((json_t *)theirs, sequence, keys) {
        json_t *own = json_object_get(seen, sequence);
        if (!own)
            json_object_set_new(seen, sequence, own = json_object());
        json_object_foreach (keys, key, at)
            if (json_integer_value(at) > json_integer_value(json_object_get(own, key)))
                json_object_set(own, key, at);
    }
}

static void *steal_first(GPtrArray *list)
{
    return g_ptr_array_steal_index(list, 0);
}

static void note_author(struct run *r, const char *who)
{
    if (r->message && !r->author)
        r->author = g_strdup(who);
}

void machine_forget(const struct situation *in, struct person_runs *p, const char *who, GPtrArray *effects)
{
    for (guint i = 0; i < p->runs->len; i++) {
        const struct run *r = p->runs->pdata[i];
        g_autofree char *message = g_strcmp0(r->author, who) == 0 ? g_strdup(r->message) : NULL;
        if (message)
            machine_message(in, p, message, "unknown", "erased", effects);
    }
}

void machine_absorb(const struct situation *in, struct person_runs *p, const char *who, struct person_runs *from,
                    GPtrArray *effects)
{
    struct machine m = { in, p, effects, NULL };

    for (guint i = 0; i < from->runs->len; i++)
        note_author(from->runs->pdata[i], who);

    remember_all(p->seen, from->seen);
    while (from->runs->len)
        take_over(&m, steal_first(from->runs));
    while (from->ended->len)
        g_ptr_array_add(p->ended, steal_first(from->ended));
    while (from->queue->len)
        g_ptr_array_add(p->queue, steal_first(from->queue));
    g_ptr_array_sort(p->runs, by_age);
    end_fact(&m);
}
