/*
 * The second door: a worker takes in what others XADD to <prefix>:ingest.
 *
 * An entry is acknowledged and deleted once its message is stored or buried in
 * the dead letters; the message's id comes from the entry's, so an entry that is
 * read twice (a worker died in between) makes one message.
 */
#ifndef DISPATCHER_INTAKE_INGEST_H
#define DISPATCHER_INTAKE_INGEST_H

#include "dispatcher/intake/intake.h"
#include "dispatcher/service.h"

struct ingest;
/* ingest_start: messages go in by intake_text, events by the door that is given, which keeps the same rules. */
typedef void ingest_door_fn(struct service *, const char *text, size_t len, const struct intake_origin *, intake_fn *,
                            void *arg);
struct ingest *ingest_start(struct service *, ingest_door_fn *events);
/* ingest_wake: the store has become ready. */
void ingest_wake(struct ingest *);
/* ingest_stop: takes no more in; what is under way ends by itself. */
void ingest_stop(struct ingest *);
/* ingest_busy: entries under way. */
int ingest_busy(const struct ingest *);
void ingest_close(struct ingest *);

#endif
