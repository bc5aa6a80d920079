#include "dispatcher/people/turn.h"

#include <assert.h>
#include <glib.h>

struct waiting {
    turn_fn *fn;
    void *arg;
};

/* The head of a queue has the turn. */
static void queue_free(void *queue)
{
    g_queue_free_full(queue, g_free);
}

static struct waiting *waiting_new(turn_fn *fn, void *arg)
{
    struct waiting *w = g_new0(struct waiting, 1);
    *w = (struct waiting){ fn, arg };
    return w;
}

void turn_take(struct service *s, const char *recipient, turn_fn *fn, void *arg)
{
    GQueue *queue;

    if (!s->turns)
        s->turns = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, queue_free);
    queue = g_hash_table_lookup(s->turns, recipient);
    if (!queue)
        g_hash_table_insert(s->turns, g_strdup(recipient), queue = g_queue_new());
    g_queue_push_tail(queue, waiting_new(fn, arg));
    if (queue->length == 1)
        fn(arg);
}

void turn_end(struct service *s, const char *recipient)
{
    GQueue *queue = s->turns ? g_hash_table_lookup(s->turns, recipient) : NULL;
    struct waiting *next;

    assert(queue && queue->length);
    g_free(g_queue_pop_head(queue));
    if ((next = g_queue_peek_head(queue)))
        next->fn(next->arg);
    else
        g_hash_table_remove(s->turns, recipient);
}
