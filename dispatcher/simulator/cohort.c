#include "dispatcher/simulator/cohort.h"

#include <glib.h>

#include "channels/address.h"
#include "dispatcher/base/problem.h"
#include "dispatcher/journeys/actor.h"
#include "dispatcher/store/counts.h"

#define AT_A_TIME 64

/*
 *   a page of people ──▶ whom it meets ──▶ their addresses and accounts ──▶ the next page ──▶ a copy of all of it
 */
struct cohort {
    struct service *service;
    struct condition *where;
    json_t *people, *names; /* as store_copy has them */
    GHashTable *seen;       /* a page may name somebody twice */
    GQueue waiting;
    char *cursor;
    int open;
    bool lost, reading;
    copy_fn *fn;
    void *arg;
};

struct meeting {
    struct cohort *cohort;
    char *recipient;
};

static void go_on(struct cohort *c);

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
    g_autofree char *first = account ? g_strconcat(kinds[0], account, NULL) : NULL;

    if (!account || !g_hash_table_add(c->seen, g_steal_pointer(&first)))
        return;
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++)
        add_name(c, kinds[i], account);
}

static void met(struct meeting *m)
{
    g_free(m->recipient);
    m->cohort->open--;
    go_on(m->cohort);
    g_free(m);
}

static void on_profile(void *arg, const struct seen_person *seen)
{
    struct meeting *m = arg;
    json_auto_t *profile = seen ? json_loads(seen->profile, 0, NULL) : NULL;

    m->cohort->lost |= !seen;
    add_address(m->cohort, json_string_value(json_object_get(profile, "email")));
    add_address(m->cohort, json_string_value(json_object_get(profile, "phone")));
    add_account(m->cohort, json_string_value(json_object_get(profile, "account")));
    met(m);
}

/* did: the condition meets them. */
static void on_acted(void *arg, enum act_result result, const json_t *did)
{
    struct meeting *m = arg;

    m->cohort->lost |= result != ACT_DONE;
    if (!did) {
        met(m);
        return;
    }
    json_array_append_new(m->cohort->people, json_string(m->recipient));
    store_look(m->cohort->service->looks, m->recipient, on_profile, m);
}

static void meet(struct cohort *c, char *recipient)
{
    struct meeting *m = g_new0(struct meeting, 1);

    *m = (struct meeting){ c, recipient };
    c->open++;
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

/* ---------------------------------------------------------------- everybody */

static void on_copied(void *arg, struct copy *copy)
{
    struct cohort *c = arg;

    c->fn(c->arg, copy);
    condition_free(c->where);
    json_decref(c->people);
    json_decref(c->names);
    g_hash_table_unref(c->seen);
    g_queue_clear_full(&c->waiting, g_free);
    g_free(c->cursor);
    g_free(c);
}

static void on_page(void *arg, bool ok, const char *cursor, json_t *people)
{
    struct cohort *c = arg;
    json_t *one;
    size_t i;

    c->reading = false;
    c->lost |= !ok;
    g_free(c->cursor);
    c->cursor = g_strdup(cursor);
    json_array_foreach (people, i, one)
        if (g_hash_table_add(c->seen, g_strconcat("u:", json_string_value(one), NULL)))
            g_queue_push_tail(&c->waiting, g_strdup(json_string_value(one)));
    go_on(c);
}

static void go_on(struct cohort *c)
{
    char *recipient;

    while (!c->lost && c->open < AT_A_TIME && (recipient = g_queue_pop_head(&c->waiting)))
        meet(c, recipient);
    bool over = c->cursor && g_str_equal(c->cursor, "0");
    if (!c->lost && !over && !c->reading && g_queue_is_empty(&c->waiting)) {
        c->reading = true;
        store_people_page(c->service->store, c->cursor ? c->cursor : "0", on_page, c);
    } else if (c->open == 0 && !c->reading && c->lost) {
        on_copied(c, NULL);
    } else if (c->open == 0 && !c->reading && over) {
        store_copy(c->service->store, c->people, c->names, on_copied, c);
    }
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
                          .seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
                          .waiting = G_QUEUE_INIT,
                          .fn = fn,
                          .arg = arg };
    go_on(c);
    return true;
}
