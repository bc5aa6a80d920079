#include "dispatcher/journeys/merge.h"

#include <glib.h>
#include <string.h>

#include "dispatcher/base/problem.h"
#include "dispatcher/journeys/actor.h"
#include "dispatcher/people/consent.h"
#include "dispatcher/people/turn.h"
#include "dispatcher/policy/reach.h"
#include "schedules/instant.h"

#define ONE_BY_ONE " merge" /* nobody is called so: merges of a process follow each other */
#define CHAIN_MAX  16

/*
 *   who goes ──▶ who stays (or who that one is now) ──▶ what was withdrawn, one by one ──▶ a claim ──▶ the runs
 */
struct merging {
    struct service *service;
    char *recipient, *into;
    bool again; /* it has been written already */
    int hops;
    json_t *consents, *errors; /* of who goes */
    void *next;                /* iterator of consents */
    intake_fn *fn;
    void *arg;
};

/* ---------------------------------------------------------------- the end */

static void answer(struct merging *m, int status, json_t *body)
{
    struct service *s = m->service;

    m->fn(m->arg, &(struct intake_answer){ status, false, body });
    json_decref(body);
    json_decref(m->consents);
    json_decref(m->errors);
    g_free(m->recipient);
    g_free(m->into);
    g_free(m);
    turn_end(s, ONE_BY_ONE);
}

static void refuse(struct merging *m, int status, const char *detail)
{
    answer(m, status, problem_make(status, detail, json_array_size(m->errors) ? json_incref(m->errors) : NULL));
}

static void answer_gone(struct merging *m)
{
    refuse(m, 503, "the store does not answer; repeat it, it goes on where it ended");
}

/* ---------------------------------------------------------------- the runs */

static void on_moved(void *arg, enum act_result result, const json_t *did);

static void move_runs(struct merging *m)
{
    actor_act(m->service,
              &(struct act){ .kind = ACT_MOVE, .recipient = m->recipient, .other = m->into, .existing = true }, NULL,
              on_moved, m);
}

static void on_unclaimed(void *arg, enum act_result result, const json_t *did)
{
    refuse(arg, 409, "they have been merged into somebody else, or others are being merged into them; try again");
}

static void on_moved(void *arg, enum act_result result, const json_t *did)
{
    struct merging *m = arg;

    if (result == ACT_DONE)
        answer(m, 200,
               json_pack("{s:s, s:s, s:o}", "recipient", m->recipient, "into", m->into, "did",
                         did ? json_incref((json_t *)did) : json_array()));
    else if (result == ACT_BUSY && !m->again)
        actor_act(m->service,
                  &(struct act){ .kind = ACT_FORGET, .recipient = m->into, .other = m->recipient, .existing = true },
                  NULL, on_unclaimed, m);
    else if (result == ACT_BUSY)
        on_unclaimed(m, result, NULL);
    else
        answer_gone(m);
}

static void on_claimed(void *arg, enum act_result result, const json_t *did)
{
    struct merging *m = arg;

    if (result == ACT_DONE)
        move_runs(m);
    else if (result == ACT_BUSY)
        refuse(m, 409, "the other one is being merged into somebody else; try again");
    else
        answer_gone(m);
}

/* Who stays knows of it first. */
static void claim(struct merging *m)
{
    actor_act(m->service,
              &(struct act){ .kind = ACT_CLAIM, .recipient = m->into, .other = m->recipient, .existing = true }, NULL,
              on_claimed, m);
}

/* ---------------------------------------------------------------- what was withdrawn */

static void withdraw_next(struct merging *m);

static void on_withdrawn(void *arg, bool ok, json_t *receipt)
{
    struct merging *m = arg;

    if (ok)
        withdraw_next(m);
    else
        answer_gone(m);
}

bool merge_withdraw(struct service *s, const char *person, const char *category, char channel, int64_t at, json_fn *fn,
                    void *arg)
{
    json_auto_t *errors = json_array();
    char when[32];
    json_auto_t *entry = json_pack("{s:s, s:s?, s:s, s:s, s:s}", "category", category, "channel",
                                   channel == '*' ? "*" : channel_name(channel), "state", "withdrawn", "source",
                                   "merge", "at", instant_format(when, at));

    return consent_change(s, person, entry, "merge", errors, fn, arg);
}

/* "category|channel letter" → "w:at:…" */
static bool withdraw(struct merging *m, const char *field, const char *entry)
{
    const char *bar = strrchr(field, '|');
    g_autofree char *category = bar ? g_strndup(field, (size_t)(bar - field)) : NULL;

    return bar && *entry == 'w' &&
           merge_withdraw(m->service, m->into, category, bar[1], g_ascii_strtoll(entry + 2, NULL, 10), on_withdrawn, m);
}

static void withdraw_next(struct merging *m)
{
    while (m->next) {
        const char *field = json_object_iter_key(m->next), *entry = json_string_value(json_object_iter_value(m->next));
        m->next = json_object_iter_next(m->consents, m->next);
        if (withdraw(m, field, entry ? entry : ""))
            return;
    }
    claim(m);
}

/* ---------------------------------------------------------------- who */

static void look_at_other(struct merging *m);

static void on_other(void *arg, const struct seen_person *seen)
{
    struct merging *m = arg;
    struct person_runs *p = seen ? person_read(seen->runs) : NULL;
    g_autofree char *now = p ? g_strdup(p->moved) : NULL;
    bool there = seen && *seen->profile;

    person_free(p);
    if (!seen) {
        answer_gone(m);
    } else if (now && strcmp(now, m->recipient) == 0) {
        refuse(m, 409, "the other one has been merged into this one");
    } else if (now && m->hops++ >= CHAIN_MAX) {
        refuse(m, 409, "the other one has been merged too often to be followed");
    } else if (now) {
        g_free(m->into);
        m->into = g_steal_pointer(&now);
        look_at_other(m);
    } else if (!there) {
        problem_add(m->errors, "/into", "there is no recipient of this id");
        refuse(m, 404, "nobody was merged");
    } else {
        withdraw_next(m);
    }
}

static void look_at_other(struct merging *m)
{
    store_look(m->service->looks, m->into, on_other, m);
}

static bool has_gone(const struct seen_person *seen, const char *into)
{
    struct person_runs *p = person_read(seen->runs);
    bool has = p && g_strcmp0(p->moved, into) == 0;

    person_free(p);
    return has;
}

static void on_recipient(void *arg, const struct seen_person *seen)
{
    struct merging *m = arg;

    if (!seen) {
        answer_gone(m);
        return;
    }
    if (!*seen->profile && !*seen->runs) {
        refuse(m, 404, "there is no recipient of this id");
        return;
    }
    m->again = has_gone(seen, m->into);
    for (size_t i = 0; seen->consents && i + 1 < seen->consents->elements; i += 2)
        json_object_set_new(m->consents, reply_text(seen->consents, i), json_string(reply_text(seen->consents, i + 1)));
    m->next = json_object_iter(m->consents);
    if (m->again)
        move_runs(m); /* wherever that one has gone since */
    else
        look_at_other(m);
}

static void check(struct merging *m, const json_t *how)
{
    static const char *const known[] = { "into", NULL };
    const char *into = json_string_value(json_object_get(how, "into"));

    problem_unknown(m->errors, how, known, "is unknown here");
    if (!into || !ident_good(into))
        problem_add(m->errors, "/into",
                    into ? "must be 1 to 128 letters, digits and . _ ~ @ + -"
                         : "is required: the id of whoever they are");
    else if (strcmp(into, m->recipient) == 0)
        problem_add(m->errors, "/into", "is the recipient themselves");
    m->into = g_strdup(into ? into : "");
}

static void on_turn(void *arg)
{
    struct merging *m = arg;

    if (json_array_size(m->errors))
        refuse(m, 422, "nobody was merged");
    else
        store_look(m->service->looks, m->recipient, on_recipient, m);
}

void merge_people(struct service *s, const char *recipient, const json_t *how, intake_fn *fn, void *arg)
{
    struct merging *m = g_new0(struct merging, 1);

    *m = (struct merging){ .service = s,
                           .recipient = g_strdup(recipient),
                           .consents = json_object(),
                           .errors = json_array(),
                           .fn = fn,
                           .arg = arg };
    check(m, how);
    turn_take(s, ONE_BY_ONE, on_turn, m);
}
