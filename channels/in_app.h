/*
 * In-app messages need no transport: what is handed over is a card, and the
 * inbox that keeps it is the dispatcher's.  This is the card's shape.
 */
#ifndef CHANNELS_IN_APP_H
#define CHANNELS_IN_APP_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct card {
    const char *title, *body, *url;
    const char *lang;     /* BCP 47 */
    bool rtl;             /* its script runs from right to left */
    bool pinned, high;    /* it stands first; it is urgent */
    int64_t expires_ms;   /* when it leaves the inbox, 0 for never */
    const json_t *answer; /* {"event","choices"} */
};

/* in_app_card: {"title","body","url","lang","dir","pinned","importance","expires" (ms),"answer"} as one compact text
 * (to be freed with free()); all but the title may be NULL.  NULL with *why when the address of the card is not http,
 * https or a path. */
char *in_app_card(const struct card *, const char **why);

#endif
