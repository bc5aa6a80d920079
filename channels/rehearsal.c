#include "channels/rehearsal.h"

#include <ev.h>
#include <glib.h>

#define ROOM 256

struct rehearsal {
    struct provider head;
    struct provider_type type;
    struct ev_loop *loop;
    GQueue tickets; /* in order */
    ev_timer next;
    rehearsal_outcome_fn *fn;
    void *arg;
};

struct ticket {
    struct rehearsal *home;
    struct outcome outcome;
    struct parcel_events events;
    bool asked, may_go, stopped;
};

/* The first of them goes a step on: it is asked for, or done. */
static void step(struct rehearsal *r, struct ticket *t)
{
    if (!t->may_go && !t->stopped) {
        if (!t->asked) {
            t->asked = true;
            t->events.ask(t->events.arg);
        }
        return;
    }
    if (t->stopped)
        t->outcome.kind = OUTCOME_STOPPED;
    g_queue_remove(&r->tickets, t);
    t->events.done(t->events.arg, &t->outcome);
    g_free(t);
}

static void on_next(struct ev_loop *loop, ev_timer *w, int revents)
{
    struct rehearsal *r = w->data;
    GList *all = g_list_copy(r->tickets.head);

    ev_timer_stop(loop, w);
    for (GList *l = all; l; l = l->next)
        step(r, l->data);
    g_list_free(all);
}

static void go_on_soon(struct rehearsal *r)
{
    if (!ev_is_active(&r->next))
        ev_timer_start(r->loop, &r->next);
}

static int rehearsal_room(const struct provider *head)
{
    return ROOM - (int)((const struct rehearsal *)head)->tickets.length;
}

static struct ticket *rehearsal_send(struct provider *head, const struct parcel *parcel, struct parcel_events events)
{
    struct rehearsal *r = (struct rehearsal *)head;
    struct ticket *t;

    if (rehearsal_room(head) <= 0)
        return NULL;
    t = g_new0(struct ticket, 1);
    *t = (struct ticket){ .home = r,
                          .events = events,
                          .may_go = parcel->committed,
                          .outcome = { .kind = OUTCOME_SENT, .detail = "rehearsed" } };
    if (r->fn)
        r->fn(r->arg, r->type.channel, parcel, &t->outcome);
    g_queue_push_tail(&r->tickets, t);
    go_on_soon(r);
    return t;
}

static void rehearsal_answer(struct ticket *t, bool go)
{
    t->may_go = go;
    t->stopped = !go;
    go_on_soon(t->home);
}

static void rehearsal_close(struct provider *head)
{
    struct rehearsal *r = (struct rehearsal *)head;

    ev_timer_stop(r->loop, &r->next);
    g_queue_clear_full(&r->tickets, g_free);
    g_free(r);
}

struct provider *rehearsal_open(struct ev_loop *loop, const char *channel, rehearsal_outcome_fn *fn, void *arg)
{
    struct rehearsal *r = g_new0(struct rehearsal, 1);

    r->type =
        (struct provider_type){ channel, rehearsal_room, rehearsal_send, rehearsal_answer, NULL, rehearsal_close };
    r->head.type = &r->type;
    g_strlcpy(r->head.name, "rehearsal", sizeof r->head.name);
    r->head.at_once = true;
    r->head.depth = ROOM;
    r->loop = loop;
    r->fn = fn;
    r->arg = arg;
    ev_timer_init(&r->next, on_next, 0, 0);
    r->next.data = r;
    return &r->head;
}
