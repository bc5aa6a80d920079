#include "channels/mail/pool.h"

#include <assert.h>
#include <ev.h>
#include <glib.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "channels/mail/board.h"
#include "channels/mail/process.h"
#include "channels/mail/wire.h"

#define QUICK_S     0.005 /* from hand to reply */
#define SLOW_S      0.020
#define QUICK_MAILS 16
#define PATIENCE_S  0.25 /* what is committed waits no longer behind another mail */
#define ZOMBIE_S    60.0 /* a session that has not noticed by then is not going to */

/*
 *   agent: one process, with a session for each slot
 *   slot:  one mail in hand, and those that have been written behind it
 *
 *   send ──▶ hand ──asked──▶ answer ──go──▶ result ──▶ done; the next one is in hand
 *
 * While a relay takes a mail in a few milliseconds, it is given mails that are
 * committed already (provider.at_once), more of them, and nobody waits for an
 * answer: what asks and answers is dearer there than what carries.
 *
 * A session that overstays loses its mail, and its socket is shut; until it has
 * noticed, its slot is a zombie.  An agent that dies ends all the mails it had; the
 * next send starts another.
 */
struct ticket {
    struct slot *slot;
    const struct parcel parcel; /* its texts are borrowed until done() */
    uint64_t number;            /* on the board; 0: it is not there, for `fault` */
    const char *fault;
    bool asked;   /* events.ask has run, or need not */
    double began; /* loop time at which it came into hand */
    struct parcel_events events;
};

struct slot {
    struct mail_provider *home;
    int session;
    enum smtp_stage stage;
    uint64_t last;   /* number of the mail that was put last */
    uint64_t zombie; /* that of one that was given up while the session had it, 0: none */
    double zombie_since;
    bool wake;                          /* it is to be told at the end of this turn of the loop */
    struct ticket *mails[BOARD_PLACES]; /* the first one is in hand */
    int count;
    ev_timer deadline;
};

struct mail_provider {
    struct provider head;
    struct ev_loop *loop;
    struct email_settings s;
    char *settings_json;
    pid_t pid; /* of the agent, 0: none */
    int socket, bell;
    struct board *board;
    ev_io gone, news;
    int n_slots, quick; /* quick: mails in a row that took a moment */
    struct slot *slots;
    ev_timer patience; /* while mails wait behind others, or a session is to end */
    ev_prepare turn;   /* what was put in this turn of the loop wakes a session once */
};

/* ---------------------------------------------------------------- the agent */

/* What it has said stands on the board until agent_end. */
static void agent_kill(struct mail_provider *m)
{
    if (m->pid <= 0)
        return;
    ev_io_stop(m->loop, &m->gone);
    agent_process_kill(m->pid, m->socket);
    m->pid = 0;
    m->socket = -1;
}

static void agent_end(struct mail_provider *m)
{
    agent_kill(m);
    board_close(m->board);
    m->board = NULL;
    for (int i = 0; i < m->n_slots; i++) {
        m->slots[i].last = m->slots[i].zombie = 0;
        m->slots[i].stage = STAGE_CONNECT;
    }
}

static bool agent_begin(struct mail_provider *m)
{
    m->board = board_new(m->n_slots, m->bell);
    m->pid = m->board ? agent_process_start(board_fd(m->board), m->bell, &m->socket) : 0;
    if (m->pid <= 0) {
        board_close(m->board);
        m->board = NULL;
        return false;
    }
    ev_io_set(&m->gone, m->socket, EV_READ);
    ev_io_start(m->loop, &m->gone);
    wire_put(m->socket, FRAME_SETTINGS, m->settings_json, strlen(m->settings_json));
    return true;
}

static void set_deadline(struct slot *s, int64_t ms)
{
    s->deadline.repeat = (double)ms / 1000;
    ev_timer_again(s->home->loop, &s->deadline);
}

/* ---------------------------------------------------------------- results */

/* Its mail is in hand; one that the board does not take ends at once, told from the loop. */
static void begin(struct slot *s)
{
    int64_t time = s->home->s.connect_timeout_ms + s->home->s.send_timeout_ms;

    s->mails[0]->began = ev_now(s->home->loop);
    set_deadline(s, s->mails[0]->number ? time : 1);
}

static void ticket_done(struct ticket *t, const struct outcome *o)
{
    struct parcel_events events = t->events;

    g_free(t);
    events.done(events.arg, o);
}

/* Ends the mail in hand; the next one comes into hand. */
static void finish(struct slot *s, const struct outcome *o)
{
    struct ticket *t = s->mails[0];

    s->count--;
    for (int i = 0; i < s->count; i++)
        s->mails[i] = s->mails[i + 1];
    if (s->count)
        begin(s);
    else
        ev_timer_stop(s->home->loop, &s->deadline);
    ticket_done(t, o);
}

static void set_quick(struct mail_provider *m, int mails)
{
    m->quick = mails;
    m->head.at_once = mails >= QUICK_MAILS;
    m->head.depth = m->head.at_once ? BOARD_PLACES : 2;
}

/* Many in a row that took a moment make a relay quick, one that took long ends that. */
static void keep_pace(struct mail_provider *m, const struct ticket *t, const struct outcome *o)
{
    double took = ev_now(m->loop) - t->began;

    if (o->kind == OUTCOME_FAULT || o->kind == OUTCOME_UNKNOWN || took > SLOW_S)
        set_quick(m, 0);
    else if (took < QUICK_S && m->quick < QUICK_MAILS)
        set_quick(m, m->quick + 1);
}

/* What the last milestone says of the mail in hand, when no more comes; its final dot is not sent after this. */
static struct outcome judge(const struct slot *s, const char *why)
{
    static const char *const at[] = { "while connecting", "before the log-in was done", "before the final dot" };
    uint64_t number = s->mails[0]->number;
    bool dotted = number && !board_forbid(s->home->board, s->session, number);
    struct outcome o = { .kind = dotted ? OUTCOME_UNKNOWN : s->stage == STAGE_MAIL ? OUTCOME_DEFERRED : OUTCOME_FAULT };

    snprintf(o.detail, sizeof o.detail, "%s %s", why, dotted ? "after the final dot" : at[s->stage]);
    return o;
}

static const struct outcome untouched = { .kind = OUTCOME_RETURNED, .detail = "its connection ended before its turn" };

static void on_stage(struct slot *s, enum smtp_stage stage)
{
    if (s->stage == stage)
        return;
    s->stage = stage;
    if (s->count && !s->mails[0]->asked)
        set_deadline(s, stage == STAGE_MAIL ? s->home->s.send_timeout_ms : s->home->s.connect_timeout_ms);
}

static void tell(struct slot *s, uint64_t number, bool go)
{
    board_answer(s->home->board, s->session, number, go);
    s->wake = true;
}

/* What was given up: nothing is sent of it any more, and when the session has noticed, the slot is free. */
static enum board_news watch_zombie(struct slot *s)
{
    struct outcome nobody_asks;

    if (board_asked(s->home->board, s->session) == s->zombie)
        tell(s, s->zombie, false);
    enum board_news news = board_result(s->home->board, s->session, s->zombie, &nobody_asks);
    if (news == BOARD_RESULT)
        s->zombie = 0;
    return news;
}

/* The mail in hand, when it is on the board. */
static struct ticket *hand_of(const struct slot *s)
{
    return s->count && s->home->board && s->mails[0]->number ? s->mails[0] : NULL;
}

static void take_result(struct slot *s, struct outcome *o)
{
    if (o->kind == OUTCOME_SENT)
        g_strlcpy(o->ref, o->detail, sizeof o->ref);
    keep_pace(s->home, s->mails[0], o);
    finish(s, o);
}

static void take_question(struct slot *s)
{
    struct ticket *t = s->mails[0];

    if (t->asked || board_asked(s->home->board, s->session) != t->number)
        return;
    ev_timer_stop(s->home->loop, &s->deadline); /* the answer is ours to give */
    t->asked = true;
    t->events.ask(t->events.arg);
}

/* All that a session has said.  False: it made no sense. */
static bool take_news(struct slot *s)
{
    struct mail_provider *m = s->home;
    struct outcome o;
    enum board_news news = BOARD_RESULT;

    if (s->zombie && watch_zombie(s) == BOARD_NONSENSE)
        return false;
    on_stage(s, board_stage(m->board, s->session));
    while (hand_of(s) && news == BOARD_RESULT)
        if ((news = board_result(m->board, s->session, s->mails[0]->number, &o)) == BOARD_RESULT)
            take_result(s, &o);
    if (hand_of(s) && news == BOARD_NOTHING)
        take_question(s);
    return news != BOARD_NONSENSE;
}

static void agent_lost(struct mail_provider *m, const char *why);

static void on_news(struct ev_loop *loop, ev_io *w, int revents)
{
    struct mail_provider *m = w->data;
    uint64_t rings;
    bool sound = true;

    if (read(m->bell, &rings, sizeof rings) < 0 || !m->board)
        return;
    board_listen(m->board);
    for (int i = 0; i < m->n_slots && sound && m->board; i++)
        sound = take_news(&m->slots[i]);
    if (!sound)
        agent_lost(m, "the mail agent spoke nonsense");
}

/* ---------------------------------------------------------------- the end of a session, or of all */

/* The mails of a slot, taken away: what becomes of the first, and their tickets, which are told when nothing is in the
 * way. */
struct ended {
    struct ticket *mails[BOARD_PLACES];
    int count;
    struct outcome outcome;
};

static struct ended take_away(struct slot *s, const char *why)
{
    struct ended e = { .count = s->count };

    memcpy(e.mails, s->mails, sizeof e.mails);
    if (s->count)
        e.outcome = judge(s, why);
    ev_timer_stop(s->home->loop, &s->deadline);
    s->count = 0;
    return e;
}

static void tell_ended(const struct ended *e)
{
    for (int i = 0; i < e->count; i++)
        ticket_done(e->mails[i], i ? &untouched : &e->outcome);
}

/* What it had said before counts. */
static void agent_lost(struct mail_provider *m, const char *why)
{
    g_autofree struct ended *all = g_new0(struct ended, m->n_slots);

    agent_kill(m);
    set_quick(m, 0);
    for (int i = 0; i < m->n_slots; i++)
        take_news(&m->slots[i]);
    for (int i = 0; i < m->n_slots; i++)
        all[i] = take_away(&m->slots[i], why);
    agent_end(m);
    for (int i = 0; i < m->n_slots; i++)
        tell_ended(&all[i]);
}

static void on_gone(struct ev_loop *loop, ev_io *w, int revents)
{
    agent_lost(w->data, "the mail agent ended");
}

/* Those behind the one in hand, the last one first.  False: the session has begun with one of them, and all stay. */
static bool retract_waiting(struct slot *s)
{
    struct board *b = s->home->board;
    int i = s->count - 1;

    while (i > 0 && (!s->mails[i]->number || board_retract(b, s->session, s->mails[i]->number)))
        i--;
    for (int k = i + 1; i > 0 && k < s->count; k++)
        if (s->mails[k]->number)
            s->wake |= board_put(b, s->session, s->mails[k]->number, &s->mails[k]->parcel);
    return i <= 0;
}

static void be_patient(struct mail_provider *m)
{
    if (!ev_is_active(&m->patience))
        ev_timer_again(m->loop, &m->patience);
}

/* Mails that are committed and wait behind one that takes long: nobody would look at them again, so they go back. */
static void release_waiting(struct slot *s)
{
    struct ticket *waiting[BOARD_PLACES];
    int count = s->count - 1;

    if (!s->mails[1]->parcel.committed || ev_now(s->home->loop) - s->mails[0]->began < PATIENCE_S ||
        !retract_waiting(s))
        return;
    for (int i = 0; i < count; i++)
        waiting[i] = s->mails[i + 1];
    s->count = 1;
    if (s->mails[0]->number)
        s->last = s->mails[0]->number;
    set_quick(s->home, 0);
    for (int i = 0; i < count; i++)
        ticket_done(waiting[i], &untouched);
}

static void on_patience(struct ev_loop *loop, ev_timer *w, int revents)
{
    struct mail_provider *m = w->data;
    bool more = false;

    for (int i = 0; i < m->n_slots && m->board; i++) {
        struct slot *s = &m->slots[i];
        if (s->count > 1)
            release_waiting(s);
        if (s->zombie && ev_now(loop) - s->zombie_since > ZOMBIE_S) {
            agent_lost(m, "a session of the mail agent did not end");
            break;
        }
        more |= s->count > 1 || s->zombie;
    }
    if (!more || !m->board)
        ev_timer_stop(loop, w);
}

/* Its session keeps the mail in hand until it has noticed that its socket is shut; those behind it it has not seen. */
static void give_up(struct slot *s)
{
    struct mail_provider *m = s->home;
    struct smtp_end end = { (uint32_t)s->session, s->mails[0]->number };

    struct ended e = take_away(s, "no answer in time");
    if (board_retract(m->board, s->session, end.number))
        end.number--; /* it still is busy with the one before */
    else
        s->zombie = end.number;
    wire_put(m->socket, FRAME_END, &end, sizeof end);
    s->last = end.number;
    s->zombie_since = ev_now(m->loop);
    s->stage = STAGE_CONNECT;
    set_quick(m, 0);
    be_patient(m);
    tell_ended(&e);
}

/* Nothing has come for the mail in hand; what was committed beforehand may have got to its reply meanwhile. */
static void overdue(struct slot *s)
{
    struct ticket *t = s->mails[0];

    if (!t->asked && board_dotted(s->home->board, s->session, t->number)) {
        t->asked = true;
        set_deadline(s, s->home->s.reply_timeout_ms);
    } else if (retract_waiting(s)) {
        give_up(s);
    } else {
        set_deadline(s, 1); /* what it says of this one is about to come */
    }
}

/* It is not on the board: too large, or there was no agent. */
static void finish_unsent(struct slot *s)
{
    const char *fault = s->mails[0]->fault;
    struct outcome o = { .kind = fault ? OUTCOME_FAULT : OUTCOME_REFUSED };

    g_strlcpy(o.detail, fault ? fault : "the mail is larger than 8 MiB", sizeof o.detail);
    finish(s, &o);
}

static void on_deadline(struct ev_loop *loop, ev_timer *w, int revents)
{
    struct slot *s = w->data;
    uint64_t number = s->count ? s->mails[0]->number : 0;
    bool asked = s->count && s->mails[0]->asked;

    ev_timer_stop(loop, w);
    if (!s->count)
        return;
    if (!number)
        finish_unsent(s);
    else if (!take_news(s)) /* it may have ended this instant */
        agent_lost(s->home, "the mail agent spoke nonsense");
    else if (s->count && s->mails[0]->number == number && s->mails[0]->asked == asked)
        overdue(s);
}

static void on_turn(struct ev_loop *loop, ev_prepare *w, int revents)
{
    struct mail_provider *m = w->data;

    for (int i = 0; i < m->n_slots && m->board; i++)
        if (m->slots[i].wake) {
            m->slots[i].wake = false;
            board_wake(m->board, i);
        }
}

/* ---------------------------------------------------------------- the provider */

static bool is_open(const struct slot *s)
{
    return s->home->pid > 0 && !s->zombie && s->stage == STAGE_MAIL;
}

/* How many slots more may become busy, as many as there are without a limit. */
static int spare(const struct mail_provider *m)
{
    int busy = 0;

    for (int i = 0; i < m->n_slots; i++)
        busy += m->slots[i].count || m->slots[i].zombie || is_open(&m->slots[i]);
    return m->head.limit ? MAX(0, m->head.limit - busy) : m->n_slots;
}

/* Mails that a slot would take: one into an empty hand, others behind it.  Whoever is not busy needs a spare place. */
static int slot_room(const struct slot *s, int *spare)
{
    if (s->zombie || (!s->count && !is_open(s) && (*spare)-- <= 0))
        return 0;
    if (s->count && s->stage != STAGE_MAIL)
        return 0;
    return MAX(0, (s->stage == STAGE_MAIL ? s->home->head.depth : 1) - s->count);
}

static int mail_room(const struct provider *p)
{
    const struct mail_provider *m = (const struct mail_provider *)p;
    int room = 0, left = spare(m);

    for (int i = 0; i < m->n_slots; i++)
        room += slot_room(&m->slots[i], &left);
    return room;
}

/* The slot that has the fewest mails, rather one whose session is open. */
static struct slot *free_slot(struct mail_provider *m)
{
    struct slot *best = NULL;
    int left = spare(m);

    for (int i = 0; i < m->n_slots; i++) {
        struct slot *s = &m->slots[i];
        int enough = MAX(left, 0); /* each is asked by itself here */
        if (slot_room(s, &enough) > 0 &&
            (!best || is_open(s) > is_open(best) || (is_open(s) == is_open(best) && s->count < best->count)))
            best = s;
    }
    return best;
}

static void put(struct ticket *t)
{
    struct slot *s = t->slot;
    const struct parcel *p = &t->parcel;

    if (strlen(p->from) + strlen(p->to) + p->len + 3 > BOARD_MAIL_MOST)
        return;
    bool free = board_put(s->home->board, s->session, s->last + 1, p);
    assert(free);
    (void)free;
    t->number = ++s->last;
    s->wake = true;
}

static struct ticket *mail_send(struct provider *p, const struct parcel *parcel, struct parcel_events events)
{
    struct mail_provider *m = (struct mail_provider *)p;
    struct slot *s = free_slot(m);
    struct ticket init = { .slot = s, .parcel = *parcel, .events = events }, *t;

    if (!s)
        return NULL;
    t = g_memdup2(&init, sizeof init);
    if (m->board || agent_begin(m))
        put(t);
    else
        t->fault = "the mail agent cannot be started";
    if (s->count)
        be_patient(m);
    s->mails[s->count++] = t;
    if (s->count == 1)
        begin(s);
    return t;
}

static void mail_answer(struct ticket *t, bool go)
{
    struct slot *s = t->slot;

    tell(s, t->number, go);
    set_deadline(s, go ? s->home->s.reply_timeout_ms : s->home->s.connect_timeout_ms);
}

static int mail_open(const struct provider *p)
{
    const struct mail_provider *m = (const struct mail_provider *)p;
    int open = 0;

    for (int i = 0; i < m->n_slots; i++)
        open += is_open(&m->slots[i]);
    return open;
}

static void mail_close(struct provider *p)
{
    struct mail_provider *m = (struct mail_provider *)p;

    ev_prepare_stop(m->loop, &m->turn);
    ev_io_stop(m->loop, &m->news);
    ev_timer_stop(m->loop, &m->patience);
    agent_end(m);
    for (int i = 0; i < m->n_slots; i++) {
        ev_timer_stop(m->loop, &m->slots[i].deadline);
        for (int k = 0; k < m->slots[i].count; k++)
            g_free(m->slots[i].mails[k]);
    }
    close(m->bell);
    g_free(m->slots);
    free(m->settings_json);
    g_free(m);
}

static const struct provider_type mail_type = { "email", mail_room, mail_send, mail_answer, mail_open, mail_close };

static void watch(struct mail_provider *m)
{
    m->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ev_io_init(&m->news, on_news, m->bell, EV_READ);
    ev_init(&m->gone, on_gone);
    ev_prepare_init(&m->turn, on_turn);
    ev_init(&m->patience, on_patience);
    m->patience.repeat = PATIENCE_S / 2;
    m->news.data = m->gone.data = m->turn.data = m->patience.data = m;
    ev_set_priority(&m->turn, EV_MINPRI); /* after those who fill the slots */
    ev_io_start(m->loop, &m->news);
    ev_prepare_start(m->loop, &m->turn);
}

struct provider *email_open(struct ev_loop *loop, const struct email_settings *settings)
{
    struct mail_provider *m = g_new0(struct mail_provider, 1);
    const struct email_settings *s = settings;

    m->head.type = &mail_type;
    m->head.depth = 2;
    g_strlcpy(m->head.name, s->name, sizeof m->head.name);
    m->loop = loop;
    m->s = *s;
    m->s.name = m->s.host = m->s.user = m->s.password = m->s.ca_file = m->s.hello =
        NULL; /* they have gone into the text */
    json_auto_t *json = json_pack("{s:s, s:i, s:i, s:i, s:s?, s:s?, s:s?, s:s?}", "host", s->host, "port", s->port,
                                  "tls", (int)s->tls, "sessions", s->connections, "user", s->user, "password",
                                  s->password, "ca_file", s->ca_file, "hello", s->hello);
    m->settings_json = json_dumps(json, JSON_COMPACT);
    m->socket = -1;
    m->n_slots = s->connections;
    m->slots = g_new0(struct slot, m->n_slots);
    for (int i = 0; i < m->n_slots; i++) {
        struct slot *slot = &m->slots[i];
        slot->home = m;
        slot->session = i;
        ev_init(&slot->deadline, on_deadline);
        slot->deadline.data = slot;
    }
    watch(m);
    return &m->head;
}
