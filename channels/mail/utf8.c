#include "channels/mail/utf8.h"

#include <curl/curl.h>
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sending {
    const struct utf8_mail *mail;
    size_t given;
    bool offered, begun, asked, go;
    int code;       /* of the last reply; after the question, only of what is said since */
    char line[256]; /* and its text */
};

bool smtp_utf8_needed(const char *address)
{
    for (; *address; address++)
        if (*address & 0x80)
            return true;
    return false;
}

/* ---------------------------------------------------------------- what libcurl tells */

static void note_reply(struct sending *s, const char *text, size_t len)
{
    g_autofree char *line = g_strndup(text, len);

    g_strchomp(line);
    if (g_ascii_isdigit(line[0]) && strlen(line) >= 3) {
        s->code = atoi(line);
        g_strlcpy(s->line, line, sizeof s->line);
    }
    if (strlen(line) > 4 && g_ascii_strcasecmp(line + 4, "SMTPUTF8") == 0)
        s->offered = true;
}

static int on_wire(CURL *curl, curl_infotype type, char *text, size_t len, void *arg)
{
    struct sending *s = arg;

    if (type == CURLINFO_HEADER_IN)
        note_reply(s, text, len);
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

    if (!s->offered)
        return CURL_READFUNC_ABORT;
    memcpy(to, s->mail->mail + s->given, n);
    s->given += n;
    if (n)
        return n;
    if (!s->asked) {
        s->asked = true;
        s->go = s->mail->ask();
        s->code = 0;
    }
    return s->go ? 0 : CURL_READFUNC_ABORT;
}

/* ---------------------------------------------------------------- the request */

static void set_server(CURL *curl, const struct utf8_server *at)
{
    bool v6 = strchr(at->host, ':') != NULL;
    g_autofree char *url =
        g_strdup_printf("%s://%s%s%s:%d/%s", at->tls == EMAIL_TLS_IMPLICIT ? "smtps" : "smtp", v6 ? "[" : "", at->host,
                        v6 ? "]" : "", at->port, at->hello ? at->hello : "");

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

static CURLcode perform(CURL *curl, struct sending *s)
{
    struct curl_slist *to = curl_slist_append(NULL, s->mail->to);

    curl_easy_setopt(curl, CURLOPT_MAIL_FROM, s->mail->from);
    curl_easy_setopt(curl, CURLOPT_MAIL_RCPT, to);
    curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(curl, CURLOPT_READFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_READDATA, s);
    curl_easy_setopt(curl, CURLOPT_VERBOSE, 1L); /* for on_wire alone */
    curl_easy_setopt(curl, CURLOPT_DEBUGFUNCTION, on_wire);
    curl_easy_setopt(curl, CURLOPT_DEBUGDATA, s);
    CURLcode result = curl_easy_perform(curl);
    curl_slist_free_all(to);
    return result;
}

/* ---------------------------------------------------------------- what became of it */

static enum outcome_kind kind_of(const struct sending *s, CURLcode result)
{
    int class = s->code / 100;

    if (result == CURLE_OK)
        return OUTCOME_SENT;
    if (s->asked && !s->go)
        return OUTCOME_STOPPED;
    if (s->go)
        return class == 4 ? OUTCOME_DEFERRED : class == 5 ? OUTCOME_REFUSED : OUTCOME_UNKNOWN;
    if (!s->begun || s->code == 421)
        return OUTCOME_FAULT;
    return class == 5 || !s->offered ? OUTCOME_REFUSED : OUTCOME_DEFERRED;
}

void smtp_utf8_send(const struct utf8_server *at, const struct utf8_mail *mail, struct outcome *out)
{
    struct sending s = { .mail = mail };
    CURL *curl = curl_easy_init();

    set_server(curl, at);
    CURLcode result = perform(curl, &s);
    curl_easy_cleanup(curl);
    *out = (struct outcome){ .kind = kind_of(&s, result), .code = s.code };
    if (s.begun && !s.offered)
        g_strlcpy(out->detail, "the server does not offer SMTPUTF8, which this address needs", sizeof out->detail);
    else if (out->kind == OUTCOME_UNKNOWN)
        g_strlcpy(out->detail, "the connection was lost after the final dot", sizeof out->detail);
    else
        g_snprintf(out->detail, sizeof out->detail, "%s", s.begun && s.code ? s.line : curl_easy_strerror(result));
}
