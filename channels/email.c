#include "channels/email.h"

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

#include "channels/smtp_wire.h"

/*
 *   FREE ──send──▶ BUSY ──done──▶ FREE      an agent that dies or overstays frees its slot,
 *                                           and the next send starts another
 */
struct ticket {
    struct mail_provider *home;
    pid_t pid;
    int fd;
    enum { SLOT_FREE, SLOT_BUSY } state;
    enum smtp_stage stage;
    bool went; /* answer(go) was given */
    bool asking;
    struct parcel_events events;
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
    struct ticket *slots;
};

extern char **environ;

/* ---------------------------------------------------------------- agents */

static void slot_close(struct ticket *t)
{
    if (t->pid <= 0)
        return;
    ev_io_stop(t->home->loop, &t->readable);
    ev_io_stop(t->home->loop, &t->writable);
    ev_timer_stop(t->home->loop, &t->deadline);
    close(t->fd);
    kill(t->pid, SIGKILL);
    while (waitpid(t->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    t->pid = 0;
    t->fd = -1;
    g_byte_array_set_size(t->in, 0);
    g_string_truncate(t->out, 0);
}

static bool slot_spawn(struct ticket *t)
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
    if (pair[1] == SMTP_AGENT_FD) /* dup2 onto itself would keep close-on-exec */
        fcntl(pair[1], F_SETFD, 0);
    posix_spawnattr_init(&attr);
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
    int error = posix_spawn(&t->pid, "/proc/self/exe", &actions, &attr, (char *[]){ "tidings", "smtp-agent", parent, NULL }, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attr);
    close(pair[1]);
    if (error) {
        close(pair[0]);
        t->pid = 0;
        return false;
    }
    t->fd = pair[0];
    fcntl(t->fd, F_SETFL, O_NONBLOCK);
    ev_io_set(&t->readable, t->fd, EV_READ);
    ev_io_set(&t->writable, t->fd, EV_WRITE);
    ev_io_start(t->home->loop, &t->readable);
    return true;
}

static void set_deadline(struct ticket *t, int64_t ms)
{
    t->deadline.repeat = (double)ms / 1000;
    ev_timer_again(t->home->loop, &t->deadline);
}

static void flush(struct ticket *t)
{
    while (t->out->len) {
        ssize_t n = write(t->fd, t->out->str, t->out->len);
        if (n <= 0)
            break;
        g_string_erase(t->out, 0, n);
    }
    if (t->out->len)
        ev_io_start(t->home->loop, &t->writable);
    else
        ev_io_stop(t->home->loop, &t->writable);
}

static void put(struct ticket *t, enum smtp_frame type, const void *bytes, size_t len)
{
    struct smtp_head head = { type, (uint32_t)len };

    g_string_append_len(t->out, (const char *)&head, sizeof head);
    g_string_append_len(t->out, bytes, (gssize)len);
}

/* ---------------------------------------------------------------- results */

static void finish(struct ticket *t, const struct outcome *o)
{
    struct parcel_events events = t->events;

    t->state = SLOT_FREE;
    t->asking = t->went = false;
    ev_timer_stop(t->home->loop, &t->deadline);
    events.done(events.arg, o);
}

/* What the last milestone says about a mail whose agent is gone. */
static void finish_by_stage(struct ticket *t, const char *why)
{
    static const char *const at[] = { "while connecting", "before the log-in was done", "in the envelope", "within the mail", "after the final dot", "" };
    struct outcome o = { .kind = t->went ? OUTCOME_UNKNOWN : t->stage >= STAGE_ENVELOPE && t->stage < STAGE_IDLE ? OUTCOME_DEFERRED : OUTCOME_FAULT };

    snprintf(o.detail, sizeof o.detail, "%s %s", why, at[t->went ? STAGE_DOT : t->stage]);
    slot_close(t);
    if (t->state == SLOT_BUSY)
        finish(t, &o);
}

static void on_deadline(struct ev_loop *loop, ev_timer *w, int revents)
{
    finish_by_stage(w->data, "no answer in time");
}

static void on_result(struct ticket *t, const struct smtp_result *r)
{
    struct outcome o = { .kind = (enum outcome_kind)r->kind, .code = r->code };

    g_strlcpy(o.detail, r->detail, sizeof o.detail);
    if (o.kind == OUTCOME_SENT)
        g_strlcpy(o.ref, r->detail, sizeof o.ref);
    if (t->state == SLOT_BUSY)
        finish(t, &o);
}

static void on_stage(struct ticket *t, enum smtp_stage stage)
{
    const struct email_settings *s = &t->home->s;

    t->stage = stage;
    if (t->state != SLOT_BUSY)
        return;
    if (stage == STAGE_ENVELOPE || stage == STAGE_BODY)
        set_deadline(t, s->send_timeout_ms);
    else if (stage == STAGE_DOT)
        set_deadline(t, s->reply_timeout_ms);
}

/* Takes one frame out of the buffer; its size, or 0 while it is incomplete. */
static size_t take_frame(struct ticket *t, const guint8 *bytes, size_t len)
{
    struct smtp_head head;

    if (len < sizeof head)
        return 0;
    memcpy(&head, bytes, sizeof head);
    if (len < sizeof head + head.len)
        return 0;
    if (head.type == FRAME_STAGE && head.len == sizeof(uint32_t)) {
        uint32_t stage;
        memcpy(&stage, bytes + sizeof head, sizeof stage);
        on_stage(t, (enum smtp_stage)stage);
    } else if (head.type == FRAME_ASK && t->state == SLOT_BUSY) {
        ev_timer_stop(t->home->loop, &t->deadline); /* the answer is ours to give */
        t->asking = true;
        t->events.ask(t->events.arg);
    } else if (head.type == FRAME_RESULT && head.len == sizeof(struct smtp_result)) {
        struct smtp_result r;
        memcpy(&r, bytes + sizeof head, sizeof r);
        r.detail[sizeof r.detail - 1] = '\0';
        on_result(t, &r);
    }
    return sizeof head + head.len;
}

static void on_readable(struct ev_loop *loop, ev_io *w, int revents)
{
    struct ticket *t = w->data;
    guint8 buf[4096];
    ssize_t n = read(t->fd, buf, sizeof buf);
    size_t used = 0, one;

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        finish_by_stage(t, "the mail agent ended");
        return;
    }
    g_byte_array_append(t->in, buf, (guint)n);
    while (t->pid > 0 && (one = take_frame(t, t->in->data + used, t->in->len - used)) > 0)
        used += one;
    if (used && used <= t->in->len)
        g_byte_array_remove_range(t->in, 0, (guint)used);
}

static void on_writable(struct ev_loop *loop, ev_io *w, int revents)
{
    flush(w->data);
}

/* ---------------------------------------------------------------- the provider */

static int mail_room(const struct provider *p)
{
    const struct mail_provider *m = (const struct mail_provider *)p;
    int room = 0;

    for (int i = 0; i < m->n_slots; i++)
        room += m->slots[i].state == SLOT_FREE;
    return room;
}

/* A free slot, rather one that has its agent, and rather one that has its connection. */
static struct ticket *free_slot(struct mail_provider *m)
{
    struct ticket *best = NULL;

    for (int i = 0; i < m->n_slots; i++) {
        struct ticket *t = &m->slots[i];
        if (t->state == SLOT_FREE && (!best || (t->pid > 0 && best->pid <= 0)))
            best = t;
    }
    return best;
}

static struct ticket *mail_send(struct provider *p, const struct parcel *parcel, struct parcel_events events)
{
    struct mail_provider *m = (struct mail_provider *)p;
    struct ticket *t = free_slot(m);
    size_t from = strlen(parcel->from) + 1, to = strlen(parcel->to) + 1;
    struct smtp_head head = { FRAME_JOB, (uint32_t)(from + to + parcel->len) };

    if (!t)
        return NULL;
    t->state = SLOT_BUSY;
    t->events = events;
    t->asking = t->went = false;
    t->stage = STAGE_CONNECT;
    set_deadline(t, m->s.connect_timeout_ms);
    if (t->pid <= 0) {
        if (!slot_spawn(t)) { /* said from the loop: the deadline is now */
            set_deadline(t, 1);
            return t;
        }
        put(t, FRAME_SETTINGS, m->settings_json, strlen(m->settings_json));
    }
    g_string_append_len(t->out, (const char *)&head, sizeof head);
    g_string_append_len(t->out, parcel->from, (gssize)from);
    g_string_append_len(t->out, parcel->to, (gssize)to);
    g_string_append_len(t->out, parcel->bytes, (gssize)parcel->len);
    flush(t);
    return t;
}

static void mail_answer(struct ticket *t, bool go)
{
    if (!t->asking) /* the agent died while the question was open; done() has said so */
        return;
    t->asking = false;
    t->went = go;
    put(t, go ? FRAME_GO : FRAME_STOP, "", 0);
    set_deadline(t, go ? t->home->s.reply_timeout_ms : t->home->s.connect_timeout_ms);
    flush(t);
}

static void mail_close(struct provider *p)
{
    struct mail_provider *m = (struct mail_provider *)p;

    for (int i = 0; i < m->n_slots; i++) {
        slot_close(&m->slots[i]);
        g_byte_array_unref(m->slots[i].in);
        g_string_free(m->slots[i].out, TRUE);
    }
    g_free(m->slots);
    free(m->settings_json);
    g_free(m);
}

static const struct provider_type mail_type = { "email", mail_room, mail_send, mail_answer, mail_close };

struct provider *email_open(struct ev_loop *loop, const struct email_settings *s)
{
    struct mail_provider *m = g_new0(struct mail_provider, 1);

    m->head.type = &mail_type;
    g_strlcpy(m->head.name, s->name, sizeof m->head.name);
    m->loop = loop;
    m->s = *s;
    json_auto_t *json = json_pack("{s:s, s:i, s:i, s:s?, s:s?, s:s?, s:s?}", "host", s->host, "port", s->port, "tls", (int)s->tls, "user", s->user,
                                  "password", s->password, "ca_file", s->ca_file, "hello", s->hello);
    m->settings_json = json_dumps(json, JSON_COMPACT);
    m->n_slots = s->connections;
    m->slots = g_new0(struct ticket, m->n_slots);
    for (int i = 0; i < m->n_slots; i++) {
        struct ticket *t = &m->slots[i];
        t->home = m;
        t->fd = -1;
        t->in = g_byte_array_new();
        t->out = g_string_new(NULL);
        ev_init(&t->readable, on_readable);
        ev_init(&t->writable, on_writable);
        ev_init(&t->deadline, on_deadline);
        t->readable.data = t->writable.data = t->deadline.data = t;
    }
    return &m->head;
}

const char *outcome_name(enum outcome_kind kind)
{
    static const char *const names[] = { "sent", "deferred", "fault", "refused", "unknown", "stopped" };
    return names[kind];
}
