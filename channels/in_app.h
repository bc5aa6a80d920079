/*
 * In-app messages need no transport: what is handed over is a card, and the
 * inbox that keeps it is the dispatcher's.  This is the card's shape.
 */
#ifndef CHANNELS_IN_APP_H
#define CHANNELS_IN_APP_H

#include <jansson.h>
#include <stdint.h>

/* in_app_card: {"title","body","url","answer"} as one compact text (to be freed with free()); body, url and answer
 * ({"event","choices"}) may be NULL.
 * NULL with *why when the address of the card is not http, https or a path. */
char *in_app_card(const char *title, const char *body, const char *url, const json_t *answer, const char **why);

#endif
