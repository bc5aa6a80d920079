#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/journeys/actor_own.h"
#include "dispatcher/people/person.h"

static json_t *list_of(const redisReply *reply)
{
    json_t *list = json_array();

    for (size_t i = 0; reply && i < reply->elements; i++) {
        json_t *one = json_loads(reply_text(reply, i), 0, NULL);
        json_array_append_new(list, one ? one : json_object());
    }
    return list;
}

static json_t *fields_of(const redisReply *reply)
{
    json_t *fields = json_object();

    for (size_t i = 0; reply && i + 1 < reply->elements; i += 2)
        json_object_set_new(fields, reply_text(reply, i), json_string(reply_text(reply, i + 1)));
    return fields;
}

void view_take(struct view *v, const struct seen_person *seen)
{
    *v = (struct view){ .taken = true,
                        .version = g_strdup(seen->version),
                        .runs = g_strdup(seen->runs),
                        .profile = g_strdup(seen->profile),
                        .kept = list_of(seen->kept),
                        .unheard = list_of(seen->unheard),
                        .consents = fields_of(seen->consents),
                        .standings = fields_of(seen->standings) };
}

void view_clear(struct view *v)
{
    g_free(v->version);
    g_free(v->runs);
    g_free(v->profile);
    g_free(v->moved);
    json_decref(v->merged);
    json_decref(v->kept);
    json_decref(v->unheard);
    json_decref(v->consents);
    json_decref(v->standings);
    *v = (struct view){ 0 };
}

char *view_account(const struct view *v)
{
    json_auto_t *profile = *v->profile ? json_loads(v->profile, 0, NULL) : NULL;
    const char *account = person_account(profile);

    return *account ? g_strdup(account) : NULL;
}

bool event_is_kept(const json_t *kept, const char *id)
{
    json_t *one;
    size_t i;

    json_array_foreach ((json_t *)kept, i, one)
        if (strcmp(kept_text(one, "i"), id) == 0)
            return true;
    return false;
}

void view_add_company(struct view *v, const json_t *events)
{
    json_t *event;
    size_t i;

    json_array_foreach ((json_t *)events, i, event) {
        g_autofree char *id = g_strconcat(ACCOUNT_EVENT, kept_text(event, "i"), NULL);
        size_t at = json_array_size(v->kept);
        if (event_is_kept(v->kept, id))
            continue;
        json_auto_t *own = json_copy(event);
        json_object_set_new(own, "i", json_string(id));
        while (at > 0 && kept_time(json_array_get(v->kept, at - 1), "a") > kept_time(own, "a"))
            at--;
        json_array_insert(v->kept, at, own);
    }
}

char *view_unknown_version(struct view *v, const struct sequences *sq)
{
    struct person_runs *p = person_read(v->runs);
    char *unknown = NULL;

    g_free(v->moved);
    json_decref(v->merged);
    v->moved = p ? g_strdup(p->moved) : NULL;
    v->merged = p ? json_incref(p->merged) : NULL;

    for (guint i = 0; p && i < p->runs->len + p->ended->len && !unknown; i++) {
        const struct run *r = i < p->runs->len ? p->runs->pdata[i] : p->ended->pdata[i - p->runs->len];
        if (!sequences_knows(sq, r->version))
            unknown = g_strdup(r->version);
    }
    person_free(p);
    return unknown;
}
