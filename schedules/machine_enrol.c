#include "schedules/machine_own.h"

#include <stdlib.h>
#include <string.h>

#include "schedules/duration.h"

#define QUEUE_MOST  5  /* that wait for a run of the same key */
#define QUEUES_MOST 50 /* that wait at all */
#define RUNS_MOST   20 /* of a person */
#define KEY_MOST    128

/* A digest that has closed is no longer in the way of the next one. */
static bool is_in_the_way(const struct run *r, const struct sequence *s)
{
    bool collects = false;

    for (guint i = 0; i < s->steps->len; i++)
        collects |= ((const struct step *)s->steps->pdata[i])->kind == STEP_COLLECT;
    return !collects || r->gathered;
}

static struct run *running(const struct person_runs *p, const struct sequence *s, const char *key)
{
    for (guint i = 0; i < p->runs->len; i++) {
        struct run *r = p->runs->pdata[i];
        if (!run_is_over(r) && strcmp(r->sequence, s->name) == 0 && strcmp(r->key, key) == 0 && is_in_the_way(r, s))
            return r;
    }
    return NULL;
}

/* A key is remembered: a long one is known by its hash. */
static char *short_key(char *key)
{
    if (strlen(key) <= KEY_MOST)
        return key;
    char *hash = g_compute_checksum_for_string(G_CHECKSUM_SHA256, key, -1);
    g_free(key);
    return hash;
}

/* The value at the path in the trigger's event, as text. */
static char *key_of(const struct machine *m, const struct sequence *s, const json_t *event)
{
    struct sight sight = sight_of(m, NULL, event);
    json_auto_t *value = s->key ? sight_find(&sight, s->key) : NULL;

    if (!value || json_is_string(value))
        return short_key(g_strdup(value ? json_string_value(value) : ""));
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS), *copy = g_strdup(text);
    free(text);
    return short_key(copy);
}

static bool may_reenter(const struct machine *m, const struct sequence *s, const char *key, int64_t start)
{
    const json_t *last = json_object_get(json_object_get(m->person->seen, s->name), key);

    if (!last || s->reentry == REENTRY_ALWAYS || (s->remember && start - json_integer_value(last) >= s->remember))
        return true;
    return s->reentry == REENTRY_AFTER && start - json_integer_value(last) >= s->reentry_after;
}

/* S5: what the run would aim at has been reached before. */
static bool goal_is_reached(const struct machine *m, const struct sequence *s, const char *key, const json_t *trigger)
{
    struct run none = { .started = kept_time(trigger, "t"),
                        .trigger_id = (char *)kept_text(trigger, "i"),
                        .trigger = json_object_get(trigger, "d"),
                        .key = (char *)key };
    json_t *event;
    size_t i;

    if (!s->goal || s->goal->from)
        return false;
    json_array_foreach (m->in->kept, i, event) {
        struct sight sight = sight_of(m, &none, event);
        if (concerns(&none, event, s->goal->event, none.started - s->goal->before) &&
            condition_holds(s->goal->where, &sight, NULL))
            return true;
    }
    return false;
}

static void remember(struct machine *m, const struct run *r, const struct sequence *s)
{
    json_t *keys = json_object_get(m->person->seen, s->name);

    if (s->reentry == REENTRY_ALWAYS)
        return;
    if (!keys)
        json_object_set_new(m->person->seen, s->name, keys = json_object());
    json_object_set_new(keys, r->key, json_integer(r->started));
}

static void watch(const struct machine *m, struct run *r, const struct sequence *s)
{
    struct sight sight = sight_of(m, r, NULL);

    for (guint i = 0; i < s->leaves->len; i++) {
        const struct leave *l = s->leaves->pdata[i];
        json_t *value = l->changed ? sight_find(&sight, l->changed) : NULL;
        if (value)
            json_object_set_new(r->watched, l->changed, value);
    }
}

/* ---------------------------------------------------------------- the limit of entries, groups */

/* S42: 0 when one more may enter now, else when one may again. */
static int64_t entry_opens(const struct machine *m, const struct sequence *s)
{
    const json_t *list = json_object_get(m->person->entries, s->name);
    size_t n = json_array_size(list), counted = 0;
    int64_t since, next;

    if (!s->entry || !s->entry->max)
        return 0;
    span_window(&s->entry->per, zone_of(m, s), m->in->now, &since, &next);
    while (counted < n && json_integer_value(json_array_get(list, n - 1 - counted)) >= since)
        counted++;
    if ((int)counted < s->entry->max)
        return 0;
    return next ? next : json_integer_value(json_array_get(list, n - (size_t)s->entry->max)) + s->entry->per.ms;
}

static void note_entry(struct machine *m, const struct sequence *s)
{
    json_t *list = json_object_get(m->person->entries, s->name);

    if (!s->entry || !s->entry->max)
        return;
    if (!list)
        json_object_set_new(m->person->entries, s->name, list = json_array());
    json_array_append_new(list, json_integer(m->in->now));
    while ((int)json_array_size(list) > s->entry->max)
        json_array_remove(list, 0);
}

/* S41: another run of the group, NULL for none. */
static struct run *rival(struct machine *m, const struct sequence *s)
{
    for (guint i = 0; s->group && i < m->person->runs->len; i++) {
        struct run *r = m->person->runs->pdata[i];
        const struct sequence *other = run_is_over(r) ? NULL : m->in->find(m->in->arg, r->sequence, r->version);
        if (other && other->group && strcmp(other->group->name, s->group->name) == 0)
            return r;
    }
    return NULL;
}

/* By priority one replaces another only while that has sent nothing. */
static bool may_replace(struct machine *m, const struct sequence *s, const struct run *r)
{
    const struct sequence *other = m->in->find(m->in->arg, r->sequence, r->version);

    if (s->group->on_conflict != CONFLICT_REPLACE)
        return false;
    return s->group->priority == other->group->priority || (s->group->priority > other->group->priority && !r->sent);
}

/* ---------------------------------------------------------------- a run begins */

static void refuse(struct machine *m, const struct sequence *s, const char *why)
{
    add_effect(m, EFFECT_NOT_ENROLLED, s->name, "", "", json_string(why));
}

void run_id(const struct machine *m, const struct sequence *s, const char *key, const json_t *event,
            char id[static MACHINE_ID_SIZE])
{
    g_autofree char *seed =
        g_strdup_printf("run|%s|%s|%zu|%s|%s", m->in->recipient, s->name, strlen(key), key, kept_text(event, "i"));

    m->in->make_id(m->in->arg, seed, id);
}

static void begin_run(struct machine *m, const struct sequence *s, const char *key, const json_t *event)
{
    const struct wave *wave = choose_wave(m, s, event);
    struct run *r;

    if (s->waves->len && !wave) {
        refuse(m, s, "no_wave");
        return;
    }
    r = run_new();
    run_id(m, s, key, event, r->id);
    g_strlcpy(r->version, s->version, sizeof r->version);
    r->sequence = g_strdup(s->name);
    r->key = g_strdup(key);
    r->started = kept_time(event, "t");
    r->enrolled = r->entered = m->in->now;
    r->resumed = m->in->now;
    r->hops = (int)kept_time(event, "h");
    r->trigger_id = g_strdup(kept_text(event, "i"));
    if (s->asks_trigger)
        r->trigger = json_incref(json_object_get(event, "d"));
    r->held_out = s->holdout && bucket_of(s->holdout, m->in->recipient) < s->holdout_share;
    r->step = g_strdup("");
    r->wave = wave ? g_strdup(wave->name) : NULL;
    r->place = place_of(m, s);
    note_entry(m, s);
    watch(m, r, s);
    g_ptr_array_add(m->person->runs, r);
    remember(m, r, s);
    json_t *inputs = event_inputs(event);
    json_object_set_new(inputs, "version", json_string(r->version));
    json_object_set_new(inputs, "zone", json_string(zone_name(zone_of(m, s))));
    tell(m, EFFECT_ENROLLED, r, NULL, json_string(key))->inputs = inputs;
    if (wave)
        stand_at_door(m, r, s);
    else
        run_go(m, r, s, s->first);
}

static int waiting(const struct person_runs *p, const struct sequence *s, const char *key)
{
    int n = 0;

    for (guint i = 0; i < p->queue->len; i++) {
        const struct standing *st = p->queue->pdata[i];
        n += strcmp(st->sequence, s->name) == 0 && (!key || strcmp(st->key, key) == 0);
    }
    return n;
}

static void stand_in_line(struct machine *m, const struct sequence *s, const char *key, const json_t *event)
{
    if (waiting(m->person, s, key) >= QUEUE_MOST || m->person->queue->len >= QUEUES_MOST) {
        refuse(m, s, "queue_full");
        return;
    }
    g_ptr_array_add(m->person->queue, standing_new(s->name, key, (json_t *)event));
    add_effect(m, EFFECT_QUEUED, s->name, "", "", NULL);
}

static bool is_unwanted(struct machine *m, const struct sequence *s, const json_t *event)
{
    struct sight sight = sight_of(m, NULL, event);

    sight.trigger = sight.event;
    return s->entry && s->entry->unless && condition_holds(s->entry->unless, &sight, NULL);
}

/* What stands against it besides this sequence's own runs: NULL for nothing; waits: it may be queued. */
static const char *obstacle(struct machine *m, const struct sequence *s, const json_t *event, bool *waits)
{
    const struct run *other = rival(m, s);

    *waits = false;
    if (is_unwanted(m, s, event))
        return "unless";
    if (entry_opens(m, s) > 0 || (s->entry && s->entry->max && waiting(m->person, s, NULL) > 0)) {
        *waits = s->entry->queues;
        return "entry_cap";
    }
    if (other && !may_replace(m, s, other)) {
        *waits = s->group->on_conflict == CONFLICT_QUEUE;
        return "group";
    }
    return m->person->runs->len >= RUNS_MOST ? "too_many" : NULL;
}

static void make_way(struct machine *m, struct run *old, const struct sequence *s)
{
    struct run *other;

    if (old && s->while_running == RUNNING_RESTART) {
        g_clear_pointer(&old->place, g_free); /* it is the new one's */
        leave_run(m, old, "restarted", false);
    }
    while ((other = rival(m, s)))
        leave_run(m, other, "replaced", false);
}

/* What a run held that was begun anew is the new one's. */
static void pass_place(struct machine *m, const char *place, const char *was)
{
    struct run *r = place ? m->person->runs->pdata[m->person->runs->len - 1] : NULL;

    if (r)
        tell(m, EFFECT_PASSED, r, NULL, json_string(place))->inputs = json_pack("{s:s}", "run", was);
}

void enrol(struct machine *m, const struct sequence *s, const json_t *event, bool again)
{
    g_autofree char *key = key_of(m, s, event);
    struct run *old = running(m->person, s, key);
    bool restarts, waits;
    const char *why;

    if (old && old->gathered && run_gathers(m, old, definition_of(m, old), event))
        return;
    if (old && !is_in_the_way(old, s))
        old = NULL; /* its window has just closed */
    restarts = old && s->while_running == RUNNING_RESTART;
    if (json_object_get(standing_of(m, s), "paused"))
        refuse(m, s, "paused");
    else if (old && s->while_running == RUNNING_IGNORE)
        refuse(m, s, "running");
    else if (old && s->while_running == RUNNING_QUEUE)
        stand_in_line(m, s, key, event);
    else if (!restarts && !again && !may_reenter(m, s, key, kept_time(event, "t")))
        refuse(m, s, "reentry");
    else if (goal_is_reached(m, s, key, event))
        refuse(m, s, "goal_before");
    else if (!restarts && (why = obstacle(m, s, event, &waits)))
        waits ? stand_in_line(m, s, key, event) : refuse(m, s, why);
    else if (!restarts && !has_place(m, s, key, event))
        s->group->on_conflict == CONFLICT_QUEUE ? stand_in_line(m, s, key, event) : refuse(m, s, "group");
    else if (s->waves->len && !choose_wave(m, s, event))
        refuse(m, s, "no_wave");
    else {
        g_autofree char *place = restarts ? g_strdup(old->place) : NULL, *was = g_strdup(old ? old->id : "");
        make_way(m, old, s);
        begin_run(m, s, key, event);
        pass_place(m, place, was);
    }
}

/* ---------------------------------------------------------------- who stands in line */

/* S64: a run that stands at the door of its account is one, so goals and exits reach it; who waits in their own line
 * begins when it is their turn, whatever has ended the one before (S38). */
static bool stands_for_account(const struct sequence *s)
{
    return s->group && s->group->of_account;
}

/* Why somebody at that door need not begin any more, NULL for nothing. */
static const char *needless(struct machine *m, const struct sequence *s, const struct standing *st, const json_t *event)
{
    struct run none = { .started = kept_time(st->event, "t"),
                        .trigger_id = (char *)kept_text(st->event, "i"),
                        .trigger = json_object_get(st->event, "d"),
                        .key = st->key };
    struct sight sight = sight_of(m, &none, event);

    if (s->goal && s->goal->ends && !s->goal->from && concerns(&none, event, s->goal->event, none.started) &&
        condition_holds(s->goal->where, &sight, NULL))
        return "goal";
    for (guint i = 0; i < s->leaves->len; i++) {
        const struct leave *l = s->leaves->pdata[i];
        if (l->event ? concerns(&none, event, l->event, none.started) && condition_holds(l->when, &sight, NULL)
                     : !l->changed && condition_holds(l->when, &sight, NULL))
            return l->reason;
    }
    return NULL;
}

void check_line(struct machine *m, const json_t *event)
{
    for (guint i = 0; i < m->person->queue->len;) {
        const struct standing *st = m->person->queue->pdata[i];
        const struct sequence *s = m->in->find(m->in->arg, st->sequence, NULL);
        const char *why = s && stands_for_account(s) ? needless(m, s, st, event) : NULL;
        if (why)
            refuse(m, s, why);
        if (why)
            g_ptr_array_remove_index(m->person->queue, i);
        else
            i++;
    }
}

/* Something else than the limit of entries stands against it. */
static bool is_barred(struct machine *m, const struct sequence *s, const struct standing *st)
{
    return (running(m->person, s, st->key) && s->while_running != RUNNING_PARALLEL) || rival(m, s) ||
           m->person->runs->len >= RUNS_MOST || json_object_get(standing_of(m, s), "paused");
}

static bool may_begin(struct machine *m, const struct sequence *s, const struct standing *st)
{
    return !is_barred(m, s, st) && entry_opens(m, s) == 0 && has_place(m, s, st->key, st->event);
}

void admit_next(struct machine *m)
{
    for (guint i = 0; i < m->person->queue->len; i++) {
        struct standing *st = m->person->queue->pdata[i];
        const struct sequence *s = m->in->find(m->in->arg, st->sequence, NULL);
        if (!s || !may_begin(m, s, st))
            continue;
        st = g_ptr_array_steal_index(m->person->queue, i);
        if (!may_reenter(m, s, st->key, kept_time(st->event, "t")))
            refuse(m, s, "reentry");
        else if (is_unwanted(m, s, st->event))
            refuse(m, s, "unless");
        else if (stands_for_account(s) && goal_is_reached(m, s, st->key, st->event))
            refuse(m, s, "goal");
        else
            begin_run(m, s, st->key, st->event);
        standing_free(st);
        i = (guint)-1; /* it may have ended at once */
    }
}

/* ---------------------------------------------------------------- triggers by event */

/* The first of a sequence's triggers that an event meets. */
void check_triggers(struct machine *m, const struct sequence *s, const json_t *event)
{
    const char *why = NULL;

    for (guint i = 0; i < s->triggers->len; i++) {
        const struct trigger *t = s->triggers->pdata[i];
        struct sight sight = sight_of(m, NULL, event);
        sight.trigger = sight.event;
        if (t->kind != TRIGGER_EVENT || strcmp(t->event, kept_text(event, "n")) != 0)
            continue;
        if (!condition_holds(t->where, &sight, NULL)) {
            why = "where";
            continue;
        }
        if (m->in->now - kept_time(event, "t") <= t->late)
            enrol(m, s, event, false);
        else
            refuse(m, s, "late");
        return;
    }
    if (why)
        refuse(m, s, why);
}

/* ---------------------------------------------------------------- triggers of the profile */

static json_t *made_event(const char *name, const char *id, int64_t at, int64_t now, json_t *data)
{
    return json_pack("{s:s, s:s, s:I, s:I, s:o}", "i", id, "n", name, "t", (json_int_t)MIN(at, now), "a",
                     (json_int_t)now, "d", data);
}

static bool enters(const struct machine *m, const struct trigger *t, const json_t *was)
{
    struct sight now = sight_of(m, NULL, NULL), before = now;

    before.profile = was;
    return condition_holds(t->where, &now, NULL) && !condition_holds(t->where, &before, NULL);
}

static bool changes(const struct machine *m, const struct trigger *t, const json_t *was)
{
    struct sight now = sight_of(m, NULL, NULL), before = now;

    before.profile = was;
    json_auto_t *new = sight_find(&now, t->path), *old = sight_find(&before, t->path);
    return !(old == new || (old && new &&json_equal(old, new))) && (!t->from || (old && json_equal(old, t->from))) &&
           (!t->to || (new &&json_equal(new, t->to)));
}

static void check_profile_of(struct machine *m, const struct sequence *s, const json_t *was, const char *id,
                             bool import)
{
    g_autofree char *own = g_strconcat("profile/", id, NULL);

    for (guint i = 0; i < s->triggers->len; i++) {
        const struct trigger *t = s->triggers->pdata[i];
        if ((import && !t->imports) ||
            !((t->kind == TRIGGER_ENTERS && enters(m, t, was)) || (t->kind == TRIGGER_CHANGES && changes(m, t, was))))
            continue;
        json_auto_t *event = made_event("profile", own, m->in->now, m->in->now, json_object());
        enrol(m, s, event, false);
        return;
    }
}

/* ---------------------------------------------------------------- triggers by date */

static bool is_leap(int year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* The day in a year: the 29th of February is the 28th in others, or the first of March. */
static void day_in_year(char day[static 16], const struct civil *c, int year, bool in_march)
{
    bool moved = c->month == 2 && c->day == 29 && !is_leap(year);

    g_snprintf(day, 16, "%04d-%02d-%02d", year % 10000, moved && in_march ? 3 : c->month,
               moved ? (in_march ? 1 : 28) : c->day);
}

/* The day it is about next, after `done` (or any), that is not missed; its instant, -1 for none. */
static int64_t next_day(const struct machine *m, const struct sequence *s, const struct trigger *t, const json_t *value,
                        const char *done, char day[static 16])
{
    const struct zone *zone = zone_of(m, s);
    struct civil c, today;
    int64_t at;

    if (!time_read(&at, value, zone))
        return -1;
    zone_local(zone, at, &c);
    zone_local(zone, m->in->now, &today);
    int first = t->yearly ? MAX(today.year - 1, c.year) : c.year;
    for (int year = first; year <= (t->yearly ? MAX(today.year + 2, first + 1) : c.year); year++) {
        day_in_year(day, &c, year, t->leap_in_march);
        json_auto_t *text = json_string(day);
        at = moment_due(t->moment, 0, zone, m->in->almanac, text);
        if (strcmp(day, done) > 0 && year >= c.year && at >= 0 && (!t->yearly || at + t->missed >= m->in->now))
            return at;
    }
    return -1;
}

/* A sequence may have several dates: each has a watch of its own. */
static char *watch_key(const struct sequence *s, guint trigger)
{
    return g_strdup_printf("%s#%u", s->name, trigger);
}

/* fired: the last day that it has been about, which never comes again; write: of the profile, which has made the value
 * known: the same day may come once more by another one. */
static void note_watch(struct machine *m, const char *key, const json_t *value, const char *day, int64_t due,
                       const char *fired, const char *write)
{
    json_object_set_new(
        m->person->watches, key,
        json_pack("{s:O, s:s, s:I, s:s, s:s}", "v", value, "o", day, "d", (json_int_t)due, "f", fired, "w", write));
}

/* The value has become known, or its day lies elsewhere now. */
static void watch_date(struct machine *m, const struct sequence *s, const struct trigger *t, guint index, bool import,
                       const char *write)
{
    struct sight sight = sight_of(m, NULL, NULL);
    g_autofree char *key = watch_key(s, index);
    json_auto_t *value = sight_find(&sight, t->path), *watched = json_incref(json_object_get(m->person->watches, key));
    bool same = watched && value && json_equal(value, json_object_get(watched, "v"));
    const char *fired = same ? kept_text(watched, "f") : "";
    char day[16] = "";

    if (!value || (import && !t->imports && !same)) {
        json_object_del(m->person->watches, key);
        return;
    }
    if (same && kept_time(watched, "d") < 0)
        return; /* it has been */
    int64_t due = next_day(m, s, t, value, fired, day);
    if (due >= 0 && !same && due + t->missed < m->in->now) {
        refuse(m, s, "missed");
        due = -1;
    }
    note_watch(m, key, value, day, due, fired, same ? kept_text(watched, "w") : write);
}

static void fire_date(struct machine *m, const struct sequence *s, const struct trigger *t, guint index, bool import,
                      const char *write)
{
    g_autofree char *key = watch_key(s, index);
    json_auto_t *watched = json_incref(json_object_get(m->person->watches, key));
    const json_t *value = json_object_get(watched, "v");
    int64_t due = watched ? kept_time(watched, "d") : -1;
    const char *day = kept_text(watched, "o");
    char next[16] = "";

    if (due < 0 || due > m->in->now)
        return;
    int64_t again = t->yearly ? next_day(m, s, t, value, day, next) : -1;
    note_watch(m, key, value, next, again, day, kept_text(watched, "w"));
    g_autofree char *id = g_strdup_printf("date/%s/%s/%s", key, day, kept_text(watched, "w"));
    json_auto_t *event = made_event("date", id, due, m->in->now, json_pack("{s:s}", "date", day));
    enrol(m, s, event, false);
}

typedef void date_fn(struct machine *, const struct sequence *, const struct trigger *, guint index, bool import,
                     const char *write);

static void each_date(struct machine *m, date_fn *fn, bool import, const char *write)
{
    for (guint i = 0; i < m->in->current->len; i++) {
        const struct sequence *s = m->in->current->pdata[i];
        for (guint k = 0; k < s->triggers->len; k++)
            if (((const struct trigger *)s->triggers->pdata[k])->kind == TRIGGER_DATE)
                fn(m, s, s->triggers->pdata[k], k, import, write);
    }
}

static void sooner(int64_t *due, int64_t at)
{
    if (at >= 0 && (*due < 0 || at < *due))
        *due = at;
}

static int64_t line_due(struct machine *m)
{
    int64_t due = -1;

    for (guint i = 0; i < m->person->queue->len; i++) {
        const struct standing *st = m->person->queue->pdata[i];
        const struct sequence *s = m->in->find(m->in->arg, st->sequence, NULL);
        if (s && !is_barred(m, s, st))
            sooner(&due, entry_opens(m, s) > 0 ? entry_opens(m, s) : -1);
    }
    return due;
}

/* Only what is still a date in a definition of today: another watch would be due for ever. */
int64_t door_due(struct machine *m)
{
    int64_t due = line_due(m);

    for (guint i = 0; i < m->in->current->len; i++) {
        const struct sequence *s = m->in->current->pdata[i];
        for (guint k = 0; k < s->triggers->len; k++) {
            g_autofree char *key = watch_key(s, k);
            const json_t *watched = json_object_get(m->person->watches, key);
            if (watched && ((const struct trigger *)s->triggers->pdata[k])->kind == TRIGGER_DATE)
                sooner(&due, kept_time(watched, "d"));
        }
    }
    return due;
}

void check_dates(struct machine *m)
{
    each_date(m, fire_date, false, "");
}

void check_profile(struct machine *m, const json_t *was, const char *id, bool import)
{
    for (guint i = 0; i < m->in->current->len; i++)
        check_profile_of(m, m->in->current->pdata[i], was, id, import);
    each_date(m, watch_date, import, id);
    check_dates(m);
}
