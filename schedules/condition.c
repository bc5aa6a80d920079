#include "schedules/condition.h"

#include <glib.h>
#include <string.h>

#include "schedules/duration.h"
#include "schedules/moment.h"

#define COMPARISONS_MAX 64
#define DEPTH_MAX       8
#define EVENT_NAME_MAX  64

enum kind { ALWAYS, ALL, ANY, NOT, COMPARE, HAPPENED };
enum op { EQ, NE, IN, NIN, LT, LTE, GT, GTE, EXISTS, HAS, STARTS, ENDS, CONTAINS, BEFORE, AFTER, WITHIN };
static const char *const op_names[] = { "eq",       "ne",     "in",     "nin",    "lt",     "lte",
                                        "gt",       "gte",    "exists", "has",    "starts", "ends",
                                        "contains", "before", "after",  "within", NULL };

struct condition {
    enum kind kind;
    GPtrArray *parts;   /* ALL, ANY, NOT; HAPPENED: where, if any */
    char *path, *other; /* COMPARE; other: the path it is compared with, NULL for a literal */
    enum op op;
    json_t *wanted;
    char *event; /* HAPPENED */
    struct since since;
    int min, max; /* max -1: no limit */
};

struct reading {
    struct complaints *c;
    int comparisons;
};

static struct condition *read_one(struct reading *, const char *at, const json_t *, int depth);

/* ---------------------------------------------------------------- reading */

static struct condition *condition_new(enum kind kind)
{
    struct condition *c = g_new0(struct condition, 1);

    c->kind = kind;
    c->parts = g_ptr_array_new_with_free_func((GDestroyNotify)condition_free);
    return c;
}

void condition_free(struct condition *c)
{
    if (!c)
        return;
    g_ptr_array_unref(c->parts);
    g_free(c->path);
    g_free(c->other);
    g_free(c->event);
    json_decref(c->wanted);
    g_free(c);
}

static struct condition *compare_new(const char *path, enum op op, const json_t *wanted)
{
    struct condition *c = condition_new(COMPARE);

    c->path = g_strdup(path);
    c->op = op;
    c->wanted = json_incref((json_t *)wanted);
    return c;
}

static const char *other_path(const json_t *value)
{
    return json_object_size(value) == 1 ? json_string_value(json_object_get(value, "path")) : NULL;
}

/* What an operator wants: NULL when content. */
static const char *wanted_fault(enum op op, const json_t *wanted)
{
    int64_t ms;
    const struct zone *utc = zone_open("UTC");

    if (op == IN || op == NIN)
        return json_is_array(wanted) && json_array_size(wanted) ? NULL : "must be a list of values";
    if (op == EXISTS)
        return json_is_boolean(wanted) ? NULL : "must be true or false";
    if (op == STARTS || op == ENDS || op == CONTAINS)
        return json_is_string(wanted) ? NULL : "must be a text";
    if (op == WITHIN)
        return json_is_string(wanted) ? duration_parse(&ms, json_string_value(wanted))
                                      : "must be a duration like \"30d\"";
    if (op == BEFORE || op == AFTER)
        return json_is_string(wanted) && (strcmp(json_string_value(wanted), "now") == 0 || time_read(&ms, wanted, utc))
                   ? NULL
                   : "must be now, or a date like \"2026-12-31\"";
    return json_is_object(wanted) || json_is_array(wanted) ? "must be a text, a number, true or false" : NULL;
}

static struct condition *read_comparison(struct reading *r, const char *at, const char *path, enum op op,
                                         const json_t *wanted)
{
    struct condition *c = compare_new(path, op, wanted);
    const char *other = other_path(wanted), *why = other ? sight_path_fault(other) : wanted_fault(op, wanted);

    if (other && op != EXISTS && op != IN && op != NIN)
        c->other = g_strdup(other);
    if (why)
        complain(r->c, at, NULL, "%s", why);
    int64_t ms;
    if (!c->other && op >= LT && op <= GTE && !json_is_number(wanted) && !time_read(&ms, wanted, zone_open("UTC")))
        warn(r->c, at, "is neither a number nor a date, so this is never true");
    if (++r->comparisons == COMPARISONS_MAX + 1)
        complain(r->c, at, NULL, "is more than 64 comparisons");
    return c;
}

static void read_operators(struct reading *r, const char *at, const char *path, const json_t *value, GPtrArray *parts)
{
    const char *key;
    json_t *wanted;

    if (json_object_size(value) == 0)
        complain(r->c, at, NULL, "is empty: write what the value must be");
    json_object_foreach ((json_t *)value, key, wanted) {
        g_autofree char *place = path_to(at, key);
        enum op op = EQ;
        while (op_names[op] && strcmp(op_names[op], key) != 0)
            op++;
        if (op_names[op])
            g_ptr_array_add(parts, read_comparison(r, place, path, op, wanted));
        else
            complain(r->c, place, NULL,
                     "is no operator; there are eq, ne, in, nin, lt, lte, gt, gte, exists, has, "
                     "starts, ends, contains, before, after and within");
    }
}

char *event_read(struct complaints *c, const char *at, const json_t *object)
{
    static const char *const words[] = { "recipient", "account", NULL };
    const char *name = text_of(c, at, object, "event");
    bool of_account = choice_of(c, at, object, "of", words, 0) == 1;

    if (name && (!*name || strlen(name) > EVENT_NAME_MAX || g_str_has_prefix(name, ACCOUNT_EVENT)))
        complain(c, at, "event", "must have 1 to 64 characters");
    return name && of_account ? g_strconcat(ACCOUNT_EVENT, name, NULL) : g_strdup(name);
}

static struct condition *read_happened(struct reading *r, const char *at, const json_t *from, int depth)
{
    static const char *const known[] = { "event", "of", "since", "where", "min", "max", NULL };
    struct condition *c = condition_new(HAPPENED);

    c->max = -1;
    if (!json_is_object(from)) {
        complain(r->c, at, NULL, "must be like {event: NAME, since: run}");
        return c;
    }
    complain_unknown(r->c, at, from, known);
    c->event = event_read(r->c, at, from);
    if (!c->event)
        complain(r->c, at, "event", "is required");
    c->since = since_read(r->c, at, from);
    c->min = count_of(r->c, at, from, "min", 0, 1000, json_object_get(from, "max") ? 0 : 1);
    c->max = count_of(r->c, at, from, "max", 0, 1000, -1);
    if (json_object_get(from, "where")) {
        g_autofree char *place = path_to(at, "where");
        g_ptr_array_add(c->parts, read_one(r, place, json_object_get(from, "where"), depth + 1));
    }
    return c;
}

static struct condition *read_list(struct reading *r, const char *at, enum kind kind, const json_t *list, int depth)
{
    struct condition *c = condition_new(kind);
    json_t *item;
    size_t i;

    if (!json_is_array(list) || json_array_size(list) == 0)
        complain(r->c, at, NULL, "must be a list of conditions");
    json_array_foreach ((json_t *)list, i, item) {
        g_autofree char *place = path_item(at, NULL, i);
        g_ptr_array_add(c->parts, read_one(r, place, item, depth + 1));
    }
    return c;
}

static struct condition *read_not(struct reading *r, const char *at, const json_t *from, int depth)
{
    struct condition *c = condition_new(NOT);

    g_ptr_array_add(c->parts, read_one(r, at, from, depth + 1));
    return c;
}

static void read_member(struct reading *r, const char *at, const char *key, const json_t *value, GPtrArray *parts,
                        int depth)
{
    g_autofree char *place = path_to(at, key);
    const char *why;

    if (strcmp(key, "all") == 0 || strcmp(key, "any") == 0)
        g_ptr_array_add(parts, read_list(r, place, key[1] == 'l' ? ALL : ANY, value, depth));
    else if (strcmp(key, "not") == 0)
        g_ptr_array_add(parts, read_not(r, place, value, depth));
    else if (strcmp(key, "happened") == 0)
        g_ptr_array_add(parts, read_happened(r, place, value, depth));
    else if ((why = sight_path_fault(key)))
        complain(r->c, place, NULL, "%s", why);
    else if (json_is_object(value) && !other_path(value))
        read_operators(r, place, key, value, parts);
    else
        g_ptr_array_add(parts, read_comparison(r, place, key, EQ, value));
}

static struct condition *read_one(struct reading *r, const char *at, const json_t *from, int depth)
{
    struct condition *c = condition_new(ALL);
    const char *key;
    json_t *value;

    if (json_is_string(from) && strcmp(json_string_value(from), "always") == 0)
        c->kind = ALWAYS;
    else if (depth > DEPTH_MAX)
        complain(r->c, at, NULL, "is nested deeper than 8 levels");
    else if (!json_is_object(from))
        complain(r->c, at, NULL, "must be a condition like {recipient.role: admin}, or always");
    else if (json_object_size(from) == 0)
        complain(r->c, at, NULL, "is empty, which could mean everybody or nobody; write always, or a condition");
    else
        json_object_foreach ((json_t *)from, key, value)
            read_member(r, at, key, value, c->parts, depth);
    return c;
}

struct condition *condition_read(struct complaints *complaints, const char *at, const json_t *from)
{
    struct reading r = { complaints, 0 };
    return read_one(&r, at, from, 1);
}

struct since since_read(struct complaints *c, const char *at, const json_t *object)
{
    struct since s = { SINCE_RUN, 0 };
    const char *text = text_of(c, at, object, "since"), *why;

    if (!text || strcmp(text, "run") == 0)
        return s;
    s.kind = strcmp(text, "step") == 0 ? SINCE_STEP : SINCE_BACK;
    why = s.kind == SINCE_BACK ? duration_parse(&s.ms, text) : NULL;
    if (why)
        complain(c, at, "since", "must be run, step, or a duration like \"7d\"");
    return s;
}

int64_t since_from(const struct since *s, const struct run *run)
{
    if (!run)
        return INT64_MIN;
    return s->kind == SINCE_RUN ? run->started : s->kind == SINCE_STEP ? run->entered : run->entered - s->ms;
}

/* ---------------------------------------------------------------- comparing */

static bool is_equal(const json_t *a, const json_t *b)
{
    if (json_is_number(a) && json_is_number(b))
        return json_number_value(a) == json_number_value(b);
    return json_equal(a, b);
}

static bool is_in(const json_t *value, const json_t *list)
{
    json_t *item;
    size_t i;

    json_array_foreach ((json_t *)list, i, item)
        if (is_equal(value, item))
            return true;
    return false;
}

/* -1, 0, 1; false when the two are neither two numbers nor two dates. */
static bool order(int *result, const json_t *a, const json_t *b, const struct zone *zone)
{
    int64_t x, y;

    if (json_is_number(a) && json_is_number(b)) {
        double p = json_number_value(a), q = json_number_value(b);
        *result = p < q ? -1 : p > q;
        return true;
    }
    if (!time_read(&x, a, zone) || !time_read(&y, b, zone))
        return false;
    *result = x < y ? -1 : x > y;
    return true;
}

static bool text_matches(enum op op, const char *text, const char *wanted)
{
    if (!text || !wanted)
        return false;
    return op == STARTS ? g_str_has_prefix(text, wanted)
           : op == ENDS ? g_str_has_suffix(text, wanted)
                        : strstr(text, wanted) != NULL;
}

static bool compare_dates(enum op op, const json_t *value, const json_t *wanted, const struct sight *s)
{
    int64_t at, other = s->now, span;
    const char *text = json_string_value(wanted);

    if (!text || !time_read(&at, value, s->zone))
        return false;
    if (op == WITHIN)
        return duration_parse(&span, text) == NULL && ABS(at - s->now) <= span;
    if (strcmp(text, "now") != 0 && !time_read(&other, wanted, s->zone))
        return false;
    return op == BEFORE ? at < other : at > other;
}

static bool compare(enum op op, const json_t *value, const json_t *wanted, const struct sight *s)
{
    int result = 0;

    if (op == EXISTS)
        return (value != NULL) == json_is_true(wanted);
    if (!value || !wanted)
        return op == NE || op == NIN;
    switch (op) {
    case EQ: return is_equal(value, wanted);
    case NE: return !is_equal(value, wanted);
    case IN: return is_in(value, wanted);
    case NIN: return !is_in(value, wanted);
    case LT: return order(&result, value, wanted, s->zone) && result < 0;
    case LTE: return order(&result, value, wanted, s->zone) && result <= 0;
    case GT: return order(&result, value, wanted, s->zone) && result > 0;
    case GTE: return order(&result, value, wanted, s->zone) && result >= 0;
    case HAS: return json_is_array(value) && is_in(wanted, value);
    case STARTS:
    case ENDS:
    case CONTAINS: return text_matches(op, json_string_value(value), json_string_value(wanted));
    default: return compare_dates(op, value, wanted, s);
    }
}

static bool holds_comparison(const struct condition *c, const struct sight *s, json_t *inputs)
{
    json_auto_t *found = sight_find(s, c->path), *other = c->other ? sight_find(s, c->other) : json_incref(c->wanted);
    bool result = compare(c->op, found, other, s);

    if (inputs)
        json_array_append_new(inputs, json_pack("[s, O?, s, O?, b]", c->path, found, op_names[c->op], other, result));
    return result;
}

/* There have been more events than are kept, perhaps in this span. */
static bool is_cut(const json_t *kept, int64_t since)
{
    return json_array_size(kept) >= KEPT_MOST && kept_time(json_array_get(kept, 0), "t") > since;
}

static bool holds_happened(const struct condition *c, const struct sight *s, json_t *inputs)
{
    int64_t since = c->since.kind == SINCE_BACK ? s->now - c->since.ms : since_from(&c->since, s->run);
    struct sight one = *s;
    json_t *event;
    size_t i;
    int n = 0;

    json_array_foreach ((json_t *)s->kept, i, event) {
        if (strcmp(kept_text(event, "n"), c->event) != 0 || kept_time(event, "t") < since ||
            kept_time(event, "t") > s->now || (s->run && strcmp(kept_text(event, "i"), s->run->trigger_id) == 0))
            continue;
        one.event = json_object_get(event, "d");
        n += c->parts->len == 0 || condition_holds(c->parts->pdata[0], &one, NULL);
    }
    bool result = n >= c->min && (c->max < 0 || n <= c->max);
    if (inputs)
        json_array_append_new(inputs, json_pack("[s, i, s, s, b, s*]", "happened", n, "count", c->event, result,
                                                is_cut(s->kept, since) ? "incomplete" : NULL));
    return result;
}

bool condition_holds(const struct condition *c, const struct sight *s, json_t *inputs)
{
    if (!c || c->kind == ALWAYS)
        return true;
    if (c->kind == COMPARE)
        return holds_comparison(c, s, inputs);
    if (c->kind == HAPPENED)
        return holds_happened(c, s, inputs);
    bool wanted = c->kind == ANY; /* what one part must be to decide the whole */
    for (guint i = 0; i < c->parts->len; i++)
        if (condition_holds(c->parts->pdata[i], s, inputs) == (c->kind == NOT ? true : wanted))
            return c->kind == ANY;
    return c->kind != ANY;
}

bool condition_is_always(const struct condition *c)
{
    return c->kind == ALWAYS;
}

/* ---------------------------------------------------------------- once more */

static bool again_comparison(const struct condition *c, const struct sight *s, const json_t *was, bool *agrees)
{
    const json_t *found = json_array_get(was, 1), *wanted = json_array_get(was, 3);
    bool result = compare(c->op, json_is_null(found) ? NULL : found, json_is_null(wanted) ? NULL : wanted, s);

    *agrees &= g_strcmp0(json_string_value(json_array_get(was, 0)), c->path) == 0 &&
               g_strcmp0(json_string_value(json_array_get(was, 2)), op_names[c->op]) == 0;
    return result;
}

static bool again_happened(const struct condition *c, const json_t *was, bool *agrees)
{
    json_int_t n = json_integer_value(json_array_get(was, 1));

    *agrees &= g_strcmp0(json_string_value(json_array_get(was, 3)), c->event) == 0;
    return n >= c->min && (c->max < 0 || n <= c->max);
}

bool condition_again(const struct condition *c, const struct sight *s, const json_t *inputs, size_t *at, bool *agrees)
{
    if (!c || c->kind == ALWAYS)
        return true;
    if (c->kind == COMPARE || c->kind == HAPPENED) {
        const json_t *was = json_array_get(inputs, (*at)++);
        bool result = c->kind == COMPARE ? again_comparison(c, s, was, agrees) : again_happened(c, was, agrees);
        *agrees &= json_is_true(json_array_get(was, 4)) == result;
        return result;
    }
    bool wanted = c->kind == ANY;
    for (guint i = 0; i < c->parts->len; i++)
        if (condition_again(c->parts->pdata[i], s, inputs, at, agrees) == (c->kind == NOT ? true : wanted))
            return c->kind == ANY;
    return c->kind != ANY;
}

/* in_happened: the event that is meant there is another one than that at hand. */
static void each(const struct condition *c, bool in_happened, void (*fn)(void *, const char *, const char *), void *arg)
{
    if (c->path && !(in_happened && g_str_has_prefix(c->path, "event.")))
        fn(arg, c->path, NULL);
    if (c->other && !(in_happened && g_str_has_prefix(c->other, "event.")))
        fn(arg, c->other, NULL);
    if (c->event)
        fn(arg, NULL, c->event);
    for (guint i = 0; i < c->parts->len; i++)
        each(c->parts->pdata[i], in_happened || c->kind == HAPPENED, fn, arg);
}

void condition_each(const struct condition *c, void (*fn)(void *, const char *, const char *), void *arg)
{
    if (c)
        each(c, false, fn, arg);
}
