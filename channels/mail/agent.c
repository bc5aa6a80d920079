/*
 * The agent: one process for a provider, a thread for each SMTP connection, many
 * mails on each.
 *
 *   board ──▶ session: connect ▶ STARTTLS ▶ AUTH ▶ ┬▶ MAIL ▶ RCPT ▶ body ▶ ask ▶ go ▶ dot ▶ result ──▶ board
 *                                                  └──────────── next mail ◀──────────────┘
 */
#include "channels/mail/agent_own.h"

#include <glib.h>
#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "channels/mail/by_curl.h"
#include "channels/mail/hello.h"
#include "channels/mail/pool.h"
#include "channels/mail/wire.h"

_Thread_local struct agent agent;

/* ---------------------------------------------------------------- what becomes of a mail */

void agent_put_stage(enum smtp_stage stage)
{
    board_set_stage(agent.board, agent.session, stage);
}

void agent_put_outcome(const struct outcome *o)
{
    if (agent.job.done)
        return;
    agent.job.done = true;
    board_tell(agent.board, agent.session, agent.job.number, o);
}

void agent_put_result(enum outcome_kind kind, int code, const char *detail)
{
    struct outcome o = { .kind = kind, .code = code };

    g_strlcpy(o.detail, detail, sizeof o.detail);
    agent_put_outcome(&o);
}

/* A refusal, by what it says.  Where the server closes a connection that has carried mails, the next one is simply
 * opened; where it does not let us in, it may bear no more connections than are open. */
void agent_put_refusal(enum reply_step step, int code, const char *line)
{
    struct outcome o = { .kind = reply_judge(step, code, line), .code = code };

    if (code == 421 && agent.mails > 1)
        o.kind = OUTCOME_RETURNED;
    o.crowded = o.kind == OUTCOME_FAULT && step <= REPLY_EHLO && (code == 421 || code / 100 == 4);
    g_strlcpy(o.detail, line, sizeof o.detail);
    agent_put_outcome(&o);
}

bool agent_take_job(int ms)
{
    struct board_mail mail;
    uint64_t next = agent.job.number + 1;

    dial_begin(agent.dialled, next); /* before it is ours: it may have had its time the moment it is */
    if (!board_take(agent.board, agent.session, next, ms, &mail))
        return false;
    agent.job = (struct job){ .from = mail.from,
                              .to = mail.to,
                              .mail = mail.bytes,
                              .len = mail.len,
                              .committed = mail.committed,
                              .number = next };
    return true;
}

/* The commit question: the body is out, the final dot is not. */
bool agent_ask(void)
{
    agent.job.go = board_ask(agent.board, agent.session, agent.job.number, agent.job.committed);
    agent.job.asked = true;
    return agent.job.go;
}

/* ---------------------------------------------------------------- the mails that libcurl sends */

bool agent_needs_utf8(void)
{
    return smtp_utf8_needed(agent.job.to) || smtp_utf8_needed(agent.job.from);
}

static void on_utf8_mail(void)
{
    agent_put_stage(STAGE_MAIL);
}

void agent_by_curl(void)
{
    struct curl_server at = { .host = agent.host,
                              .user = agent.user,
                              .password = agent.password,
                              .hello = agent.hello,
                              .ca_file = agent.ca_file,
                              .port = agent.port,
                              .tls = agent.tls };
    struct curl_mail mail = { agent.job.from, agent.job.to, agent.job.mail,   agent.job.len,
                              on_utf8_mail,   agent_ask,    agent_put_outcome };

    agent_put_stage(STAGE_CONNECT);
    smtp_by_curl(&at, &mail);
    dial_over(agent.dialled);
}

/* ---------------------------------------------------------------- life */

static char *copy_of(const json_t *settings, const char *key)
{
    return g_strdup(json_string_value(json_object_get(settings, key)));
}

static int on_login(auth_client_request_t request, char **result, int fields, void *arg)
{
    for (int i = 0; i < fields; i++)
        result[i] = request[i].flags & AUTH_USER ? agent.user : request[i].flags & AUTH_PASS ? agent.password : NULL;
    return 1;
}

/* Read once, before there is any thread; each session has a copy. */
static int take_settings(struct agent *a)
{
    struct smtp_head head;
    g_autofree char *text = wire_get(SMTP_AGENT_FD, &head);
    json_t *settings = json_loads(text, 0, NULL);

    if (head.type != FRAME_SETTINGS || !settings)
        _exit(1);
    a->host = copy_of(settings, "host");
    a->user = copy_of(settings, "user");
    a->password = copy_of(settings, "password");
    a->hello = copy_of(settings, "hello");
    if (!a->hello)
        a->hello = hello_name(a->host);
    a->port = (int)json_integer_value(json_object_get(settings, "port"));
    a->tls = (enum email_tls)json_integer_value(json_object_get(settings, "tls"));
    a->ca_file = copy_of(settings, "ca_file");
    if (a->tls != EMAIL_TLS_NONE && !tls_open(&a->secure, a->tls, a->host, a->ca_file))
        a->broken = "cannot read the certificates of authorities";
    int sessions = (int)json_integer_value(json_object_get(settings, "sessions"));
    memset(text, 0, head.len);
    json_decref(settings);
    return sessions;
}

static void prepare_login(void)
{
    if (!agent.user)
        return;
    agent.auth = auth_create_context();
    auth_set_mechanism_flags(agent.auth, AUTH_PLUGIN_PLAIN, 0);
    auth_set_interact_cb(agent.auth, on_login, NULL);
}

static void *carry_mails(void *own)
{
    agent = *(struct agent *)own;
    prepare_login();
    for (;;) {
        if (!agent.carried)
            agent_take_job(-1);
        agent.carried = false;
        if (agent.broken)
            agent_put_result(OUTCOME_FAULT, 0, agent.broken);
        else if (agent_needs_utf8() || agent.by_curl)
            agent_by_curl();
        else
            session_run();
    }
    return NULL;
}

static struct agent *begin_sessions(struct agent *like, int count)
{
    struct agent *list = g_new0(struct agent, count);
    pthread_t thread;

    for (int i = 0; i < count; i++) {
        list[i] = *like;
        list[i].session = i;
        list[i].dialled = dial_new();
        if (pthread_create(&thread, NULL, carry_mails, &list[i]) != 0)
            _exit(1);
        pthread_detach(thread);
    }
    return list;
}

/* The provider says which mails have had their time. */
static _Noreturn void watch(struct agent *sessions, int count)
{
    for (;;) {
        struct smtp_head head;
        g_autofree char *bytes = wire_get(SMTP_AGENT_FD, &head);
        struct smtp_end end;
        if (head.type != FRAME_END || head.len != sizeof end)
            _exit(1);
        memcpy(&end, bytes, sizeof end);
        if (end.session < (uint32_t)count)
            dial_end(sessions[end.session].dialled, end.number);
    }
}

int smtp_agent_main(int parent)
{
    struct agent like = { 0 };

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        return 0;
    prctl(PR_SET_DUMPABLE, 0);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, SIG_IGN); /* a terminal's Ctrl-C is the provider's to act on */
    signal(SIGTERM, SIG_DFL);
    setenv("XDG_CONFIG_DIR", "/nonexistent", 1); /* libesmtp looks for client certificates there */
    setenv("HOME", "/nonexistent", 1);
    int count = take_settings(&like);
    like.board = board_open(SMTP_BOARD_FD, count, SMTP_BELL_FD);
    if (!like.board)
        _exit(1);
    if (like.user)
        auth_client_init();
    watch(begin_sessions(&like, count), count);
}
