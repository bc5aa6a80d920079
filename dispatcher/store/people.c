#include "dispatcher/store/people.h"
#include "dispatcher/store/places.h"

#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/base/clock.h"
#include "dispatcher/store/asking.h"
#include "dispatcher/store/portions.h"
#include "schedules/instant.h"

/* ---------------------------------------------------------------- profiles */

struct profile_job {
    profile_fn *got;
    accept_fn *put;
    void *arg;
};

static void on_profile(void *arg, const redisReply *reply)
{
    struct profile_job *job = arg;
    const char *text = !reply ? NULL : reply->type == REDIS_REPLY_STRING ? reply->str : "";

    job->got(job->arg, text);
    g_free(job);
}

void store_profile(struct store *s, const char *recipient, profile_fn *fn, void *arg)
{
    struct profile_job *job = g_new0(struct profile_job, 1);
    g_autofree char *key = g_strdup_printf("%s:{%d}:u:%s", s->prefix, store_partition(s, recipient), recipient);

    *job = (struct profile_job){ .got = fn, .arg = arg };
    store_command(s, on_profile, job, 2, (const char *[]){ "GET", key });
}

static void on_profile_put(void *arg, const redisReply *reply)
{
    struct profile_job *job = arg;

    job->put(job->arg, !reply ? NULL : reply->integer ? "ok" : "race");
    g_free(job);
}

void store_profile_put(struct store *s, const char *recipient, const char *was, const char *now, bool import,
                       accept_fn *fn, void *arg)
{
    struct profile_job *job = g_new0(struct profile_job, 1);
    struct args *a = args_begin("put", recipient);

    *job = (struct profile_job){ .put = fn, .arg = arg };
    args_text(a, was);
    args_text(a, now);
    args_int(a, import);
    store_script(s, store_partition(s, recipient), "person", a, on_profile_put, job);
}

struct erasing {
    struct store *store;
    char recipient[129];
    struct portions mids;
    int64_t messages, in_flight;
    json_fn *fn;
    void *arg;
};

static void erase_on(struct erasing *e);

static void erasing_end(struct erasing *e, bool ok)
{
    json_auto_t *result = json_pack("{s:b, s:I, s:I}", "erased", 1, "messages", (json_int_t)e->messages, "in_flight",
                                    (json_int_t)e->in_flight);

    e->fn(e->arg, ok, ok ? result : NULL);
    portions_clear(&e->mids);
    g_free(e);
}

static void count_erased(struct erasing *e, const redisReply *reply)
{
    e->messages += reply_int(reply, 0);
    e->in_flight += reply_int(reply, 1);
}

static void on_whole_erased(void *arg, const redisReply *reply)
{
    struct erasing *e = arg;

    count_erased(e, reply);
    erasing_end(e, reply != NULL);
}

static void on_some_erased(void *arg, const redisReply *reply)
{
    struct erasing *e = arg;

    count_erased(e, reply);
    if (reply)
        erase_on(e);
    else
        erasing_end(e, false);
}

/* The messages in portions, then the person. */
static void erase_on(struct erasing *e)
{
    bool whole = !portions_left(&e->mids);
    struct args *a = args_begin(whole ? "erase" : "erase_some", e->recipient);

    args_int(a, e->store->retain_messages_ms);
    args_int(a, e->store->retain_events_ms);
    portions_args(&e->mids, a);
    store_script(e->store, store_partition(e->store, e->recipient), "person", a,
                 whole ? on_whole_erased : on_some_erased, e);
}

static void on_erase_mids(void *arg, const redisReply *reply)
{
    struct erasing *e = arg;

    portions_add(&e->mids, reply_at(reply, 0)); /* pending */
    portions_add(&e->mids, reply_at(reply, 1)); /* finished */
    if (reply)
        erase_on(e);
    else
        erasing_end(e, false);
}

void store_erase(struct store *s, const char *recipient, json_fn *fn, void *arg)
{
    struct erasing *e = g_new0(struct erasing, 1);
    struct args *a = args_begin("mids", recipient);

    *e = (struct erasing){ .store = s, .fn = fn, .arg = arg };
    g_strlcpy(e->recipient, recipient, sizeof e->recipient);
    args_int(a, 1000000);
    store_script(s, store_partition(s, recipient), "person", a, on_erase_mids, e);
}

/* ---------------------------------------------------------------- addresses */

static char *holders_key(const struct store *s, const char *address)
{
    return g_strdup_printf("%s:{%d}:own:%s", s->prefix, store_partition(s, address), address);
}

void store_address_claim(struct store *s, const char *address, const char *recipient)
{
    g_autofree char *key = holders_key(s, address);
    store_command(s, NULL, NULL, 3, (const char *[]){ "SADD", key, recipient });
}

void store_address_leave(struct store *s, const char *address, const char *recipient)
{
    g_autofree char *key = holders_key(s, address);
    store_command(s, NULL, NULL, 3, (const char *[]){ "SREM", key, recipient });
}

static void account_command(struct store *s, const char *verb, const char *account, const char *recipient)
{
    g_autofree char *key = g_strdup_printf("%s:{%d}:am:%s", s->prefix, store_partition(s, account), account);
    store_command(s, NULL, NULL, 3, (const char *[]){ verb, key, recipient });
}

void store_account_join(struct store *s, const char *account, const char *recipient)
{
    account_command(s, "SADD", account, recipient);
}

void store_account_leave(struct store *s, const char *account, const char *recipient)
{
    account_command(s, "SREM", account, recipient);
    store_place_gone(s, account, recipient, "");
}

static json_t *id_list(const redisReply *list)
{
    json_t *ids = json_array();

    for (size_t i = 0; list && i < list->elements; i++)
        json_array_append_new(ids, json_string(reply_text(list, i)));
    return ids;
}

static json_t *read_holders(const redisReply *reply, struct asking *a)
{
    return id_list(reply);
}

void store_address_holders(struct store *s, const char *address, json_fn *fn, void *arg)
{
    g_autofree char *key = holders_key(s, address);
    store_command(s, on_asked, asking_new(read_holders, fn, arg), 3, (const char *[]){ "SRANDMEMBER", key, "64" });
}

/* ---------------------------------------------------------------- local times */

static json_t *read_civil(const redisReply *reply, struct asking *a)
{
    json_t *list = json_array();

    for (size_t i = 0; i + 2 < reply->elements; i += 3) {
        g_autofree char *local = g_strndup(reply_text(reply, i + 1), strcspn(reply_text(reply, i + 1), "|"));
        json_array_append_new(list, json_pack("{s:s, s:s, s:I}", "id", reply_text(reply, i), "local", local, "at",
                                              (json_int_t)reply_int(reply, i + 2)));
    }
    return list;
}

void store_civil(struct store *s, const char *recipient, json_fn *fn, void *arg)
{
    store_script(s, store_partition(s, recipient), "person", args_begin("civil", recipient), on_asked,
                 asking_new(read_civil, fn, arg));
}

static json_t *read_replanned(const redisReply *reply, struct asking *a)
{
    return json_true();
}

void store_replan(struct store *s, const char *recipient, const json_t *moves, json_fn *fn, void *arg)
{
    struct args *a = args_begin("replan", recipient);
    json_t *one;
    size_t i;

    json_array_foreach ((json_t *)moves, i, one) {
        args_text(a, json_string_value(json_object_get(one, "id")));
        args_int(a, json_integer_value(json_object_get(one, "was")));
        args_int(a, json_integer_value(json_object_get(one, "at")));
    }
    store_script(s, store_partition(s, recipient), "person", a, on_asked, asking_new(read_replanned, fn, arg));
}

/* ---------------------------------------------------------------- consent */

static json_t *read_consent(const redisReply *reply, struct asking *a)
{
    const redisReply *last = reply_at(reply, 3);
    char at[32];

    switch (*reply_text(reply, 0)) {
    case 'p': return json_pack("{s:b}", "pending", 1);
    case 'g': return json_pack("{s:b}", "granted", 1);
    case 'o':
        return json_pack("{s:b, s:s}", "granted", 0, "detail",
                         "recorded; a later withdrawal stands, and only a grant that comes after it counts");
    case 'n':
        return json_pack("{s:b, s:s, s:[], s:[], s:n}", "withdrawn", 0, "detail",
                         "recorded; a later grant stands, so nothing changes", "cancelled", "in_flight", "last_sent");
    }
    json_t *last_sent = last && last->elements == 2 ? json_pack("{s:s, s:s}", "id", reply_text(last, 0), "at",
                                                                instant_format(at, reply_int(last, 1)))
                                                    : json_null();
    return json_pack("{s:b, s:o, s:o, s:o}", "withdrawn", 1, "cancelled", id_list(reply_at(reply, 1)), "in_flight",
                     id_list(reply_at(reply, 2)), "last_sent", last_sent);
}

/* A withdrawal of somebody with many pending messages: the state holds at once, the rest is ended in portions. */
struct consenting {
    struct store *store;
    char recipient[129], category[65], letter;
    char *exempt;
    json_t *receipt;
    struct portions left;
    json_fn *fn;
    void *arg;
};

static void consenting_done(struct consenting *c, bool ok)
{
    c->fn(c->arg, ok, ok ? c->receipt : NULL);
    json_decref(c->receipt);
    portions_clear(&c->left);
    g_free(c->exempt);
    g_free(c);
}

static struct args *consent_args(const struct consenting *c, const char *op)
{
    struct args *a = args_new();

    args_int(a, c->store->retain_messages_ms);
    args_int(a, c->store->retain_events_ms);
    args_text(a, c->recipient);
    args_text(a, c->category);
    args_char(a, c->letter);
    args_text(a, c->exempt);
    args_text(a, op);
    return a;
}

static void sweep(struct consenting *c);

static void on_consent(void *arg, const redisReply *reply)
{
    struct consenting *c = arg;
    json_auto_t *part = reply ? read_consent(reply, NULL) : NULL;

    if (!reply) {
        consenting_done(c, false);
        return;
    }
    if (!c->receipt) {
        c->receipt = json_incref(part);
        portions_add(&c->left, reply_at(reply, 4));
    } else {
        json_array_extend(json_object_get(c->receipt, "cancelled"), json_object_get(part, "cancelled"));
        json_array_extend(json_object_get(c->receipt, "in_flight"), json_object_get(part, "in_flight"));
    }
    if (portions_left(&c->left))
        sweep(c);
    else
        consenting_done(c, true);
}

static void sweep(struct consenting *c)
{
    struct args *a = consent_args(c, "sweep");

    portions_args(&c->left, a);
    store_script(c->store, store_partition(c->store, c->recipient), "consent", a, on_consent, c);
}

void store_consent(struct store *s, const struct consent_entry *e, json_fn *fn, void *arg)
{
    struct consenting *c = g_new0(struct consenting, 1);
    char *entry = json_dumps(e->entry, JSON_COMPACT);

    *c = (struct consenting){ .store = s, .letter = e->letter, .exempt = g_strdup(e->exempt), .fn = fn, .arg = arg };
    g_strlcpy(c->recipient, e->recipient, sizeof c->recipient);
    g_strlcpy(c->category, e->category, sizeof c->category);
    struct args *a = consent_args(c, "record");
    args_char(a, e->state);
    if (e->at < 0)
        args_text(a, "");
    else
        args_int(a, e->at);
    args_text(a, e->history ? "history" : "live");
    args_text(a, entry);
    free(entry);
    store_script(s, store_partition(s, e->recipient), "consent", a, on_consent, c);
}

static json_t *read_ledger(const redisReply *reply, struct asking *a)
{
    const redisReply *list = reply_at(reply, 1);
    json_t *entries = json_array();

    for (size_t i = 0; list && i < list->elements; i++) {
        json_t *entry = json_loads(reply_text(list, i), 0, NULL), *from = json_object_get(entry, "effective_at");
        char at[32];
        if (json_is_integer(from))
            json_object_set_new(entry, "effective_at", json_string(instant_format(at, json_integer_value(from))));
        if (entry)
            json_array_append_new(entries, entry);
    }
    return json_pack("{s:s, s:o}", "recipient", a->name, "consents", entries);
}

void store_consents(struct store *s, const char *recipient, json_fn *fn, void *arg)
{
    struct asking *job = asking_new(read_ledger, fn, arg);

    g_strlcpy(job->name, recipient, sizeof job->name);
    store_script(s, store_partition(s, recipient), "person", args_begin("get", recipient), on_asked, job);
}
