/*
 * A mail to an address with letters before the @ that are not ASCII (RFC 6531).
 * libesmtp cannot announce SMTPUTF8, so the agent sends these by libcurl, one
 * connection each; all other mail goes its way.
 */
#ifndef CHANNELS_MAIL_BY_CURL_H
#define CHANNELS_MAIL_BY_CURL_H

#include "channels/channel.h"
#include "channels/mail/pool.h"

struct curl_server {
    const char *host, *user, *password, *hello, *ca_file; /* all but the host may be NULL */
    int port;
    enum email_tls tls;
};

struct curl_mail {
    const char *from, *to, *mail;
    size_t len;
    void (*on_mail)(void);                /* MAIL FROM is on its way */
    bool (*ask)(void);                    /* all but the final dot is out: go on? */
    void (*done)(const struct outcome *); /* before QUIT, whose answer may not come */
};

/* smtp_utf8_needed: an envelope address is not ASCII. */
bool smtp_utf8_needed(const char *address);

/* smtp_by_curl: blocks; whoever is afraid of that kills the process. */
void smtp_by_curl(const struct curl_server *, const struct curl_mail *);

#endif
