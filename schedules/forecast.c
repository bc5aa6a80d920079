#include "schedules/forecast.h"

#define STEPS_MOST 2000 /* of the machine */

struct foreseeing {
    struct situation situation;
    struct person_runs *person;
    json_t *list;
    int most;
};

static json_t *foreseen(const struct foreseeing *f, const struct effect *e)
{
    return json_pack("{s:I, s:s, s:s, s:s, s:O}", "at", (json_int_t)f->situation.now, "run", e->run, "sequence",
                     e->sequence, "step", e->step, "message", e->detail);
}

/* What is sent has arrived, so that the run goes on. */
static void take(struct foreseeing *f, GPtrArray *effects)
{
    for (guint i = 0; i < effects->len; i++) { /* they become more meanwhile */
        const struct effect *e = effects->pdata[i];
        if (e->kind != EFFECT_SEND)
            continue;
        if ((int)json_array_size(f->list) < f->most)
            json_array_append_new(f->list, foreseen(f, e));
        machine_message(&f->situation, f->person, e->message, "sent", "", effects);
    }
}

/* Messages that are on their way at first arrive now. */
static void land(struct foreseeing *f, GPtrArray *effects)
{
    for (guint i = 0; i < f->person->runs->len; i++) {
        const struct run *r = f->person->runs->pdata[i];
        g_autofree char *message = g_strdup(r->message);
        if (message)
            machine_message(&f->situation, f->person, message, "sent", "", effects);
    }
    take(f, effects);
}

json_t *forecast(const struct situation *in, struct person_runs *person, int64_t until, int most)
{
    struct foreseeing f = { *in, person, json_array(), most };

    for (int n = 0; n < STEPS_MOST; n++) {
        g_autoptr(GPtrArray) effects = g_ptr_array_new_with_free_func((GDestroyNotify)effect_free);
        if (n == 0) {
            land(&f, effects);
            continue;
        }
        int64_t due = machine_due(&f.situation, person);
        if (due < 0 || due > until || (int)json_array_size(f.list) >= most)
            break;
        f.situation.now = MAX(due, f.situation.now);
        machine_look(&f.situation, person, effects);
        take(&f, effects);
    }
    return f.list;
}
