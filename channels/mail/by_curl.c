#include "channels/mail/by_curl.h"

#include <curl/curl.h>
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "channels/mail/replies.h"

struct sending {
    const struct curl_mail *mail;
    struct replies replies;
    size_t given;
    bool begun, asked, go;
};

bool smtp_utf8_needed(const char *address)
{
    for (; *address; address++)
        if (*address & 0x80)
            return true;
    return false;
}

/* ---------------------------------------------------------------- what libcurl tells */

static int on_wire(CURL *curl, curl_infotype type, char *text, size_t len, void *arg)
{
    struct sending *s = arg;

    if (type == CURLINFO_HEADER_IN)
        replies_read(&s->replies, text, len);
    if (type == CURLINFO_HEADER_OUT)
        replies_wrote(&s->replies, text, len, false);
    if (type == CURLINFO_HEADER_OUT && len >= 9 && g_ascii_strncasecmp(text, "MAIL FROM", 9) == 0) {
        s->begun = true;
        s->mail->on_mail();
    }
    return 0;
}

/* The body, then the question; an abort drops the connection without the final dot. */
static size_t on_body(char *to, size_t size, size_t count, void *arg)
{
    struct sending *s = arg;
    size_t n = MIN(size * count, s->mail->len - s->given);

    memcpy(to, s->mail->mail + s->given, n);
    s->given += n;
    if (n)
        return n;
    if (!s->asked) {
        s->asked = true;
        s->go = s->mail->ask();
    }
    return s->go ? 0 : CURL_READFUNC_ABORT;
}

/* ---------------------------------------------------------------- the request */

static void set_server(CURL *curl, const struct curl_server *at)
{
    bool v6 = strchr(at->host, ':') != NULL;
    g_autofree char *hello = g_uri_escape_string(at->hello ? at->hello : "", NULL, FALSE);
    g_autofree char *url = g_strdup_printf("%s://%s%s%s:%d/%s", at->tls == EMAIL_TLS_IMPLICIT ? "smtps" : "smtp",
                                           v6 ? "[" : "", at->host, v6 ? "]" : "", at->port, hello);

    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_USE_SSL,
                     at->tls == EMAIL_TLS_REQUIRED        ? (long)CURLUSESSL_ALL
                     : at->tls == EMAIL_TLS_OPPORTUNISTIC ? (long)CURLUSESSL_TRY
                                                          : (long)CURLUSESSL_NONE);
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (at->tls == EMAIL_TLS_OPPORTUNISTIC) {
        curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    if (at->ca_file)
        curl_easy_setopt(curl, CURLOPT_CAINFO, at->ca_file);
    if (at->user) {
        curl_easy_setopt(curl, CURLOPT_USERNAME, at->user);
        curl_easy_setopt(curl, CURLOPT_PASSWORD, at->password ? at->password : "");
    }
}

/* The greeting first, on the connection that the mail then takes: what the server does not offer is not tried on it. */
static CURLcode greet(CURL *curl, struct sending *s)
{
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, "NOOP");
    curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    curl_easy_setopt(curl, CURLOPT_VERBOSE, 1L); /* for on_wire alone */
    curl_easy_setopt(curl, CURLOPT_DEBUGFUNCTION, on_wire);
    curl_easy_setopt(curl, CURLOPT_DEBUGDATA, s);
    return curl_easy_perform(curl);
}

static CURLcode perform(CURL *curl, struct sending *s)
{
    struct curl_slist *to = curl_slist_append(NULL, s->mail->to);

    replies_next(&s->replies);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, NULL);
    curl_easy_setopt(curl, CURLOPT_NOBODY, 0L);
    curl_easy_setopt(curl, CURLOPT_MAIL_FROM, s->mail->from);
    curl_easy_setopt(curl, CURLOPT_MAIL_RCPT, to);
    curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(curl, CURLOPT_READFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_READDATA, s);
    CURLcode result = curl_easy_perform(curl);
    curl_slist_free_all(to);
    return result;
}

/* ---------------------------------------------------------------- what became of it */

static void say(struct outcome *out, enum outcome_kind kind, int code, const char *detail)
{
    *out = (struct outcome){ .kind = kind, .code = code };
    g_strlcpy(out->detail, detail, sizeof out->detail);
}

static void conclude(const struct sending *s, CURLcode result, struct outcome *out)
{
    const struct reply *first = &s->replies.first, *body = &s->replies.body;

    if (s->go && body->code / 100 == 2)
        say(out, OUTCOME_SENT, body->code, body->line);
    else if (s->asked && !s->go)
        say(out, OUTCOME_STOPPED, 0, "stopped before the final dot");
    else if (first->code)
        say(out, reply_judge(first->step, first->code, first->line), first->code, first->line);
    else if (s->go)
        say(out, OUTCOME_UNKNOWN, 0, "the connection was lost after the final dot");
    else
        say(out, s->begun ? OUTCOME_DEFERRED : OUTCOME_FAULT, 0,
            *s->replies.login ? s->replies.login : curl_easy_strerror(result));
    out->crowded = out->kind == OUTCOME_FAULT && first->code && first->step <= REPLY_EHLO;
}

/* libcurl would say QUIT and wait for the answer as long as for any other. */
static void hang_up(CURL *curl)
{
    curl_socket_t fd = CURL_SOCKET_BAD;

    if (curl_easy_getinfo(curl, CURLINFO_ACTIVESOCKET, &fd) == CURLE_OK && fd != CURL_SOCKET_BAD)
        shutdown(fd, SHUT_RDWR);
}

void smtp_by_curl(const struct curl_server *at, const struct curl_mail *mail)
{
    struct sending s = { .mail = mail };
    bool needed = smtp_utf8_needed(mail->from) || smtp_utf8_needed(mail->to);
    CURL *curl = curl_easy_init();
    struct outcome out;

    replies_begin(&s.replies);
    set_server(curl, at);
    CURLcode result = greet(curl, &s);
    if (result == CURLE_OK && needed && !s.replies.utf8) {
        say(&out, OUTCOME_UNABLE, 0, "the server does not offer SMTPUTF8, which this address needs");
    } else if (result == CURLE_OK && mail->len == 0) {
        say(&out, OUTCOME_STOPPED, 250, "answers");
    } else {
        if (result == CURLE_OK)
            result = perform(curl, &s);
        conclude(&s, result, &out);
    }
    mail->done(&out);
    hang_up(curl);
    curl_easy_cleanup(curl);
}
