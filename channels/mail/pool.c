#include "channels/mail/pool.h"

#include <assert.h>
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <glib.h>
#include <jansson.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "channels/mail/wire.h"

/*
 *   slot:  agent process, one mail in hand, and one more that has been written ahead
 *
 *   send ──▶ hand ──ASK──▶ answer ──GO──▶ RESULT ──▶ done; the next one is in hand
 *
 * An agent that dies or overstays ends both its mails; the next send starts another.
 */
struct ticket {
    struct slot *slot;
    const struct parcel parcel; /* its texts are borrowed until done() */
    bool written; /* to the agent; one ahead follows the answer of the one in hand, which the agent waits for */
    bool asked;   /* events.ask has run */
    bool went;    /* answer(go) was given */
    struct parcel_events events;
};

struct slot {
    struct mail_provider *home;
    pid_t pid;
    int fd;
    enum smtp_stage stage;
    struct ticket *hand, *ahead;
    ev_io readable, writable;
    ev_timer deadline;
    GByteArray *in;
    GString *out; /* what the socket did not take at once */
};

struct mail_provider {
    struct provider head;
    struct ev_loop *loop;
    struct email_settings s;
    char *settings_json;
    int n_slots;
    struct slot *slots;
    ev_prepare turn; /* what was put in this turn of the loop leaves in one write */
};

/* Of the environment only what a client of TLS and of names needs: the rest may hold secrets. */
static char **agent_environment(void)
{
    static char *kept[16];
    static const char *const names[] = { "PATH",          "LANG",         "LC_ALL",      "TZ",
                                         "SSL_CERT_FILE", "SSL_CERT_DIR", "RES_OPTIONS", "ASAN_OPTIONS",
                                         "UBSAN_OPTIONS", "TSAN_OPTIONS", "LSAN_OPTIONS" };
    size_t n = 0;

    for (size_t i = 0; !kept[0] && i < G_N_ELEMENTS(names); i++)
        if (getenv(names[i]))
            kept[n++] = g_strdup_printf("%s=%s", names[i], getenv(names[i]));
    if (!kept[0])
        kept[0] = g_strdup("PATH=/usr/bin:/bin");
    return kept;
}

/* ---------------------------------------------------------------- agents */

static void slot_close(struct slot *s)
{
    ev_io_stop(s->home->loop, &s->readable);
    ev_io_stop(s->home->loop, &s->writable);
    ev_timer_stop(s->home->loop, &s->deadline);
    if (s->pid <= 0)
        return;
    close(s->fd);
    kill(s->pid, SIGKILL);
    while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    s->pid = 0;
    s->fd = -1;
    g_byte_array_set_size(s->in, 0);
    g_string_truncate(s->out, 0);
}

static bool slot_spawn(struct slot *s)
{
    posix_spawn_file_actions_t actions;
    sigset_t none;
    posix_spawnattr_t attr;
    int pair[2];
    char parent[16];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return false;
    snprintf(parent, sizeof parent, "%d", getpid());
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, pair[1], SMTP_AGENT_FD);
    posix_spawn_file_actions_addclosefrom_np(&actions, SMTP_AGENT_FD + 1); /* libraries open without close-on-exec */
    if (pair[1] == SMTP_AGENT_FD) /* dup2 onto itself would keep close-on-exec */
        fcntl(pair[1], F_SETFD, 0);
    posix_spawnattr_init(&attr);
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
    int error = posix_spawn(&s->pid, "/proc/self/exe", &actions, &attr,
                            (char *[]){ "tidings", "smtp-agent", parent, NULL }, agent_environment());
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attr);
    close(pair[1]);
    if (error) {
        close(pair[0]);
        s->pid = 0;
        return false;
    }
    s->fd = pair[0];
    fcntl(s->fd, F_SETFL, O_NONBLOCK);
    ev_io_set(&s->readable, s->fd, EV_READ);
    ev_io_set(&s->writable, s->fd, EV_WRITE);
    ev_io_start(s->home->loop, &s->readable);
    return true;
}

static void set_deadline(struct slot *s, int64_t ms)
{
    s->deadline.repeat = (double)ms / 1000;
    ev_timer_again(s->home->loop, &s->deadline);
}

static void flush(struct slot *s)
{
    while (s->out->len) {
        ssize_t n = write(s->fd, s->out->str, s->out->len);
        if (n <= 0)
            break;
        g_string_erase(s->out, 0, n);
    }
    if (s->out->len)
        ev_io_start(s->home->loop, &s->writable);
    else
        ev_io_stop(s->home->loop, &s->writable);
}

static void put(struct slot *s, enum smtp_frame type, const void *bytes, size_t len)
{
    struct smtp_head head = { type, (uint32_t)len };

    g_string_append_len(s->out, (const char *)&head, sizeof head);
    g_string_append_len(s->out, bytes, (gssize)len);
}

/* ---------------------------------------------------------------- results */

static void put_job(struct ticket *t)
{
    const struct parcel *p = &t->parcel;
    size_t from = strlen(p->from) + 1, to = strlen(p->to) + 1;
    struct smtp_head head = { FRAME_JOB, (uint32_t)(from + to + p->len) };

    if (t->written)
        return;
    t->written = true;
    g_string_append_len(t->slot->out, (const char *)&head, sizeof head);
    g_string_append_len(t->slot->out, p->from, (gssize)from);
    g_string_append_len(t->slot->out, p->to, (gssize)to);
    g_string_append_len(t->slot->out, p->bytes, (gssize)p->len);
}

static void hand_over(struct slot *s)
{
    s->hand = s->ahead;
    s->ahead = NULL;
    if (s->hand)
        put_job(s->hand);
    if (s->hand)
        set_deadline(s, s->home->s.connect_timeout_ms + s->home->s.send_timeout_ms);
    else
        ev_timer_stop(s->home->loop, &s->deadline);
}

static void ticket_done(struct ticket *t, const struct outcome *o)
{
    struct parcel_events events = t->events;

    g_free(t);
    events.done(events.arg, o);
}

/* Ends the mail in hand; the one ahead, if any, comes into hand. */
static void finish(struct slot *s, const struct outcome *o)
{
    struct ticket *t = s->hand;

    hand_over(s);
    ticket_done(t, o);
}

/* What the last milestone says about the mails of an agent that is gone. */
static void finish_by_stage(struct slot *s, const char *why)
{
    static const char *const at[] = { "while connecting", "before the log-in was done", "before the final dot" };
    struct ticket *hand = s->hand, *ahead = s->ahead;
    struct outcome o = { .kind = hand && hand->went       ? OUTCOME_UNKNOWN
                                 : s->stage == STAGE_MAIL ? OUTCOME_DEFERRED
                                                          : OUTCOME_FAULT };
    struct outcome untouched = { .kind = OUTCOME_RETURNED, .detail = "its connection ended before its turn" };

    snprintf(o.detail, sizeof o.detail, "%s %s", why, hand && hand->went ? "after the final dot" : at[s->stage]);
    s->hand = s->ahead = NULL;
    slot_close(s);
    if (hand)
        ticket_done(hand, &o);
    if (ahead)
        ticket_done(ahead, &untouched);
}

static void on_deadline(struct ev_loop *loop, ev_timer *w, int revents)
{
    finish_by_stage(w->data, "no answer in time");
}

static void on_result(struct slot *s, const struct smtp_result *r)
{
    struct outcome o = { .kind = (enum outcome_kind)r->kind, .code = r->code, .crowded = r->crowded };

    g_strlcpy(o.detail, r->detail, sizeof o.detail);
    if (o.kind == OUTCOME_SENT)
        g_strlcpy(o.ref, r->detail, sizeof o.ref);
    if (s->hand)
        finish(s, &o);
}

static void on_stage(struct slot *s, enum smtp_stage stage)
{
    s->stage = stage;
    if (s->hand && stage == STAGE_MAIL)
        set_deadline(s, s->home->s.send_timeout_ms);
    else if (s->hand)
        set_deadline(s, s->home->s.connect_timeout_ms);
}

static void on_said(struct slot *s, const struct wire_said *said)
{
    if (said->type == FRAME_STAGE) {
        on_stage(s, said->stage);
    } else if (said->type == FRAME_RESULT) {
        on_result(s, &said->result);
    } else if (s->hand && !s->hand->asked) {
        ev_timer_stop(s->home->loop, &s->deadline); /* the answer is ours to give */
        s->hand->asked = true;
        s->hand->events.ask(s->hand->events.arg);
    }
}

/* All frames that are whole.  One of them may end the agent. */
static void take_frames(struct slot *s)
{
    struct wire_said said;
    size_t used = 0;
    ssize_t one;

    while (s->pid > 0 && (one = wire_read(&said, s->in->data + used, s->in->len - used)) != 0) {
        if (one < 0) {
            finish_by_stage(s, "the mail agent spoke nonsense");
            return;
        }
        used += (size_t)one;
        on_said(s, &said);
    }
    if (used && used <= s->in->len)
        g_byte_array_remove_range(s->in, 0, (guint)used);
}

static void on_readable(struct ev_loop *loop, ev_io *w, int revents)
{
    struct slot *s = w->data;
    guint8 buf[4096];
    ssize_t n = read(s->fd, buf, sizeof buf);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        finish_by_stage(s, "the mail agent ended");
        return;
    }
    g_byte_array_append(s->in, buf, (guint)n);
    take_frames(s);
}

static void on_writable(struct ev_loop *loop, ev_io *w, int revents)
{
    flush(w->data);
}

static void on_turn(struct ev_loop *loop, ev_prepare *w, int revents)
{
    struct mail_provider *m = w->data;

    for (int i = 0; i < m->n_slots; i++)
        if (m->slots[i].out->len && !ev_is_active(&m->slots[i].writable))
            flush(&m->slots[i]);
}

/* ---------------------------------------------------------------- the provider */

static bool is_open(const struct slot *s)
{
    return s->pid > 0 && s->stage == STAGE_MAIL;
}

/* How many slots more may become busy, as many as there are without a limit. */
static int spare(const struct mail_provider *m)
{
    int busy = 0;

    for (int i = 0; i < m->n_slots; i++)
        busy += m->slots[i].hand || is_open(&m->slots[i]);
    return m->head.limit ? MAX(0, m->head.limit - busy) : m->n_slots;
}

/* Mails that a slot would take: one into an empty hand, one to write ahead.  Whoever is not busy needs a spare place.
 */
static int slot_room(const struct slot *s, int *spare)
{
    if (!s->hand && !is_open(s) && (*spare)-- <= 0)
        return 0;
    return !s->hand + (!s->ahead && (s->stage == STAGE_MAIL || !s->hand));
}

static int mail_room(const struct provider *p)
{
    const struct mail_provider *m = (const struct mail_provider *)p;
    int room = 0, left = spare(m);

    for (int i = 0; i < m->n_slots; i++)
        room += slot_room(&m->slots[i], &left);
    return room;
}

/* A slot with empty hands, rather one that has its agent; else one whose session is open, to write ahead. */
static struct slot *free_slot(struct mail_provider *m)
{
    struct slot *best = NULL, *second = NULL;
    bool more = spare(m) > 0;

    for (int i = 0; i < m->n_slots; i++) {
        struct slot *s = &m->slots[i];
        if (!s->hand && (more || is_open(s)) && (!best || (s->pid > 0 && best->pid <= 0)))
            best = s;
        if (s->hand && !s->ahead && s->stage == STAGE_MAIL && !second)
            second = s;
    }
    return best ? best : second;
}

static struct ticket *mail_send(struct provider *p, const struct parcel *parcel, struct parcel_events events)
{
    struct mail_provider *m = (struct mail_provider *)p;
    struct slot *s = free_slot(m);
    struct ticket init = { .slot = s, .parcel = *parcel, .events = events }, *t;

    if (!s)
        return NULL;
    t = g_memdup2(&init, sizeof init);
    if (s->hand) {
        s->ahead = t;
        if (s->hand->went)
            put_job(t);
        return t;
    }
    s->hand = t;
    set_deadline(s, m->s.connect_timeout_ms + m->s.send_timeout_ms);
    if (s->pid <= 0) {
        s->stage = STAGE_CONNECT;
        if (!slot_spawn(s)) { /* said from the loop: the deadline is now */
            set_deadline(s, 1);
            return t;
        }
        put(s, FRAME_SETTINGS, m->settings_json, strlen(m->settings_json));
    }
    put_job(t);
    return t;
}

static void mail_answer(struct ticket *t, bool go)
{
    struct slot *s = t->slot;

    t->went = go;
    put(s, go ? FRAME_GO : FRAME_STOP, "", 0);
    if (s->ahead)
        put_job(s->ahead);
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
    for (int i = 0; i < m->n_slots; i++) {
        slot_close(&m->slots[i]);
        g_free(m->slots[i].hand);
        g_free(m->slots[i].ahead);
        g_byte_array_unref(m->slots[i].in);
        g_string_free(m->slots[i].out, TRUE);
    }
    g_free(m->slots);
    free(m->settings_json);
    g_free(m);
}

static const struct provider_type mail_type = {
    "email", false, mail_room, mail_send, mail_answer, mail_open, mail_close
};

struct provider *email_open(struct ev_loop *loop, const struct email_settings *settings)
{
    struct mail_provider *m = g_new0(struct mail_provider, 1);
    const struct email_settings *s = settings;

    m->head.type = &mail_type;
    g_strlcpy(m->head.name, s->name, sizeof m->head.name);
    m->loop = loop;
    m->s = *s;
    m->s.name = m->s.host = m->s.user = m->s.password = m->s.ca_file = m->s.hello =
        NULL; /* they have gone into the text */
    json_auto_t *json =
        json_pack("{s:s, s:i, s:i, s:s?, s:s?, s:s?, s:s?}", "host", s->host, "port", s->port, "tls", (int)s->tls,
                  "user", s->user, "password", s->password, "ca_file", s->ca_file, "hello", s->hello);
    m->settings_json = json_dumps(json, JSON_COMPACT);
    m->n_slots = s->connections;
    m->slots = g_new0(struct slot, m->n_slots);
    for (int i = 0; i < m->n_slots; i++) {
        struct slot *slot = &m->slots[i];
        slot->home = m;
        slot->fd = -1;
        slot->in = g_byte_array_new();
        slot->out = g_string_new(NULL);
        ev_init(&slot->readable, on_readable);
        ev_init(&slot->writable, on_writable);
        ev_init(&slot->deadline, on_deadline);
        slot->readable.data = slot->writable.data = slot->deadline.data = slot;
    }
    ev_prepare_init(&m->turn, on_turn);
    m->turn.data = m;
    ev_set_priority(&m->turn, EV_MINPRI); /* after those who fill the slots */
    ev_prepare_start(loop, &m->turn);
    return &m->head;
}
