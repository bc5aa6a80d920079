/*
 * What we call ourselves in EHLO (RFC 5321, 4.1.1.1).
 */
#ifndef CHANNELS_MAIL_HELLO_H
#define CHANNELS_MAIL_HELLO_H

/* hello_name: this host's full name, else the address that faces the server as a literal (4.1.3).  Asks DNS, and waits
 * for it.  g_free. */
char *hello_name(const char *server);

#endif
