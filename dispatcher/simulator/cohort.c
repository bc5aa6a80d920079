#include "dispatcher/simulator/cohort.h"

#include <glib.h>

#include "channels/address.h"
#include "dispatcher/base/problem.h"
#include "dispatcher/journeys/actor.h"
#include "dispatcher/journeys/everybody.h"

/*
 *   everybody ──▶ whom it meets ──▶ their addresses and accounts ──▶ a copy of all of it
 */
struct cohort {
    struct service *service;
    struct condition *where;
    json_t *people, *names; /* as store_copy has them */
    GHashTable *accounts;
    copy_fn *fn;
    void *arg;
};

struct meeting {
    struct cohort *cohort;
    struct everybody *walk;
    char *recipient;
};

/* ---------------------------------------------------------------- one person */

static void add_name(struct cohort *c, const char *key, const char *whose)
{
    json_array_append_new(c->names, json_pack("[s, s+]", whose, key, whose));
}

static void add_address(struct cohort *c, const char *address)
{
    char key[ADDRESS_SIZE];

    if (!address || address_key(key, address))
        return;
    add_name(c, "sup:", key);
    add_name(c, "soft:", key);
}

static void add_account(struct cohort *c, const char *account)
{
    static const char *const kinds[] = { "am:", "ae:", "ax:", "ap:", "aw:", "ah:" };

    if (!account || !g_hash_table_add(c->accounts, g_strdup(account)))
        return;
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++)
        add_name(c, kinds[i], account);
}

static void met(struct meeting *m, bool ok)
{
    everybody_done(m->walk, ok);
    g_free(m->recipient);
    g_free(m);
}

static void on_profile(void *arg, const struct seen_person *seen)
{
    struct meeting *m = arg;
    json_auto_t *profile = seen ? json_loads(seen->profile, 0, NULL) : NULL;

    add_address(m->cohort, json_string_value(json_object_get(profile, "email")));
    add_address(m->cohort, json_string_value(json_object_get(profile, "phone")));
    add_account(m->cohort, json_string_value(json_object_get(profile, "account")));
    met(m, seen != NULL);
}

/* did: the condition meets them. */
static void on_acted(void *arg, enum act_result result, const json_t *did)
{
    struct meeting *m = arg;

    if (!did) {
        met(m, result == ACT_DONE);
        return;
    }
    json_array_append_new(m->cohort->people, json_string(m->recipient));
    store_look(m->cohort->service->looks, m->recipient, on_profile, m);
}

static void meet(void *arg, struct everybody *walk, const char *recipient)
{
    struct cohort *c = arg;
    struct meeting *m = g_new0(struct meeting, 1);

    *m = (struct meeting){ c, walk, g_strdup(recipient) };
    actor_act(c->service,
              &(struct act){ .kind = ACT_LEAVE,
                             .recipient = recipient,
                             .sequence = "",
                             .reason = "",
                             .where = c->where,
                             .existing = true,
                             .dry = true },
              NULL, on_acted, m);
}

/* ---------------------------------------------------------------- all of them */

static void on_copied(void *arg, struct copy *copy)
{
    struct cohort *c = arg;

    c->fn(c->arg, copy);
    condition_free(c->where);
    json_decref(c->people);
    json_decref(c->names);
    g_hash_table_unref(c->accounts);
    g_free(c);
}

static void on_all(void *arg, bool ok)
{
    struct cohort *c = arg;

    if (ok)
        store_copy(c->service->store, c->people, c->names, on_copied, c);
    else
        on_copied(c, NULL);
}

static void on_complaint(void *arg, bool error, const char *at, const char *detail)
{
    if (error)
        problem_add(arg, "/where", "%s: %s", at, detail);
}

bool cohort_take(struct service *s, const json_t *where, json_t *errors, copy_fn *fn, void *arg)
{
    struct complaints complaints = { on_complaint, errors, 0 };
    struct condition *condition = condition_read(&complaints, "where", where);
    struct cohort *c;

    if (json_array_size(errors)) {
        condition_free(condition);
        return false;
    }
    c = g_new0(struct cohort, 1);
    *c = (struct cohort){ .service = s,
                          .where = condition,
                          .people = json_array(),
                          .names = json_array(),
                          .accounts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
                          .fn = fn,
                          .arg = arg };
    everybody_walk(s, 0, (struct everybody_fns){ meet, on_all }, c);
    return true;
}
