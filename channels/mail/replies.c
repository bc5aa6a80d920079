#include "channels/mail/replies.h"

#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---------------------------------------------------------------- commands */

static void push(struct replies *r, enum reply_step step)
{
    if (r->tail - r->head < REPLIES_AHEAD)
        r->asked[r->tail++ % REPLIES_AHEAD] = step;
}

void replies_begin(struct replies *r)
{
    memset(r, 0, sizeof *r);
    push(r, REPLY_CONNECT);
}

void replies_next(struct replies *r)
{
    r->first = r->body = (struct reply){ 0 };
}

static bool begins(const char *bytes, size_t len, const char *word)
{
    return len >= strlen(word) && g_ascii_strncasecmp(bytes, word, strlen(word)) == 0;
}

static void take_command(struct replies *r, const char *bytes, size_t len)
{
    static const struct {
        const char *word;
        enum reply_step step;
    } commands[] = { { "EHLO ", REPLY_EHLO }, { "HELO ", REPLY_EHLO }, { "STARTTLS", REPLY_STARTTLS },
                     { "AUTH ", REPLY_AUTH }, { "MAIL ", REPLY_MAIL }, { "RCPT ", REPLY_RCPT },
                     { "DATA", REPLY_DATA },  { "RSET", REPLY_OTHER }, { "NOOP", REPLY_OTHER },
                     { "QUIT", REPLY_OTHER } };

    for (size_t i = 0; i < G_N_ELEMENTS(commands); i++)
        if (begins(bytes, len, commands[i].word)) {
            push(r, commands[i].step);
            return;
        }
}

/* Commands may leave together (RFC 2920). */
void replies_wrote(struct replies *r, const char *bytes, size_t len, bool in_body)
{
    const char *end = bytes + len;

    while (!in_body && bytes < end) {
        const char *eol = memchr(bytes, '\n', (size_t)(end - bytes));
        take_command(r, bytes, (size_t)((eol ? eol : end) - bytes));
        bytes = eol ? eol + 1 : end;
    }
}

/* ---------------------------------------------------------------- replies */

static void take_reply(struct replies *r, const struct reply *reply)
{
    if (reply->step == REPLY_AUTH && reply->code == 334)
        push(r, REPLY_AUTH); /* the exchange goes on */
    if (reply->step == REPLY_AUTH && reply->code == 235)
        r->authed = true;
    if (reply->step == REPLY_AUTH && reply->code >= 400)
        g_snprintf(r->login, sizeof r->login, "log-in refused: %s", reply->line);
    if (reply->step == REPLY_DATA && reply->code == 354)
        push(r, REPLY_BODY);
    if (reply->step == REPLY_BODY)
        r->body = *reply;
    if (reply->code >= 400 && !r->first.code && reply->step != REPLY_OTHER && reply->step != REPLY_AUTH)
        r->first = *reply;
}

/* A line of the answer to EHLO, which looks like no other. */
static void take_offer(struct replies *r, const char *offer)
{
    if (g_ascii_strcasecmp(offer, "SMTPUTF8") == 0)
        r->utf8 = true;
    if (g_str_has_prefix(offer, "AUTH "))
        r->other_login = !strstr(offer, "PLAIN") && (strstr(offer, "LOGIN") || strstr(offer, "CRAM-MD5"));
}

/* "250-first", "250 last", or a bare "250" (RFC 5321, 4.2: the text is optional). */
static void take_line(struct replies *r, const char *line)
{
    bool more = strlen(line) > 3 && line[3] == '-';

    if (!g_ascii_isdigit(line[0]) || !g_ascii_isdigit(line[1]) || !g_ascii_isdigit(line[2]))
        return;
    if (!r->now.code) {
        r->now.code = atoi(line);
        r->now.step = r->head < r->tail ? r->asked[r->head % REPLIES_AHEAD] : REPLY_OTHER;
        g_snprintf(r->now.line, sizeof r->now.line, "%s", line);
        if (strlen(r->now.line) > 3)
            r->now.line[3] = ' ';
    }
    take_offer(r, strlen(line) > 4 ? line + 4 : "");
    if (more)
        return;
    struct reply reply = r->now;
    r->now = (struct reply){ 0 };
    if (r->head < r->tail)
        r->head++;
    take_reply(r, &reply);
}

void replies_read(struct replies *r, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] != '\n') {
            if (r->part_len + 1 < sizeof r->part && bytes[i] != '\r')
                r->part[r->part_len++] = (unsigned char)bytes[i] < ' ' ? ' ' : bytes[i];
            continue;
        }
        bool tls = r->head < r->tail && r->asked[r->head % REPLIES_AHEAD] == REPLY_STARTTLS;
        r->part[r->part_len] = '\0';
        r->part_len = 0;
        take_line(r, g_strchomp(r->part));
        r->tainted |= tls && i + 1 < len && !r->now.code;
    }
}

void replies_finish(struct replies *r)
{
    r->part[r->part_len] = '\0';
    if (r->part_len >= 3 && !r->now.code)
        take_line(r, r->part);
    r->part_len = 0;
}

/* ---------------------------------------------------------------- judging */

/* The enhanced code behind the reply's own; zeros when there is none. */
static void enhanced(const char *line, int *subject, int *detail)
{
    int class = 0;

    *subject = *detail = 0;
    if (strlen(line) < 5 || sscanf(line + 4, "%d.%d.%d", &class, subject, detail) != 3 || class < 2 || class > 5)
        *subject = *detail = 0;
}

/* The server wants another log-in, or none of us at all. */
static bool is_login_matter(int code, int subject, int detail)
{
    return code == 530 || code == 535 || code == 538 ||
           (code / 100 == 5 && subject == 7 && (detail == 8 || detail == 9) && code != 554 && code != 550);
}

enum outcome_kind reply_judge(enum reply_step step, int code, const char *line)
{
    int subject, detail;

    enhanced(line, &subject, &detail);
    if (code == 421 || (subject == 3 && detail == 2)) /* closing; "system not accepting network messages" */
        return OUTCOME_FAULT;
    if (step < REPLY_MAIL || code == 432 || (code == 504 && step <= REPLY_RCPT) ||
        is_login_matter(code, subject, detail))
        return OUTCOME_FAULT;
    if (step == REPLY_MAIL && code / 100 == 4 && subject == 7) /* policy, and nobody is named yet: it is about us all */
        return OUTCOME_FAULT;
    if (step <= REPLY_DATA && code / 100 == 5 &&
        (code == 555 || (subject == 3 && detail == 4) || (step == REPLY_MAIL && code == 552)))
        return OUTCOME_UNABLE; /* a parameter it does not know; larger than it takes */
    return code / 100 == 4 ? OUTCOME_DEFERRED : OUTCOME_REFUSED;
}
