/*
 * The agent: one process, one SMTP connection at a time, many mails.
 *
 *   JOB ──▶ session: connect ▶ STARTTLS ▶ AUTH ▶ ┬▶ MAIL ▶ RCPT ▶ body ▶ ASK ▶ GO ▶ dot ▶ RESULT
 *                                                └──────────── next JOB ◀───────────────────┘
 */
#include "channels/mail/agent_own.h"

#include <glib.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "channels/mail/by_curl.h"
#include "channels/mail/hello.h"
#include "channels/mail/pool.h"

struct agent agent;

/* ---------------------------------------------------------------- what becomes of a mail */

void agent_put_stage(enum smtp_stage stage)
{
    wire_put(SMTP_AGENT_FD, FRAME_STAGE, &(uint32_t){ stage }, sizeof(uint32_t));
}

void agent_put_outcome(const struct outcome *o)
{
    struct smtp_result r = { .kind = o->kind, .code = o->code, .crowded = o->crowded };

    if (agent.job.done)
        return;
    agent.job.done = true;
    g_strlcpy(r.detail, o->detail, sizeof r.detail);
    wire_put(SMTP_AGENT_FD, FRAME_RESULT, &r, sizeof r);
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

void agent_take_job(void)
{
    struct smtp_head head;

    g_free(agent.job.bytes);
    agent.job = (struct job){ .serial = agent.job.serial + 1, .bytes = wire_get(SMTP_AGENT_FD, &head) };
    if (head.type != FRAME_JOB)
        _exit(1);
    agent.job.from = agent.job.bytes;
    agent.job.to = agent.job.from + strlen(agent.job.from) + 1;
    agent.job.mail = agent.job.to + strlen(agent.job.to) + 1;
    agent.job.len = head.len - (size_t)(agent.job.mail - agent.job.bytes);
}

/* The commit question: the body is out, the final dot is not. */
bool agent_ask(void)
{
    struct smtp_head head;

    wire_put(SMTP_AGENT_FD, FRAME_ASK, "", 0);
    g_free(wire_get(SMTP_AGENT_FD, &head));
    agent.job.asked = true;
    agent.job.go = head.type == FRAME_GO;
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

static void take_settings(void)
{
    struct smtp_head head;
    g_autofree char *text = wire_get(SMTP_AGENT_FD, &head);
    json_t *settings = json_loads(text, 0, NULL);

    if (head.type != FRAME_SETTINGS || !settings)
        _exit(1);
    agent.host = copy_of(settings, "host");
    agent.user = copy_of(settings, "user");
    agent.password = copy_of(settings, "password");
    agent.hello = copy_of(settings, "hello");
    if (!agent.hello)
        agent.hello = hello_name(agent.host);
    agent.port = (int)json_integer_value(json_object_get(settings, "port"));
    agent.tls = (enum email_tls)json_integer_value(json_object_get(settings, "tls"));
    agent.ca_file = copy_of(settings, "ca_file");
    if (agent.tls != EMAIL_TLS_NONE && !tls_open(&agent.secure, agent.tls, agent.host, agent.ca_file))
        session_fault("cannot read the certificates of authorities", NULL);
    if (agent.user) {
        auth_client_init();
        agent.auth = auth_create_context();
        auth_set_mechanism_flags(agent.auth, AUTH_PLUGIN_PLAIN, 0);
        auth_set_interact_cb(agent.auth, on_login, NULL);
    }
    memset(text, 0, head.len);
    json_decref(settings);
}

int smtp_agent_main(int parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        return 0;
    prctl(PR_SET_DUMPABLE, 0);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, SIG_IGN); /* a terminal's Ctrl-C is the provider's to act on */
    signal(SIGTERM, SIG_DFL);
    setenv("XDG_CONFIG_DIR", "/nonexistent", 1); /* libesmtp looks for client certificates there */
    setenv("HOME", "/nonexistent", 1);
    take_settings();
    for (;;) {
        if (!agent.carried)
            agent_take_job();
        agent.carried = false;
        if (agent_needs_utf8() || agent.by_curl)
            agent_by_curl();
        else
            session_run();
    }
}
