#include "dispatcher/store/batches.h"
#include "dispatcher/store/pipeline.h"

#include <assert.h>
#include <ev.h>
#include <glib.h>

#define BATCH_MOST 64

struct batches {
    struct store *store;
    struct ev_loop *loop;
    const struct batch_kind *kinds;
    int count;
    void *arg;
    GPtrArray **waiting; /* by kind and partition; NULL for nobody */
    ev_timer *timers;    /* by kind */
    ev_prepare turn_end;
    bool refusing;
};

/* One that was asked; it outlives its batches' waiting lists, not the store. */
struct asked {
    struct batches *batches;
    int kind, partition;
    GPtrArray *members;
};

static GPtrArray **waiting_at(struct batches *b, int kind, int partition)
{
    assert(kind >= 0 && kind < b->count && partition >= 0 && partition < b->store->partitions);
    return &b->waiting[kind * b->store->partitions + partition];
}

static void ask(struct batches *, int kind, int partition, GPtrArray *members);

static void ask_singly(struct asked *a)
{
    for (guint i = 0; i < a->members->len; i++) {
        GPtrArray *one = g_ptr_array_new();
        g_ptr_array_add(one, a->members->pdata[i]);
        ask(a->batches, a->kind, a->partition, one);
    }
}

static void on_answer(void *arg, const redisReply *reply)
{
    struct asked *a = arg;
    const struct batch_kind *kind = &a->batches->kinds[a->kind];

    if (!reply && script_failed() && a->members->len > 1)
        ask_singly(a);
    else
        for (guint i = 0; i < a->members->len; i++)
            kind->answered(a->members->pdata[i], reply, i);
    g_ptr_array_unref(a->members);
    g_free(a);
}

static void ask(struct batches *b, int kind, int partition, GPtrArray *members)
{
    struct batch *batch = b->kinds[kind].make(b->arg);
    struct asked *a = g_new0(struct asked, 1);

    for (guint i = 0; i < members->len; i++)
        b->kinds[kind].add(batch, members->pdata[i]);
    *a = (struct asked){ b, kind, partition, members };
    batch_run(b->store, partition, batch, on_answer, a);
}

static void run_one(struct batches *b, int kind, int partition)
{
    GPtrArray **waiting = waiting_at(b, kind, partition), *members = *waiting;

    *waiting = NULL;
    if (members)
        ask(b, kind, partition, members);
}

static void run_kind(struct batches *b, int kind)
{
    for (int i = 0; i < b->store->partitions; i++)
        run_one(b, kind, i);
}

static void on_delay(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct batches *b = timer->data;

    ev_timer_stop(loop, timer);
    run_kind(b, (int)(timer - b->timers));
}

static void on_turn_end(struct ev_loop *loop, ev_prepare *w, int revents)
{
    struct batches *b = w->data;

    for (int i = 0; i < b->count; i++)
        if (b->kinds[i].delay_s == BATCH_TURN)
            run_kind(b, i);
}

/* Behind all who join in this turn, before the store says it (redis.c). */
static void run_each_turn(struct batches *b)
{
    ev_prepare_init(&b->turn_end, on_turn_end);
    ev_set_priority(&b->turn_end, EV_MINPRI + 1);
    b->turn_end.data = b;
    ev_prepare_start(b->loop, &b->turn_end);
}

struct batches *batches_new(struct store *store, struct ev_loop *loop, const struct batch_kind *kinds, int count,
                            void *arg)
{
    struct batches *b = g_new0(struct batches, 1);

    *b = (struct batches){ .store = store, .loop = loop, .kinds = kinds, .count = count, .arg = arg };
    b->waiting = g_new0(GPtrArray *, count * store->partitions);
    b->timers = g_new0(ev_timer, count);
    for (int i = 0; i < count; i++) {
        ev_timer_init(&b->timers[i], on_delay, 0, MAX(kinds[i].delay_s, 0));
        b->timers[i].data = b;
        if (kinds[i].delay_s == BATCH_TURN && !ev_is_active(&b->turn_end))
            run_each_turn(b);
    }
    return b;
}

void batches_refuse(struct batches *b)
{
    b->refusing = true;
    for (int i = 0; i < b->count * b->store->partitions; i++) {
        GPtrArray *members = b->waiting[i];
        b->waiting[i] = NULL;
        for (guint m = 0; members && m < members->len; m++)
            b->kinds[i / b->store->partitions].answered(members->pdata[m], NULL, 0);
        if (members)
            g_ptr_array_unref(members);
    }
}

void batches_free(struct batches *b)
{
    if (!b)
        return;
    if (ev_is_active(&b->turn_end))
        ev_prepare_stop(b->loop, &b->turn_end);
    for (int i = 0; i < b->count; i++)
        ev_timer_stop(b->loop, &b->timers[i]);
    for (int i = 0; i < b->count * b->store->partitions; i++)
        if (b->waiting[i])
            g_ptr_array_unref(b->waiting[i]);
    g_free(b->waiting);
    g_free(b->timers);
    g_free(b);
}

const struct store *batches_store(const struct batches *b)
{
    return b->store;
}

void batch_join(struct batches *b, int kind, int partition, void *member)
{
    GPtrArray **waiting = waiting_at(b, kind, partition);

    if (b->refusing) {
        b->kinds[kind].answered(member, NULL, 0);
        return;
    }
    if (!*waiting)
        *waiting = g_ptr_array_new();
    g_ptr_array_add(*waiting, member);
    if ((*waiting)->len >= BATCH_MOST)
        run_one(b, kind, partition);
    else if (b->kinds[kind].delay_s > 0 && !ev_is_active(&b->timers[kind]))
        ev_timer_again(b->loop, &b->timers[kind]);
}

void batches_run(struct batches *b)
{
    for (int i = 0; i < b->count; i++)
        if (b->kinds[i].delay_s == 0)
            run_kind(b, i);
}

void batches_flush(struct batches *b)
{
    for (int i = 0; i < b->count; i++)
        run_kind(b, i);
}
