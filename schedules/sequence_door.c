#include "schedules/sequence_own.h"

#include <stdlib.h>
#include <string.h>

#include "schedules/duration.h"

#define REMEMBER_MS (365 * DAY_MS)
#define LATE_MS     DAY_MS

/* ---------------------------------------------------------------- triggers */

void trigger_free(void *trigger)
{
    struct trigger *t = trigger;

    g_free(t->event);
    g_free(t->path);
    condition_free(t->where);
    moment_free(t->moment);
    json_decref(t->from);
    json_decref(t->to);
    g_free(t);
}

static void read_event_trigger(struct reader *r, const char *at, const json_t *from, struct trigger *t)
{
    static const char *const words[] = { "event", "where", "late", "of", NULL };

    complain_unknown(r->c, at, from, words);
    t->event = read_event(r, at, from);
    t->where = read_where(r, at, from, "where");
    t->late = duration_of(r->c, at, from, "late", LATE_MS);
}

static void read_enters(struct reader *r, const char *at, const json_t *from, struct trigger *t)
{
    static const char *const words[] = { "enters", "imports", NULL };

    complain_unknown(r->c, at, from, words);
    t->where = read_where(r, at, from, "enters");
}

static void take_profile_path(struct reader *r, const char *at, const char *key, const char *path, struct trigger *t)
{
    if (!path || !g_str_has_prefix(path, "recipient.") || sight_path_fault(path))
        complain(r->c, at, key, "must be a path of the recipient, like recipient.attributes.plan");
    t->path = g_strdup(path ? path : "");
}

static void read_changes(struct reader *r, const char *at, const json_t *from, struct trigger *t)
{
    static const char *const words[] = { "changes", "imports", NULL }, *const members[] = { "path", "from", "to",
                                                                                            NULL };
    const json_t *changes = json_object_get(from, "changes");
    g_autofree char *place = path_to(at, "changes");

    complain_unknown(r->c, at, from, words);
    complain_unknown(r->c, place, changes, members);
    take_profile_path(r, place, "path", json_string_value(json_object_get(changes, "path")), t);
    t->from = json_incref(json_object_get(changes, "from"));
    t->to = json_incref(json_object_get(changes, "to"));
}

/* A date is a wait until it, whose beginning is that the value becomes known. */
static void read_date(struct reader *r, const char *at, const json_t *from, struct trigger *t)
{
    static const char *const words[] = { "date",  "before", "after", "at",      "only",
                                         "every", "missed", "leap",  "imports", NULL };
    static const char *const every[] = { "year", NULL }, *const leap[] = { "feb28", "mar1", NULL };
    json_auto_t *wait = json_object();

    complain_unknown(r->c, at, from, words);
    for (int i = 1; i < 5; i++)
        if (json_object_get(from, words[i]))
            json_object_set(wait, words[i], json_object_get(from, words[i]));
    json_object_set(wait, "until", json_object_get(from, "date"));
    if (!json_object_get(wait, "at"))
        complain(r->c, at, "at", "is required: a time of day like \"09:00\"");
    take_profile_path(r, at, "date", json_string_value(json_object_get(from, "date")), t);
    t->moment = moment_read(r->c, at, wait, true);
    t->yearly = choice_of(r->c, at, from, "every", every, -1) == 0;
    t->leap_in_march = choice_of(r->c, at, from, "leap", leap, 0) == 1;
    t->missed = duration_of(r->c, at, from, "missed", 0);
}

static enum trigger_kind trigger_kind(const json_t *from)
{
    return json_object_get(from, "enters")    ? TRIGGER_ENTERS
           : json_object_get(from, "changes") ? TRIGGER_CHANGES
           : json_object_get(from, "date")    ? TRIGGER_DATE
           : json_object_get(from, "event")   ? TRIGGER_EVENT
                                              : TRIGGER_DOOR;
}

static void read_trigger(struct reader *r, const char *at, const json_t *from)
{
    static const char *const words[] = { "enroll", NULL };
    struct trigger *t = g_new0(struct trigger, 1);

    g_ptr_array_add(r->s->triggers, t);
    if (!json_is_object(from)) {
        complain(r->c, at, NULL, "must be like {event: customer.signed_up}");
        return;
    }
    t->kind = trigger_kind(from);
    t->imports = truth_of(r->c, at, from, "imports", false);
    switch (t->kind) {
    case TRIGGER_EVENT: read_event_trigger(r, at, from, t); break;
    case TRIGGER_ENTERS: read_enters(r, at, from, t); break;
    case TRIGGER_CHANGES: read_changes(r, at, from, t); break;
    case TRIGGER_DATE: read_date(r, at, from, t); break;
    case TRIGGER_DOOR:
        complain_unknown(r->c, at, from, words);
        if (!truth_of(r->c, at, from, "enroll", false))
            complain(r->c, at, NULL, "needs one of event, enters, changes, date, or enroll: true");
    }
}

static void read_triggers(struct reader *r, const json_t *root)
{
    const json_t *from = json_object_get(root, "trigger");
    json_t *one;
    size_t i;

    if (!from || (json_is_array(from) && !json_array_size(from)))
        complain(r->c, "", "trigger", "is required: what begins a run, like {event: customer.signed_up}");
    else if (!json_is_array(from))
        read_trigger(r, "trigger", from);
    json_array_foreach ((json_t *)from, i, one) {
        g_autofree char *at = path_item("trigger", NULL, i);
        read_trigger(r, at, one);
    }
}

void take_key(struct reader *r, const char *at, const char *key, const char *path)
{
    if (!g_str_has_prefix(path, "event."))
        complain(r->c, at, key, "must be a path in the trigger's event, like event.order");
    g_free(r->s->key);
    r->s->key = g_strdup(path);
}

/* "5y", which is no duration elsewhere, or one of those. */
static int64_t read_remember(struct reader *r, const json_t *from)
{
    const char *text = text_of(r->c, "reentry", from, "remember");
    char *end = NULL;
    long years = text ? strtol(text, &end, 10) : 0;

    if (text && end != text && strcmp(end, "y") == 0 && years > 0 && years <= 100)
        return years * 365 * DAY_MS;
    return duration_of(r->c, "reentry", from, "remember", REMEMBER_MS);
}

static void read_reentry(struct reader *r, const json_t *root)
{
    static const char *const words[] = { "never", "always", NULL }, *const members[] = { "after", "per", "remember",
                                                                                         NULL };
    const json_t *from = json_object_get(root, "reentry");

    if (!json_is_object(from)) {
        r->s->reentry = (enum reentry)choice_of(r->c, "", root, "reentry", words, REENTRY_NEVER);
        return;
    }
    complain_unknown(r->c, "reentry", from, members);
    const char *per = text_of(r->c, "reentry", from, "per");
    if (json_object_get(from, "after")) {
        r->s->reentry = REENTRY_AFTER;
        r->s->reentry_after = duration_of(r->c, "reentry", from, "after", 0);
    }
    if (per)
        take_key(r, "reentry", "per", strcmp(per, "date") == 0 ? "event.date" : per);
    else if (r->s->reentry != REENTRY_AFTER)
        complain(r->c, "", "reentry", "must be never, always, {after: 90d} or {per: event.order}");
    r->s->remember = per && r->s->reentry != REENTRY_AFTER ? read_remember(r, from) : 0;
}

/* ---------------------------------------------------------------- entry and group */

static void read_entry(struct reader *r, const json_t *root)
{
    static const char *const words[] = { "unless", "max", "per", "over", NULL }, *const over[] = { "skip", "queue",
                                                                                                   NULL };
    const json_t *from = json_object_get(root, "entry");
    const char *per = text_of(r->c, "entry", from, "per"), *why;
    struct entry *e;

    if (!from)
        return;
    r->s->entry = e = g_new0(struct entry, 1);
    complain_unknown(r->c, "entry", from, words);
    e->unless = read_where(r, "entry", from, "unless");
    e->max = count_of(r->c, "entry", from, "max", 1, 1000, 0);
    e->queues = choice_of(r->c, "entry", from, "over", over, 0) == 1;
    if (!e->max != !per)
        complain(r->c, "entry", NULL, "needs both max and per, or neither");
    if (per && (why = span_parse(&e->per, per)))
        complain(r->c, "entry", "per", "%s", why);
}

static void read_group(struct reader *r, const json_t *root)
{
    static const char *const words[] = { "name", "one_per", "on_conflict", "priority", NULL },
                             *const conflicts[] = { "queue", "skip", "replace", NULL },
                             *const one_per[] = { "recipient", "account", NULL };
    const json_t *from = json_object_get(root, "group");
    struct group *g;

    if (!from)
        return;
    r->s->group = g = g_new0(struct group, 1);
    complain_unknown(r->c, "group", from, words);
    g->name = g_strdup(text_of(r->c, "group", from, "name"));
    if (!g->name)
        complain(r->c, "group", "name", "is required");
    else if (strchr(g->name, '|'))
        complain(r->c, "group", "name", "must have no |");
    g->of_account = choice_of(r->c, "group", from, "one_per", one_per, 0) == 1;
    g->on_conflict = (enum on_conflict)choice_of(r->c, "group", from, "on_conflict", conflicts, CONFLICT_QUEUE);
    if (g->of_account && g->on_conflict == CONFLICT_REPLACE)
        complain(r->c, "group", "on_conflict", "must be queue or skip where a group has one_per: account");
    g->priority = count_of(r->c, "group", from, "priority", -1000, 1000, 0);
}

/* ---------------------------------------------------------------- waves */

static bool takes_everybody(const struct wave *w)
{
    return (!w->where || condition_is_always(w->where)) && w->share == 10000 && !w->most;
}

static void read_wave(struct reader *r, const char *at, const json_t *from)
{
    struct wave *w = wave_read(r->c, at, from);
    g_autofree char *where = path_to(at, "where");

    for (guint i = 0; i < r->s->waves->len; i++) {
        const struct wave *before = r->s->waves->pdata[i];
        if (takes_everybody(before) && before->name) {
            warn(r->c, at, "stands behind %s, which takes everybody", before->name);
            break;
        }
    }
    if (w->name && sequence_wave(r->s, w->name))
        complain(r->c, at, "name", "\"%s\" is there twice", w->name);
    look_through(r, where, w->where, true);
    g_ptr_array_add(r->s->waves, w);
}

static void read_gate(struct reader *r, const json_t *waves)
{
    const json_t *from = json_object_get(waves, "gate");
    struct gate *g = from ? gate_read(r->c, "waves.gate", from) : NULL;

    r->s->gate = g;
    if (g && g->event)
        looks_for(r, g->event);
    if (g && g->field)
        looks_at(r, "waves.gate.open.answered_score", "field", g->field);
    if (g && g->goal_above >= 0 && !r->s->goal)
        complain(r->c, "waves.gate.open", "goal", "there is no goal in this sequence that could be reached");
}

void read_waves(struct reader *r, const json_t *root)
{
    static const char *const words[] = { "order", "gate", NULL };
    const json_t *from = json_object_get(root, "waves"), *order = json_object_get(from, "order");
    json_t *one;
    size_t i;

    if (!from)
        return;
    complain_unknown(r->c, "waves", from, words);
    if (!json_is_array(order) || json_array_size(order) == 0)
        complain(r->c, "waves", "order", "is required: a list of waves, like [{name: pilot, where: always, most: 50}]");
    json_array_foreach ((json_t *)order, i, one) {
        g_autofree char *at = path_item("waves", "order", i);
        read_wave(r, at, one);
    }
    read_gate(r, from);
}

/* ---------------------------------------------------------------- the door */

void read_door(struct reader *r, const json_t *root)
{
    read_triggers(r, root);
    read_reentry(r, root);
    read_entry(r, root);
    read_group(r, root);
}

void door_free(struct sequence *s)
{
    g_ptr_array_unref(s->triggers);
    if (s->entry)
        condition_free(s->entry->unless);
    if (s->group)
        g_free(s->group->name);
    g_free(s->entry);
    g_free(s->group);
    g_ptr_array_unref(s->waves);
    gate_free(s->gate);
}
