#include "dispatcher/journeys/bulk.h"

#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/base/clock.h"
#include "dispatcher/base/figures.h"
#include "dispatcher/base/problem.h"
#include "dispatcher/journeys/actor.h"
#include "dispatcher/journeys/everybody.h"
#include "dispatcher/store/counts.h"

/*
 *   (what was counted) ──▶ everybody: each one's turn, dry or not ──▶ (the count is kept)
 */
struct bulk {
    struct service *service;
    char *sequence, *token, *name; /* name: of the count in the store */
    struct condition *where;
    bool leaves, again, does;
    GHashTable *counted; /* hashes of people: of the count that is confirmed, or that is being made */
    json_t *figures;
    json_fn *fn;
    void *arg;
};

static void done(struct bulk *b, bool ok)
{
    b->fn(b->arg, ok, ok ? b->figures : NULL);
    condition_free(b->where);
    g_hash_table_unref(b->counted);
    json_decref(b->figures);
    g_free(b->sequence);
    g_free(b->token);
    g_free(b->name);
    g_free(b);
}

/* ---------------------------------------------------------------- one person */

/* No id is kept where an erasure would not find it. */
static char *hash_of(const char *recipient)
{
    char *hash = g_compute_checksum_for_string(G_CHECKSUM_SHA256, recipient, -1);
    hash[20] = '\0';
    return hash;
}

struct doing {
    struct bulk *bulk;
    struct everybody *walk;
    char *recipient;
    bool newcomer;
};

static void count_one(struct doing *d, const json_t *item)
{
    struct bulk *b = d->bulk;
    const char *what = json_string_value(json_object_get(item, "what")),
               *why = json_string_value(json_object_get(item, "why"));

    if (g_strcmp0(json_string_value(json_object_get(item, "sequence")), b->sequence) != 0)
        return;
    bool hit = g_strcmp0(what, b->leaves ? "left" : "enrolled") == 0 || g_strcmp0(what, "queued") == 0;
    if (hit && !b->does)
        g_hash_table_add(b->counted, hash_of(d->recipient));
    if (hit && d->newcomer)
        figure_add(b->figures, "newcomers", 1);
    else if (hit)
        figure_add(b->figures,
                   b->does     ? b->leaves ? "exited" : "enrolled"
                   : b->leaves ? "would_exit"
                               : "would_enroll",
                   1);
    else if (g_strcmp0(why, "running") == 0 || g_strcmp0(why, "reentry") == 0)
        figure_add(b->figures, "already", 1);
    else if (g_strcmp0(what, "not_enrolled") == 0)
        figure_add(figures_of(b->figures, "refused"), why, 1);
}

static void on_acted(void *arg, enum act_result result, const json_t *did)
{
    struct doing *d = arg;
    struct bulk *b = d->bulk;
    json_t *item;
    size_t i;

    if (did)
        figure_add(b->figures, "matching", 1);
    json_array_foreach ((json_t *)did, i, item)
        count_one(d, item);
    everybody_done(d->walk, result == ACT_DONE || result == ACT_KNOWN);
    g_free(d->recipient);
    g_free(d);
}

static void do_one(void *arg, struct everybody *walk, const char *recipient)
{
    struct bulk *b = arg;
    struct doing *d = g_new0(struct doing, 1);
    g_autofree char *hash = hash_of(recipient), *id = g_strdup_printf("enroll/%s/bulk/%s", b->sequence, b->token);
    int64_t now = clock_now();

    *d = (struct doing){ b, walk, g_strdup(recipient), b->does && !g_hash_table_contains(b->counted, hash) };
    actor_act(b->service,
              &(struct act){ .kind = b->leaves ? ACT_LEAVE : ACT_ENROLL,
                             .recipient = recipient,
                             .event = b->leaves ? NULL
                                                : json_pack("{s:s, s:s, s:I, s:I, s:{}}", "i", id, "n", "enroll", "t",
                                                            (json_int_t)now, "a", (json_int_t)now, "d"),
                             .sequence = b->sequence,
                             .reason = "exited",
                             .where = b->where,
                             .again = b->again,
                             .existing = true,
                             .dry = !b->does || d->newcomer },
              NULL, on_acted, d);
}

/* ---------------------------------------------------------------- everybody */

static void on_kept(void *arg, bool ok, json_t *nothing)
{
    struct bulk *b = arg;

    json_object_set_new(b->figures, "confirm", json_string(b->token));
    done(b, ok);
}

static void on_all(void *arg, bool ok)
{
    struct bulk *b = arg;

    if (!ok || b->does)
        done(b, ok);
    else
        store_count_keep(b->service->store, b->name, b->counted, on_kept, b);
}

static void do_all(struct bulk *b)
{
    everybody_walk(b->service, 0, (struct everybody_fns){ do_one, on_all }, b);
}

static void on_count(void *arg, bool ok, json_t *hashes)
{
    struct bulk *b = arg;
    json_t *one;
    size_t i;

    json_array_foreach (hashes, i, one)
        g_hash_table_add(b->counted, g_strdup(json_string_value(one)));
    if (!ok) {
        done(b, false);
    } else if (json_array_size(hashes) == 0) {
        json_object_clear(b->figures);
        json_object_set_new(b->figures, "stale", json_true());
        done(b, true);
    } else {
        do_all(b);
    }
}

/* ---------------------------------------------------------------- what was asked */

static void on_complaint(void *arg, bool error, const char *at, const char *detail)
{
    if (error)
        problem_add(arg, "/where", "%s: %s", at, detail);
}

static struct condition *read_where(const json_t *how, json_t *errors)
{
    struct complaints c = { on_complaint, errors, 0 };
    const json_t *where = json_object_get(how, "where");

    if (where)
        return condition_read(&c, "where", where);
    problem_add(errors, "/where", "is required: a condition on the recipient, like {\"recipient.role\": \"admin\"}");
    return NULL;
}

static void begin(struct bulk *b, const json_t *how)
{
    const char *confirm = json_string_value(json_object_get(how, "confirm"));
    char made[MESSAGE_ID_SIZE], *words = json_dumps(json_object_get(how, "where"), JSON_COMPACT | JSON_SORT_KEYS);
    g_autofree char *all = g_strdup_printf("%s|%d|%d|%s", b->sequence, b->leaves, b->again, words);
    g_autofree char *hash = g_compute_checksum_for_string(G_CHECKSUM_SHA256, all, -1);

    free(words);
    ident_make(made, 0, NULL, 0);
    b->does = confirm != NULL;
    b->token = g_strdup(confirm ? confirm : made);
    b->name = g_strdup_printf("%s:%.16s", b->token, hash);
    b->figures = json_pack("{s:s, s:i, s:i, s:i, s:{}}", "sequence", b->sequence, "matching", 0,
                           b->does     ? b->leaves ? "exited" : "enrolled"
                           : b->leaves ? "would_exit"
                                       : "would_enroll",
                           0, "already", 0, "refused");
    if (b->does)
        json_object_set_new(b->figures, "newcomers", json_integer(0));
    if (b->does)
        store_count_kept(b->service->store, b->name, on_count, b);
    else
        do_all(b);
}

static bool ask(struct service *s, const char *sequence, const json_t *how, bool leaves, json_t *errors, json_fn *fn,
                void *arg)
{
    static const char *const known[] = { "where", "confirm", "again", NULL };
    const json_t *confirm = json_object_get(how, "confirm");
    struct condition *where = read_where(how, errors);
    struct bulk *b;

    problem_unknown(errors, how, known, "is unknown here");
    if (confirm && (!json_is_string(confirm) || !ident_good(json_string_value(confirm))))
        problem_add(errors, "/confirm", "must be the token of a count");
    if (json_object_get(how, "again") && !json_is_boolean(json_object_get(how, "again")))
        problem_add(errors, "/again", "must be true or false");
    if (!leaves && !sequences_find(s->sequences, sequence, NULL))
        problem_add(errors, "", "there is no such sequence now");
    if (json_array_size(errors)) {
        condition_free(where);
        return false;
    }
    b = g_new0(struct bulk, 1);
    *b = (struct bulk){ .service = s,
                        .sequence = g_strdup(sequence),
                        .where = where,
                        .leaves = leaves,
                        .again = json_is_true(json_object_get(how, "again")),
                        .counted = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
                        .fn = fn,
                        .arg = arg };
    begin(b, how);
    return true;
}

bool bulk_enroll(struct service *s, const char *sequence, const json_t *how, json_t *errors, json_fn *fn, void *arg)
{
    return ask(s, sequence, how, false, errors, fn, arg);
}

bool bulk_exit(struct service *s, const char *sequence, const json_t *how, json_t *errors, json_fn *fn, void *arg)
{
    return ask(s, sequence, how, true, errors, fn, arg);
}
