#include "dispatcher/journeys/everybody.h"

#include <glib.h>

#include "dispatcher/store/counts.h"

#define AT_A_TIME 64

struct everybody {
    struct service *service;
    GHashTable *seen;
    GQueue waiting;
    char *cursor; /* NULL before the first page */
    int open, most;
    bool lost, reading, giving;
    struct everybody_fns fns;
    void *arg;
};

static void go_on(struct everybody *e);

static void on_page(void *arg, bool ok, const char *cursor, json_t *people)
{
    struct everybody *e = arg;
    json_t *one;
    size_t i;

    e->reading = false;
    e->lost |= !ok;
    g_free(e->cursor);
    e->cursor = g_strdup(ok ? cursor : "0");
    json_array_foreach (people, i, one)
        if ((!e->most || (int)g_hash_table_size(e->seen) < e->most) &&
            g_hash_table_add(e->seen, g_strdup(json_string_value(one))))
            g_queue_push_tail(&e->waiting, g_strdup(json_string_value(one)));
    go_on(e);
}

static void end(struct everybody *e)
{
    e->fns.end(e->arg, !e->lost);
    g_hash_table_unref(e->seen);
    g_queue_clear_full(&e->waiting, g_free);
    g_free(e->cursor);
    g_free(e);
}

static bool is_over(const struct everybody *e)
{
    bool enough = e->most && (int)g_hash_table_size(e->seen) >= e->most;
    return e->lost || enough || (e->cursor && g_str_equal(e->cursor, "0"));
}

/* Who is done at once does not come in here again. */
static void give(struct everybody *e)
{
    e->giving = true;
    while (!e->lost && e->open < AT_A_TIME && e->waiting.length) {
        g_autofree char *recipient = g_queue_pop_head(&e->waiting);
        e->open++;
        e->fns.one(e->arg, e, recipient);
    }
    e->giving = false;
}

static void go_on(struct everybody *e)
{
    if (e->giving)
        return;
    give(e);
    if (e->reading || (!e->lost && e->waiting.length))
        return;
    if (!is_over(e)) {
        e->reading = true;
        store_people_page(e->service->store, e->cursor ? e->cursor : "0", on_page, e);
    } else if (e->open == 0) {
        end(e);
    }
}

void everybody_walk(struct service *s, int most, struct everybody_fns fns, void *arg)
{
    struct everybody *e = g_new0(struct everybody, 1);

    *e = (struct everybody){ .service = s,
                             .seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
                             .waiting = G_QUEUE_INIT,
                             .most = most,
                             .fns = fns,
                             .arg = arg };
    go_on(e);
}

void everybody_done(struct everybody *e, bool ok)
{
    e->lost |= !ok;
    e->open--;
    go_on(e);
}
