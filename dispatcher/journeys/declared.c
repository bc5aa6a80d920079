#include "dispatcher/journeys/declared.h"

#include <glib.h>
#include <string.h>

#include "schedules/condition.h"

static const char *const types[] = { "string", "number", "integer", "boolean", "date", "list", "object", NULL };

/* ---------------------------------------------------------------- the file */

static void read_event(struct complaints *c, const char *name, const json_t *from, json_t *declared)
{
    static const char *const known[] = { "of", "data", "description", NULL }, *const of[] = { "recipient", "account",
                                                                                              NULL };
    g_autofree char *at = path_to("events", name), *data_at = path_to(at, "data");
    const json_t *data = json_object_get(from, "data");
    const char *field;
    json_t *type;

    if (from && !json_is_null(from) && !json_is_object(from))
        complain(c, at, NULL, "must be like {data: {plan: string}}, or empty");
    complain_unknown(c, at, from, known);
    if (data && !json_is_object(data))
        complain(c, at, "data", "must be a mapping of fields to types");
    json_object_foreach ((json_t *)data, field, type)
        if (!json_is_string(type) || !g_strv_contains(types, json_string_value(type)))
            complain(c, data_at, field, "must be one of string, number, integer, boolean, date, list and object");
    bool account = json_is_object(from) && choice_of(c, at, from, "of", of, 0) == 1;
    g_autofree char *own = account ? g_strconcat(ACCOUNT_EVENT, name, NULL) : g_strdup(name);
    json_object_set_new(declared, own, json_pack("{s:O*}", "data", data));
}

json_t *declared_read(struct complaints *c, const json_t *file)
{
    static const char *const known[] = { "events", NULL };
    const json_t *events = json_object_get(file, "events");
    json_t *declared = json_object(), *one;
    const char *name;

    complain_unknown(c, "", file, known);
    if (!json_is_object(events))
        complain(c, "", "events", "is required: a mapping of names of events to their data");
    json_object_foreach ((json_t *)events, name, one)
        read_event(c, name, one, declared);
    return declared;
}

/* ---------------------------------------------------------------- what is compared */

static bool can_be(const char *type, const json_t *literal)
{
    if (json_is_null(literal) || json_is_object(literal))
        return true; /* another path, or no value: not known here */
    if (strcmp(type, "string") == 0 || strcmp(type, "date") == 0)
        return json_is_string(literal);
    if (strcmp(type, "number") == 0 || strcmp(type, "integer") == 0)
        return json_is_number(literal);
    if (strcmp(type, "boolean") == 0)
        return json_is_boolean(literal);
    return true;
}

static void check_literal(struct complaints *c, const char *at, const char *type, const char *op, const json_t *literal)
{
    static const char *const plain[] = { "eq", "ne", "lt", "lte", "gt", "gte", "starts", "ends", NULL },
                             *const among[] = { "in", "nin", NULL };
    bool fits = !g_strv_contains(plain, op) || can_be(type, literal), lists = g_strv_contains(among, op);
    json_t *one;
    size_t i;

    json_array_foreach ((json_t *)literal, i, one)
        fits &= !lists || can_be(type, one);
    if (!fits)
        warn(c, at, "compares a %s with something else, which is never equal: types are not converted", type);
}

static void check_field(struct complaints *c, const char *at, const json_t *data, const char *path,
                        const json_t *wanted)
{
    const char *field = path + strlen("event."), *type = json_string_value(json_object_get(data, field)), *op;
    json_t *literal;

    if (strchr(field, '.'))
        return; /* inside of an object */
    if (!type) {
        warn(c, at, "the event is declared without %s", field);
        return;
    }
    if (!json_is_object(wanted)) {
        check_literal(c, at, type, "eq", wanted);
        return;
    }
    json_object_foreach ((json_t *)wanted, op, literal)
        check_literal(c, at, type, op, literal);
}

static void check_where(struct complaints *c, const char *at, const json_t *data, const json_t *where)
{
    const char *key;
    json_t *value, *part;
    size_t i;

    json_object_foreach ((json_t *)where, key, value) {
        g_autofree char *place = path_to(at, key);
        if (g_str_has_prefix(key, "event."))
            check_field(c, place, data, key, value);
        else if (strcmp(key, "not") == 0)
            check_where(c, place, data, value);
        json_array_foreach (value, i, part) {
            g_autofree char *item = path_item(at, key, i);
            if (json_is_object(part))
                check_where(c, item, data, part);
        }
    }
}

/* ---------------------------------------------------------------- a definition */

/* What every mention of an event is held against: {event: NAME, of, where}, wherever it stands. */
struct comparison {
    struct complaints *c;
    const json_t *events; /* by name */
    void (*mention)(const struct comparison *, const char *at, const char *name, const json_t *mention);
};

static char **names_of(const json_t *events)
{
    g_autoptr(GStrvBuilder) names = g_strv_builder_new();
    const char *one;
    json_t *ignored;

    json_object_foreach ((json_t *)events, one, ignored)
        g_strv_builder_add(names, one);
    return g_strv_builder_end(names);
}

static void check_declared(const struct comparison *with, const char *at, const char *name, const json_t *mention)
{
    const json_t *event = json_object_get(with->events, name);
    g_auto(GStrv) names = names_of(with->events);
    g_autofree char *where = path_to(at, "where");

    if (!event)
        complain_nearest(with->c, at, "event", name, "is not declared in " DECLARED_FILE, (const char *const *)names);
    else if (json_object_get(event, "data"))
        check_where(with->c, where, json_object_get(event, "data"), json_object_get(mention, "where"));
}

static void check_heard(const struct comparison *with, const char *at, const char *name, const json_t *mention)
{
    const json_t *event = json_object_get(with->events, name), *source;
    g_auto(GStrv) names = names_of(with->events);
    g_autofree char *place = path_to(at, "event");
    size_t i;

    if (!event)
        warn_nearest(with->c, place, name, "has never been sent", (const char *const *)names);
    json_array_foreach (json_object_get(event, "unnamed"), i, source)
        warn(with->c, place, "\"%s\" comes from %s with neither id nor at: sent twice it happens twice", name,
             json_string_value(source));
}

static void check_node(const struct comparison *with, const char *at, const json_t *node);

static void check_members(const struct comparison *with, const char *at, const json_t *node)
{
    const char *key;
    json_t *value, *item;
    size_t i;

    json_object_foreach ((json_t *)node, key, value) {
        g_autofree char *place = path_to(at, key);
        if (strcmp(key, "data") != 0)
            check_node(with, place, value);
        json_array_foreach (value, i, item) {
            g_autofree char *one = path_item(at, key, i);
            check_node(with, one, item);
        }
    }
}

static void check_node(const struct comparison *with, const char *at, const json_t *node)
{
    const char *said = json_string_value(json_object_get(node, "event"));
    bool account = g_strcmp0(json_string_value(json_object_get(node, "of")), "account") == 0;
    g_autofree char *name = said && account ? g_strconcat(ACCOUNT_EVENT, said, NULL) : g_strdup(said);

    if (name)
        with->mention(with, at, name, node);
    if (json_is_object(node))
        check_members(with, at, node);
}

void declared_check(struct complaints *c, const json_t *declared, const json_t *definition)
{
    check_node(&(struct comparison){ c, declared, check_declared }, "", definition);
}

/* ---------------------------------------------------------------- what has come */

static void check_path(struct complaints *c, const char *at, const json_t *facts, const char *path)
{
    const json_t *attributes = json_object_get(facts, "attributes");

    if (!g_str_has_prefix(path, DECLARED_ATTRIBUTES) || json_object_get(attributes, path))
        return;
    g_auto(GStrv) names = names_of(attributes);
    g_autofree char *what = g_strdup_printf("is an attribute that none of %lld people has",
                                            (long long)json_integer_value(json_object_get(facts, "sampled")));
    warn_nearest(c, at, path, what, (const char *const *)names);
}

/* A path is a key of a condition, or a text anywhere. */
static void check_paths(struct complaints *c, const char *at, const json_t *facts, const json_t *node)
{
    const char *key;
    json_t *value;
    size_t i;

    if (json_is_string(node))
        check_path(c, at, facts, json_string_value(node));
    json_object_foreach ((json_t *)node, key, value) {
        g_autofree char *place = path_to(at, key);
        check_path(c, place, facts, key);
        check_paths(c, place, facts, value);
    }
    json_array_foreach ((json_t *)node, i, value) {
        g_autofree char *place = path_item(at, NULL, i);
        check_paths(c, place, facts, value);
    }
}

void declared_compare(struct complaints *c, const json_t *facts, const json_t *definition)
{
    check_node(&(struct comparison){ c, json_object_get(facts, "heard"), check_heard }, "", definition);
    check_paths(c, "", facts, definition);
}
