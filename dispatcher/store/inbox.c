#include "dispatcher/store/inbox.h"

#include <glib.h>
#include <string.h>

#include "dispatcher/store/asking.h"
#include "schedules/instant.h"

#define ROW      9
#define TICKET_S "60"

/* ---------------------------------------------------------------- answers */

static json_t *instant_or_null(const char *ms)
{
    char text[32];
    return *ms ? json_string(instant_format(text, g_ascii_strtoll(ms, NULL, 10))) : json_null();
}

static json_t *read_totals(const redisReply *reply, struct asking *job)
{
    const redisReply *t = reply_at(reply, 0);

    return json_pack("{s:I, s:I, s:I, s:I}", "unread", (json_int_t)reply_int(t, 0), "unseen",
                     (json_int_t)reply_int(t, 1), "version", (json_int_t)reply_int(t, 2), "next",
                     (json_int_t)reply_int(t, 3));
}

/* "ms|answer"; what event an answer is, is nobody's business here. */
static void add_answer(json_t *item, const char *answered)
{
    const char *bar = strchr(answered, '|');
    char text[32];

    if (!json_object_get(item, "answer"))
        return;
    json_object_del(json_object_get(item, "answer"), "event");
    json_object_set_new(item, "answered_at",
                        bar ? json_string(instant_format(text, g_ascii_strtoll(answered, NULL, 10))) : json_null());
    json_object_set_new(item, "answered", bar ? json_loads(bar + 1, JSON_DECODE_ANY, NULL) : json_null());
}

static void add_terms(json_t *item)
{
    int64_t expires = json_integer_value(json_object_get(item, "expires"));
    char text[32];

    json_object_del(item, "expires");
    json_object_set_new(item, "expires_at", expires ? json_string(instant_format(text, expires)) : json_null());
    if (!json_object_get(item, "pinned"))
        json_object_set_new(item, "pinned", json_false());
    if (!json_object_get(item, "importance"))
        json_object_set_new(item, "importance", json_string("normal"));
}

/* A row of inbox.lua; NULL for a card that nobody can read. */
static json_t *read_item(const redisReply *row)
{
    json_t *item = json_loads(reply_text(row, 2), 0, NULL);

    if (!item)
        return NULL;
    json_object_set_new(item, "id", json_string(reply_text(row, 0)));
    json_object_set_new(item, "at", instant_or_null(reply_text(row, 1)));
    json_object_set_new(item, "seen_at", instant_or_null(reply_text(row, 3)));
    json_object_set_new(item, "read_at", instant_or_null(reply_text(row, 4)));
    json_object_set_new(item, "archived_at", instant_or_null(reply_text(row, 5)));
    json_object_set_new(item, "snoozed_until", instant_or_null(reply_text(row, 7)));
    json_object_set_new(item, "v", json_integer(reply_int(row, 8)));
    add_terms(item);
    add_answer(item, reply_text(row, 6));
    return item;
}

static json_t *read_items(const redisReply *rows)
{
    json_t *items = json_array();

    for (size_t i = 0; rows && i < rows->elements; i++) {
        json_t *item = read_item(reply_at(rows, i));
        if (item)
            json_array_append_new(items, item);
    }
    return items;
}

static json_t *read_list(const redisReply *reply, struct asking *job)
{
    json_t *result = read_totals(reply, job);
    const redisReply *rows = reply_at(reply, 1);
    const redisReply *last = rows && rows->elements ? reply_at(rows, rows->elements - 1) : NULL;

    json_object_set_new(result, "items", read_items(rows));
    json_object_set_new(result, "before", last ? json_integer(reply_int(last, 1)) : json_null());
    return result;
}

static json_t *read_since(const redisReply *reply, struct asking *job)
{
    json_t *result = read_totals(reply, job);
    const redisReply *gone = reply_at(reply, 3);

    json_object_set_new(result, "resync", json_boolean(strcmp(reply_text(reply, 1), "resync") == 0));
    json_object_set_new(result, "items", read_items(reply_at(reply, 2)));
    json_object_set_new(result, "gone", gone ? read_texts(gone, job) : json_array());
    return result;
}

static json_t *read_marked(const redisReply *reply, struct asking *job)
{
    json_t *result = read_totals(reply, job);

    json_object_set_new(result, "changed", json_integer(reply_int(reply, 1)));
    json_object_set_new(result, "known", json_boolean(reply_int(reply, 2)));
    if (*reply_text(reply, 3))
        json_object_set_new(result, "card", json_string(reply_text(reply, 3)));
    if (*reply_text(reply, 4))
        json_object_set_new(result, "answered", json_string(reply_text(reply, 4)));
    return result;
}

/* ---------------------------------------------------------------- questions */

static struct args *args_of(const struct inbox_of *of, const char *op)
{
    struct args *a = args_new();
    g_autofree char *channel = store_key(of->store, "inbox");

    args_text(a, of->recipient);
    args_text(a, channel);
    args_int(a, of->keep_ms);
    args_text(a, op);
    return a;
}

static void ask(const struct inbox_of *of, struct args *a, json_t *(*read)(const redisReply *, struct asking *),
                json_fn *fn, void *arg)
{
    store_script(of->store, store_partition(of->store, of->recipient), "inbox", a, on_asked, asking_new(read, fn, arg));
}

void inbox_count(const struct inbox_of *of, json_fn *fn, void *arg)
{
    ask(of, args_of(of, "count"), read_totals, fn, arg);
}

void inbox_list(const struct inbox_of *of, int limit, const char *before, const char *state, json_fn *fn, void *arg)
{
    struct args *a = args_of(of, "list");

    args_int(a, limit);
    args_text(a, before);
    args_text(a, state);
    ask(of, a, read_list, fn, arg);
}

void inbox_since(const struct inbox_of *of, int64_t version, json_fn *fn, void *arg)
{
    struct args *a = args_of(of, "since");

    args_int(a, version);
    ask(of, a, read_since, fn, arg);
}

void inbox_mark(const struct inbox_of *of, const char *op, const char *id, int64_t until, json_fn *fn, void *arg)
{
    struct args *a = args_of(of, op);

    args_text(a, id);
    if (until)
        args_int(a, until);
    else
        args_text(a, "");
    ask(of, a, read_marked, fn, arg);
}

void inbox_snooze(const struct inbox_of *of, const char *id, int64_t until_ms, json_fn *fn, void *arg)
{
    inbox_mark(of, "snooze", id, until_ms, fn, arg);
}

void inbox_answer(const struct inbox_of *of, const char *id, const char *answer, json_fn *fn, void *arg)
{
    struct args *a = args_of(of, "answer");

    args_text(a, id);
    args_text(a, answer);
    ask(of, a, read_marked, fn, arg);
}

static json_t *read_card(const redisReply *reply, struct asking *job)
{
    return reply->type == REDIS_REPLY_STRING ? json_loads(reply->str, 0, NULL) : NULL;
}

void inbox_card(const struct inbox_of *of, const char *id, json_fn *fn, void *arg)
{
    g_autofree char *key =
        g_strdup_printf("%s:{%d}:i:%s", of->store->prefix, store_partition(of->store, of->recipient), of->recipient);

    store_command(of->store, on_asked, asking_new(read_card, fn, arg), 3, (const char *[]){ "HGET", key, id });
}

/* ---------------------------------------------------------------- tickets */

static char *ticket_key(const struct store *s, const char *ticket)
{
    g_autofree char *name = g_strconcat("ticket:", ticket, NULL);
    return store_key(s, name);
}

void store_ticket_put(struct store *s, const char *ticket, const char *recipient, int64_t expires_ms, json_fn *fn,
                      void *arg)
{
    g_autofree char *key = ticket_key(s, ticket),
                    *text = g_strdup_printf("%" G_GINT64_FORMAT "|%s", expires_ms, recipient);
    store_command(s, on_asked, asking_new(read_nothing, fn, arg), 5,
                  (const char *[]){ "SET", key, text, "EX", TICKET_S });
}

static json_t *read_owner(const redisReply *reply, struct asking *job)
{
    const char *bar = reply->type == REDIS_REPLY_STRING ? strchr(reply->str, '|') : NULL;

    return bar ? json_pack("{s:s, s:I}", "recipient", bar + 1, "expires",
                           (json_int_t)g_ascii_strtoll(reply->str, NULL, 10))
               : json_object();
}

void store_ticket_take(struct store *s, const char *ticket, json_fn *fn, void *arg)
{
    g_autofree char *key = ticket_key(s, ticket);
    store_command(s, on_asked, asking_new(read_owner, fn, arg), 2, (const char *[]){ "GETDEL", key });
}
