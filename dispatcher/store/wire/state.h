/*
 * How far a message is, s:<mid>: one text of lines, the message first, then its
 * delivery on each channel in the order of channel_letters, empty where there is
 * none.  A line is fields between unit separators (31), in the order of the tables
 * below; what is not known is empty.  A new field comes last, and none is ever
 * taken away: data that was written before has it.  Scripts have the names as Lua
 * locals, which are places in a line.
 */
#ifndef DISPATCHER_STORE_WIRE_STATE_H
#define DISPATCHER_STORE_WIRE_STATE_H

#include "dispatcher/base/vocab.h"

#define STATE_TABLE(ROW)                                                                                               \
    ROW(RECIPIENT)                                                                                                     \
    ROW(CATEGORY)                                                                                                      \
    ROW(KIND)                                                                                                          \
    ROW(SEND_AT)                                                                                                       \
    ROW(EXPIRES)  /* 0: never */                                                                                       \
    ROW(STRATEGY) /* "f" for first */                                                                                  \
    ROW(ORDER)    /* its channels, by letter */                                                                        \
    ROW(LANE)                                                                                                          \
    ROW(SUPERSEDE)                                                                                                     \
    ROW(CIVIL) /* local time|ttl, when its time follows the person's zone */                                           \
    ROW(OPEN)  /* how many deliveries have not ended */                                                                \
    ROW(ACCEPTED_AT)                                                                                                   \
    ROW(ENDED) /* when the last of them did; its time to be kept begins */                                             \
    ROW(SOURCE)                                                                                                        \
    ROW(ERASED)  /* its person is forgotten; it goes when what is in flight has ended */                               \
    ROW(TRACED)  /* how many lines its trace has */                                                                    \
    ROW(JOURNEY) /* run|sequence|step, of a run that sent it and hears of its end */

#define DELIVERY_TABLE(ROW)                                                                                            \
    ROW(STATUS)                                                                                                        \
    ROW(ATTEMPTS)                                                                                                      \
    ROW(DUE)                                                                                                           \
    ROW(REASON)                                                                                                        \
    ROW(FENCE)                                                                                                         \
    ROW(PROVIDER)                                                                                                      \
    ROW(SENT_AT)                                                                                                       \
    ROW(REFERENCE)     /* the provider's */                                                                            \
    ROW(ON_LOST)       /* "r" resend, "h" hold: when the outcome is lost */                                            \
    ROW(MAYBE)         /* set once an outcome was lost */                                                              \
    ROW(PLANNED)       /* when a gate let it go */                                                                     \
    ROW(ADMISSIONS)    /* without a settlement */                                                                      \
    ROW(UNKNOWN_SINCE) /* since when no worker knew its template */                                                    \
    ROW(HOLDER)        /* role|account, while the account may hold a reservation for it */

#define STATE_PLACE(name)    STATE_##name,
#define DELIVERY_PLACE(name) DELIVERY_##name,
enum state_field { STATE_TABLE(STATE_PLACE) STATE_FIELDS };
enum delivery_field { DELIVERY_TABLE(DELIVERY_PLACE) DELIVERY_FIELDS };

/* A state that was read: its fields point into `text`. */
struct state {
    char *text;
    const char *of[STATE_FIELDS];
    const char *on[CHANNEL_COUNT][DELIVERY_FIELDS]; /* on[c][DELIVERY_STATUS] is "" where there is none */
};
/* state_read: "" for what is not there.  state_text: g_free.  state_clear: frees what was read. */
void state_read(struct state *, const char *text);
char *state_text(const struct state *);
void state_clear(struct state *);

#endif
