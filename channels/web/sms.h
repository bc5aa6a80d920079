/*
 * SMS through a gateway's HTTP interface: POST of
 * {"id","to","text","encoding","segments","sender"}, signed as Standard
 * Webhooks 1.0, or in the shape that `request` in the settings describes.
 * A field stands in two lists of sms.c, that of the placeholders and that of the
 * body; what it needs of the message comes in struct parcel (channel.h).
 */
#ifndef CHANNELS_WEB_SMS_H
#define CHANNELS_WEB_SMS_H

#include <jansson.h>

#include "channels/channel.h"

struct sms_settings {
    const char *name, *url, *sender; /* sender may be NULL */
    const char *signing_secret;      /* NULL: unsigned */
    int concurrency;
    int64_t timeout_ms;
    const json_t *headers; /* object of name → value, or NULL; borrowed */
    const json_t
        *body; /* shape of the body, its strings may hold {id} {to} {text} {encoding} {segments} {sender}; or NULL */
    bool form; /* the body as application/x-www-form-urlencoded */
};

struct provider *sms_open(struct ev_loop *, const struct sms_settings *);

#endif
