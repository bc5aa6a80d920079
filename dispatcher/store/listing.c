#include "dispatcher/store/store.h"

#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/base/vocab.h"
#include "dispatcher/base/clock.h"
#include "dispatcher/policy/stops.h"
#include "schedules/instant.h"
#include "schedules/run.h"
#include "dispatcher/store/messages.h"
#include "dispatcher/store/listing.h"
#include "dispatcher/store/wire/scan.h"

/* ---------------------------------------------------------------- all messages, page by page */

/*
 * A cursor is "SCAN.SKIP": that of scan_page(), and how many of that page were given
 * out already.  A page that holds more than there is room for is asked for again.
 */
#define LOOK_MOST 400 /* messages that one request looks at beyond what it gives out */

struct listing {
    struct store *store;
    char scan[32], next[32];
    int64_t skip, at,
        full_at; /* within the page of SCAN: where to begin, what is being told, where the limit was reached */
    int limit, open, looked;
    bool lost, page_left;
    char *wanted[5];
    struct message_filter filter;
    json_t *found;
    json_t *ids; /* of one person, instead of pages of SCAN */
    left_fn *left;
    json_fn *fn;
    void *arg;
};

bool message_fits(const struct message_filter *f, const json_t *message)
{
    return (!f->status || strcmp(f->status, kept_text(message, "status")) == 0) &&
           (!f->category || strcmp(f->category, kept_text(message, "category")) == 0) &&
           (!f->template || strcmp(f->template, kept_text(message, "template")) == 0) &&
           (!f->source || strcmp(f->source, kept_text(message, "source")) == 0) &&
           (!f->tag || tag_fits(f->tag, json_object_get(message, "tags")));
}

static void next_page(struct listing *l);

static void listing_finish(struct listing *l)
{
    bool more = l->skip > 0 || strcmp(l->scan, "0") != 0;
    g_autofree char *cursor = g_strdup_printf("%s.%" G_GINT64_FORMAT, l->scan, l->skip);
    json_auto_t *result =
        json_pack("{s:o, s:o}", "messages", l->found, "cursor", more ? json_string(cursor) : json_null());

    l->fn(l->arg, !l->lost, l->lost ? NULL : result);
    for (size_t i = 0; i < G_N_ELEMENTS(l->wanted); i++)
        g_free(l->wanted[i]);
    json_decref(l->ids);
    g_free(l);
}

static void listing_page_done(struct listing *l)
{
    if (--l->open > 0)
        return;
    bool full = (int)json_array_size(l->found) >= l->limit;
    if (full && l->full_at > 0)
        l->skip = l->full_at;
    else
        l->skip = l->page_left ? l->at : 0;
    if (l->skip == 0)
        g_strlcpy(l->scan, l->next, sizeof l->scan);
    bool at_end = l->skip == 0 && strcmp(l->scan, "0") == 0;
    if (l->lost || at_end || full || l->looked >= LOOK_MOST || (l->left && l->left(l->arg)))
        listing_finish(l);
    else
        next_page(l);
}

/* The answers come in the order of the page; what comes behind the limit is for the next one. */
static void on_listed(void *arg, bool ok, json_t *message)
{
    struct listing *l = arg;

    l->lost |= !ok;
    l->at++;
    if ((int)json_array_size(l->found) < l->limit && message && message_fits(&l->filter, message)) {
        json_array_append(l->found, message);
        if ((int)json_array_size(l->found) == l->limit)
            l->full_at = l->at;
    }
    listing_page_done(l);
}

/* The messages of one person: the whole list is one page. */
static void show_ids(struct listing *l)
{
    int64_t all = (int64_t)json_array_size(l->ids), from = MIN(l->skip, all);
    int64_t until = MIN(all, from + MAX(l->limit - (int)json_array_size(l->found), 50));

    g_strlcpy(l->next, "0", sizeof l->next);
    l->at = from;
    l->full_at = 0;
    l->page_left = until < all;
    l->open = 1;
    l->looked += 1 + (int)(until - from);
    for (int64_t i = from; i < until; i++) {
        l->open++;
        store_show(l->store, json_string_value(json_array_get(l->ids, (size_t)i)), SHOW_BRIEF, on_listed, l);
    }
    listing_page_done(l);
}

static void on_person_mids(void *arg, const redisReply *reply)
{
    struct listing *l = arg;

    l->lost |= !reply;
    for (size_t list = 0; reply && list < 2; list++)
        for (size_t i = 0; i < reply_at(reply, list)->elements; i++)
            json_array_append_new(l->ids, json_string(reply_text(reply_at(reply, list), i)));
    show_ids(l);
}

static void on_scanned(void *arg, const char *cursor, const redisReply *keys)
{
    struct listing *l = arg;
    int64_t all = keys ? (int64_t)keys->elements : 0, from = MIN(l->skip, all);
    int64_t room = MAX(l->limit - (int)json_array_size(l->found), 50), until = MIN(all, from + room);

    l->lost |= !keys;
    g_strlcpy(l->next, cursor, sizeof l->next);
    l->at = from;
    l->full_at = 0;
    l->page_left = until < all;
    l->open = 1;
    l->looked += 10 + (int)(until - from); /* a page without messages costs too */
    for (int64_t i = from; i < until; i++) {
        const char *id = strrchr(reply_text(keys, (size_t)i), ':');
        l->open++;
        store_show(l->store, id ? id + 1 : "", SHOW_BRIEF, on_listed, l);
    }
    listing_page_done(l);
}

static void next_page(struct listing *l)
{
    if (l->ids) {
        show_ids(l);
        return;
    }
    g_autofree char *match = store_key(l->store, STORE_MESSAGES);
    scan_page(l->store->nodes, match, l->scan, on_scanned, l);
}

void store_list(struct store *s, const struct message_filter *f, int limit, const char *cursor, left_fn *left,
                json_fn *fn, void *arg)
{
    struct listing *l = g_new0(struct listing, 1);
    const char *dot = cursor ? strchr(cursor, '.') : NULL, *const given[] = { f->status, f->category, f->template,
                                                                              f->source, f->tag };

    *l = (struct listing){ .store = s, .limit = limit, .found = json_array(), .left = left, .fn = fn, .arg = arg };
    for (size_t i = 0; i < G_N_ELEMENTS(given); i++)
        l->wanted[i] = g_strdup(given[i]);
    l->filter = (struct message_filter){ .status = l->wanted[0],
                                         .category = l->wanted[1],
                                         .template = l->wanted[2],
                                         .source = l->wanted[3],
                                         .tag = l->wanted[4] };
    g_strlcpy(l->scan, "0", sizeof l->scan);
    if (dot) {
        g_strlcpy(l->scan, cursor, MIN(sizeof l->scan, (size_t)(dot - cursor) + 1));
        l->skip = CLAMP(g_ascii_strtoll(dot + 1, NULL, 10), 0, 1000000);
    }
    if (f->recipient) {
        struct args *a = args_new();
        args_text(a, "mids");
        args_text(a, f->recipient);
        args_int(a, 10000);
        l->ids = json_array();
        store_script(s, store_partition(s, f->recipient), "person", a, on_person_mids, l);
        return;
    }
    next_page(l);
}
