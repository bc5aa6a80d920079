/*
 * From a stored message and a profile to what a channel carries.
 */
#ifndef DISPATCHER_CONTENT_RENDER_H
#define DISPATCHER_CONTENT_RENDER_H

#include "dispatcher/service.h"

struct rendered_delivery {
    GString *bytes; /* email: the whole mail; sms: the text; in_app: the card */
    char locale[LOCALE_SIZE], version[17];
    int segments; /* sms */
    char *why;    /* NULL, or the render error */
};

/* render_delivery: false with ->why; rendered_delivery_clear in either case. */
bool render_delivery(struct service *, const char *message_id, char letter, const json_t *body, const json_t *profile,
                     const struct category *, struct rendered_delivery *);
void rendered_delivery_clear(struct rendered_delivery *);

/* What templates see besides the data: "message" and "links". */
json_t *render_about(const char *message_id, const json_t *body, const char *category);
json_t *render_links(const struct service *, const char *message, const char *recipient, const char *category);

/* render_hooks: how the library of this service reads YAML, prepares mail and finds the built-in pages. */
extern const struct library_hooks render_hooks;

/* render_offset: the callback of struct render_request; its argument is a struct zone. */
int render_offset(void *zone, int64_t instant_ms);

#endif
