/*
 * Inbox streams (server-sent events): who listens, what each has been told, and
 * what they are told next.
 *
 *   hello   the counts, with the version; after Last-Event-ID then one frame with exactly what has changed since
 *   inbox   cards that have changed, whole, and those that are gone; absolute counts
 *   resync  too much, or the version is not known: list again
 *   bye     shutdown, replaced, expired, limit; come again after so many seconds
 */
#ifndef DISPATCHER_HTTP_STREAMS_H
#define DISPATCHER_HTTP_STREAMS_H

#include "dispatcher/http/http.h"

struct streams;

/* streams_new: most: of all people together. */
struct streams *streams_new(struct http_server *, int most);
/* streams_bye: ends them all; they are told to come again, each at another time.  streams_free: behind the server's
 * end. */
void streams_bye(struct streams *);
void streams_free(struct streams *);
/* streams_missed: what was published for a while has not been heard.  streams_published: the inboxes of these have
 * changed, with blanks between them. */
void streams_missed(struct streams *);
void streams_published(struct streams *, const char *recipients);

#endif
