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

static void complain_undeclared(struct complaints *c, const char *at, const json_t *declared, const char *name)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    const char *one;
    json_t *ignored;

    json_object_foreach ((json_t *)declared, one, ignored)
        g_ptr_array_add(names, (char *)one);
    g_ptr_array_add(names, NULL);
    complain_nearest(c, at, "event", name, "not declared in " DECLARED_FILE, (const char *const *)names->pdata);
}

/* {event: NAME, of, where}, wherever it stands. */
static void check_mention(struct complaints *c, const char *at, const json_t *declared, const json_t *mention)
{
    const char *said = json_string_value(json_object_get(mention, "event"));
    bool account = g_strcmp0(json_string_value(json_object_get(mention, "of")), "account") == 0;
    g_autofree char *name = said && account ? g_strconcat(ACCOUNT_EVENT, said, NULL) : g_strdup(said),
                    *where = path_to(at, "where");
    const json_t *event = name ? json_object_get(declared, name) : NULL;

    if (name && !event)
        complain_undeclared(c, at, declared, name);
    if (event && json_object_get(event, "data"))
        check_where(c, where, json_object_get(event, "data"), json_object_get(mention, "where"));
}

static void check_node(struct complaints *c, const char *at, const json_t *declared, const json_t *node);

static void check_members(struct complaints *c, const char *at, const json_t *declared, const json_t *node)
{
    const char *key;
    json_t *value, *item;
    size_t i;

    json_object_foreach ((json_t *)node, key, value) {
        g_autofree char *place = path_to(at, key);
        if (strcmp(key, "data") != 0)
            check_node(c, place, declared, value);
        json_array_foreach (value, i, item) {
            g_autofree char *one = path_item(at, key, i);
            check_node(c, one, declared, item);
        }
    }
}

static void check_node(struct complaints *c, const char *at, const json_t *declared, const json_t *node)
{
    if (!json_is_object(node))
        return;
    check_mention(c, at, declared, node);
    check_members(c, at, declared, node);
}

void declared_check(struct complaints *c, const json_t *declared, const json_t *definition)
{
    check_node(c, "", declared, definition);
}
