#include "schedules/sequence_own.h"

#include <stdlib.h>
#include <string.h>

#include "schedules/duration.h"

#define LIFE_MS (400 * DAY_MS)
#define TTL_MS  (7 * DAY_MS)

static const char *const known[] = { "sequence",      "title",    "description", "trigger",  "key",   "reentry",
                                     "while_running", "entry",    "group",       "goal",     "exit",  "opt_out",
                                     "holdout",       "category", "source",      "priority", "ttl",   "life",
                                     "late",          "zone",     "version",     "waves",    "steps", NULL };

/* ---------------------------------------------------------------- what it looks at */

void looks_for(struct reader *r, const char *event)
{
    g_hash_table_add(r->s->events, g_strdup(event));
    r->s->asks_account |= g_str_has_prefix(event, ACCOUNT_EVENT);
}

void looks_at(struct reader *r, const char *at, const char *key, const char *path)
{
    const char *why = sight_path_fault(path);

    if (why) {
        complain(r->c, at, key, "%s", why);
        return;
    }
    if (g_str_has_prefix(path, "trigger."))
        r->s->asks_trigger = true;
    if (g_str_has_prefix(path, "steps."))
        g_hash_table_add(r->s->asked, g_strndup(path + 6, strcspn(path + 6, ".")));
}

struct looking {
    struct reader *r;
    const char *at;
    bool sees_event; /* there is one at hand */
};

static void on_look(void *arg, const char *path, const char *event)
{
    struct looking *l = arg;

    if (event)
        looks_for(l->r, event);
    else if (!l->sees_event && g_str_has_prefix(path, "event."))
        complain(l->r->c, l->at, NULL, "%s: no event is at hand here; there are trigger.data.* and steps.ID.event.*",
                 path);
    else if (!sight_path_fault(path))
        looks_at(l->r, "", NULL, path);
}

void look_through(struct reader *r, const char *at, const struct condition *c, bool sees_event)
{
    struct looking l = { r, at, sees_event };
    condition_each(c, on_look, &l);
}

struct condition *read_where(struct reader *r, const char *at, const json_t *from, const char *key)
{
    g_autofree char *place = path_to(at, key);
    struct condition *c = json_object_get(from, key) ? condition_read(r->c, place, json_object_get(from, key)) : NULL;

    look_through(r, place, c, strcmp(key, "where") == 0 || strcmp(key, "unless") == 0);
    return c;
}

char *read_event(struct reader *r, const char *at, const json_t *from)
{
    char *name = event_read(r->c, at, from);

    if (name)
        looks_for(r, name);
    return name;
}

static void read_holdout(struct reader *r, const json_t *root)
{
    static const char *const words[] = { "name", "share", NULL };
    const json_t *from = json_object_get(root, "holdout");

    if (!from)
        return;
    complain_unknown(r->c, "holdout", from, words);
    r->s->holdout = g_strdup(text_of(r->c, "holdout", from, "name"));
    if (!r->s->holdout)
        complain(r->c, "holdout", "name", "is required");
    r->s->holdout_share = (int)(percent_of(r->c, "holdout", "share", json_object_get(from, "share")) * 10000 + 0.5);
}

/* ---------------------------------------------------------------- goal and exit */

static void read_goal(struct reader *r, const json_t *root)
{
    static const char *const words[] = { "event", "of", "where", "since", "from", "within", "ends", NULL };
    const json_t *from = json_object_get(root, "goal");
    const char *since = text_of(r->c, "goal", from, "since"), *why;
    struct goal *g;

    if (!from)
        return;
    r->s->goal = g = g_new0(struct goal, 1);
    complain_unknown(r->c, "goal", from, words);
    g->event = read_event(r, "goal", from);
    if (!g->event)
        complain(r->c, "goal", "event", "is required");
    g->where = read_where(r, "goal", from, "where");
    g->from = g_strdup(text_of(r->c, "goal", from, "from"));
    g->ends = truth_of(r->c, "goal", from, "ends", true);
    g->within = duration_of(r->c, "goal", from, "within", 0);
    why = !since || strcmp(since, "run") == 0 ? NULL : *since == '-' ? duration_parse(&g->before, since + 1) : "";
    if (why)
        complain(r->c, "goal", "since", "must be run, or so long before it, like \"-7d\"");
}

static void goal_free(struct goal *g)
{
    if (!g)
        return;
    g_free(g->event);
    g_free(g->from);
    condition_free(g->where);
    g_free(g);
}

static void leave_free(void *leave)
{
    struct leave *l = leave;

    g_free(l->event);
    g_free(l->changed);
    g_free(l->reason);
    condition_free(l->when);
    g_free(l);
}

static void read_leave(struct reader *r, const char *at, const json_t *from)
{
    static const char *const words[] = { "event", "of", "where", "when", "changed", "reason", "keep_messages", NULL };
    struct leave *l = g_new0(struct leave, 1);

    g_ptr_array_add(r->s->leaves, l);
    complain_unknown(r->c, at, from, words);
    l->event = read_event(r, at, from);
    l->changed = g_strdup(text_of(r->c, at, from, "changed"));
    l->when = read_where(r, at, from, l->event ? "where" : "when");
    l->reason = g_strdup(text_of(r->c, at, from, "reason"));
    l->keep_messages = truth_of(r->c, at, from, "keep_messages", false);
    if (!l->event + !l->changed + !(json_object_get(from, "when")) != 2)
        complain(r->c, at, NULL, "needs one of event, when and changed");
    if (l->changed && (!g_str_has_prefix(l->changed, "recipient.") || sight_path_fault(l->changed)))
        complain(r->c, at, "changed", "must be a path of the recipient, like recipient.role");
    if (!l->reason)
        l->reason = g_strdup(l->event ? l->event : l->changed ? "changed" : "condition");
}

static void read_leaves(struct reader *r, const json_t *root)
{
    const json_t *from = json_object_get(root, "exit");
    json_t *one;
    size_t i;

    if (from && !json_is_array(from))
        complain(r->c, "", "exit", "must be a list, like [{event: account.closed, reason: closed}]");
    json_array_foreach ((json_t *)from, i, one) {
        g_autofree char *at = path_item("exit", NULL, i);
        read_leave(r, at, one);
    }
}

/* ---------------------------------------------------------------- the whole */

static void read_name(struct reader *r, const char *name, const json_t *root)
{
    const char *said = text_of(r->c, "", root, "sequence");

    if (!said)
        complain(r->c, "", "sequence", "is required: the name of the file, %s", name);
    else if (strcmp(said, name) != 0)
        complain(r->c, "", "sequence", "is \"%s\", but the file is called %s", said, name);
    for (const char *p = name; *p; p++)
        if (!g_ascii_isalnum(*p) && !strchr("_-", *p)) {
            complain(r->c, "", "sequence", "must be letters, digits, - and _");
            break;
        }
}

/* A copy in which what has an order that counts, the parts of a split, are lists: sorting its keys loses nothing then.
 */
static json_t *canonical(const json_t *value)
{
    json_t *copy = json_is_object(value)  ? json_object()
                   : json_is_array(value) ? json_array()
                                          : json_incref((json_t *)value),
           *one;
    const char *key;
    size_t i;

    json_object_foreach ((json_t *)value, key, one) {
        json_t *own = canonical(one), *list = strcmp(key, "parts") == 0 && json_is_object(one) ? json_array() : NULL;
        const char *part;
        json_t *share;
        if (list)
            json_object_foreach (own, part, share)
                json_array_append_new(list, json_pack("[s, O]", part, share));
        json_object_set(copy, key, list ? list : own);
        json_decref(list);
        json_decref(own);
    }
    json_array_foreach ((json_t *)value, i, one)
        json_array_append_new(copy, canonical(one));
    return copy;
}

static void make_version(struct sequence *s)
{
    json_auto_t *copy = canonical(s->definition);

    json_object_del(copy, "title");
    json_object_del(copy, "description");
    char *text = json_dumps(copy, JSON_COMPACT | JSON_SORT_KEYS);
    g_autofree char *hash = g_compute_checksum_for_string(G_CHECKSUM_SHA256, text, -1);
    free(text);
    g_strlcpy(s->version, hash, sizeof s->version);
}

static void read_zone(struct reader *r, const json_t *root)
{
    const char *zone = text_of(r->c, "", root, "zone");

    if (zone && strcmp(zone, "recipient") != 0 && !(r->s->zone = zone_open(zone)))
        complain(r->c, "", "zone", "must be recipient, or an IANA time zone like \"Europe/Vienna\"");
}

static void read_late(struct reader *r, const json_t *root)
{
    static const char *const words[] = { "max", "then", NULL }, *const then[] = { "go", "skip", "exit", NULL };
    const json_t *from = json_object_get(root, "late");

    r->s->late_max = -1;
    if (!from)
        return;
    complain_unknown(r->c, "late", from, words);
    r->s->late_max = duration_of(r->c, "late", from, "max", 0);
    r->s->late_then = choice_of(r->c, "late", from, "then", then, LATE_GO);
    if (!json_object_get(from, "max"))
        complain(r->c, "late", "max", "is required: how late is too late");
}

static void read_follow(struct reader *r, const json_t *root)
{
    static const char *const words[] = { "follow", NULL };
    const json_t *from = json_object_get(root, "version");
    const char *pinned = json_string_value(from);

    if (!from || (pinned && strcmp(pinned, "pinned") == 0))
        return;
    if (!json_is_object(from)) {
        complain(r->c, "", "version", "must be {follow: true}");
        return;
    }
    complain_unknown(r->c, "version", from, words);
    r->s->follows = truth_of(r->c, "version", from, "follow", false);
}

static void read_head(struct reader *r, const json_t *root)
{
    static const char *const running[] = { "ignore", "restart", "parallel", "queue", NULL },
                             *const opt_out[] = { "exit", "stay", NULL },
                             *const lanes[] = { "high", "normal", "low", NULL };
    struct sequence *s = r->s;
    const char *key = text_of(r->c, "", root, "key"), *source = text_of(r->c, "", root, "source");

    s->title = g_strdup(text_of(r->c, "", root, "title"));
    s->category = g_strdup(text_of(r->c, "", root, "category"));
    s->source = source ? g_strdup(source) : g_strconcat("sequence:", s->name, NULL);
    choice_of(r->c, "", root, "priority", lanes, 1);
    s->priority = g_strdup(text_of(r->c, "", root, "priority"));
    s->life = duration_of(r->c, "", root, "life", LIFE_MS);
    s->ttl = duration_of(r->c, "", root, "ttl", TTL_MS);
    if (s->life <= 0)
        complain(r->c, "", "life", "is no time at all");
    if (s->ttl <= 0)
        complain(r->c, "", "ttl", "leaves no time to send");
    s->while_running = (enum while_running)choice_of(r->c, "", root, "while_running", running, RUNNING_IGNORE);
    s->stays_opted_out = choice_of(r->c, "", root, "opt_out", opt_out, 0) == 1;
    if (key)
        take_key(r, "", "key", key);
    read_zone(r, root);
    read_late(r, root);
    read_follow(r, root);
}

static struct sequence *sequence_new(const char *name, const json_t *root)
{
    struct sequence *s = g_new0(struct sequence, 1);

    s->name = g_strdup(name);
    s->definition = json_incref((json_t *)root);
    s->triggers = g_ptr_array_new_with_free_func(trigger_free);
    s->leaves = g_ptr_array_new_with_free_func(leave_free);
    s->waves = g_ptr_array_new_with_free_func(wave_free);
    s->steps = g_ptr_array_new_with_free_func((GDestroyNotify)step_free);
    s->events = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    s->asked = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    return s;
}

struct sequence *sequence_read(struct complaints *c, const char *name, const json_t *root)
{
    struct reader r = { c, sequence_new(name, root) };

    read_name(&r, name, root);
    complain_unknown(c, "", root, known);
    read_head(&r, root);
    read_door(&r, root);
    read_holdout(&r, root);
    read_goal(&r, root);
    read_waves(&r, root);
    read_leaves(&r, root);
    r.s->first = read_steps(&r, "steps", json_object_get(root, "steps"), NULL, 1);
    check_steps(&r);
    make_version(r.s);
    if (!c->errors)
        return r.s;
    sequence_free(r.s);
    return NULL;
}

void sequence_free(struct sequence *s)
{
    if (!s)
        return;
    g_free(s->name);
    g_free(s->title);
    g_free(s->category);
    g_free(s->source);
    g_free(s->priority);
    g_free(s->key);
    g_free(s->holdout);
    goal_free(s->goal);
    door_free(s);
    g_ptr_array_unref(s->leaves);
    g_ptr_array_unref(s->steps);
    g_hash_table_unref(s->events);
    g_hash_table_unref(s->asked);
    json_decref(s->definition);
    g_free(s);
}

const struct wave *sequence_wave(const struct sequence *s, const char *name)
{
    for (guint i = 0; name && i < s->waves->len; i++)
        if (g_strcmp0(((const struct wave *)s->waves->pdata[i])->name, name) == 0)
            return s->waves->pdata[i];
    return NULL;
}

struct step *sequence_step(const struct sequence *s, const char *id)
{
    for (guint i = 0; id && i < s->steps->len; i++)
        if (strcmp(((struct step *)s->steps->pdata[i])->id, id) == 0)
            return s->steps->pdata[i];
    return NULL;
}

struct step *step_after(const struct step *s)
{
    if (s->next)
        return s->next;
    if (!s->up)
        return NULL;
    return s->up->kind == STEP_REPEAT ? s->up : step_after(s->up);
}
