/*
 * The fields of the hash that holds how far a message is, s:<mid>: a name and the
 * letters that stand for it in Redis.  Scripts have the names as Lua locals: the
 * first ones as they are, those of a delivery behind the letter of its channel,
 * as in L..STATUS.
 */
#ifndef DISPATCHER_STORE_WIRE_STATE_H
#define DISPATCHER_STORE_WIRE_STATE_H

#define STATE_TABLE(ROW)                                                                                               \
    ROW(RECIPIENT, "r")                                                                                                \
    ROW(CATEGORY, "c")                                                                                                 \
    ROW(KIND, "k")                                                                                                     \
    ROW(SEND_AT, "a")                                                                                                  \
    ROW(EXPIRES, "x")  /* 0: never */                                                                                  \
    ROW(STRATEGY, "q") /* "f" for first */                                                                             \
    ROW(ORDER, "h")    /* its channels, by letter */                                                                   \
    ROW(LANE, "l")                                                                                                     \
    ROW(SUPERSEDE, "u")                                                                                                \
    ROW(CIVIL, "v") /* local time|ttl, when its time follows the person's zone */                                      \
    ROW(OPEN, "n")  /* how many deliveries have not ended */                                                           \
    ROW(ACCEPTED_AT, "z")                                                                                              \
    ROW(ENDED, "e") /* when the last of them did; its time to be kept begins */                                        \
    ROW(SOURCE, "w")                                                                                                   \
    ROW(ERASED, "erased") /* its person is forgotten; it goes when what is in flight has ended */

#define DELIVERY_TABLE(ROW)                                                                                            \
    ROW(STATUS, "s")                                                                                                   \
    ROW(ATTEMPTS, "a")                                                                                                 \
    ROW(DUE, "d")                                                                                                      \
    ROW(REASON, "r")                                                                                                   \
    ROW(FENCE, "f")                                                                                                    \
    ROW(PROVIDER, "p")                                                                                                 \
    ROW(SENT_AT, "t")                                                                                                  \
    ROW(REFERENCE, "i")     /* the provider's */                                                                       \
    ROW(ON_LOST, "o")       /* "r" resend, "h" hold: when the outcome is lost */                                       \
    ROW(MAYBE, "m")         /* set once an outcome was lost */                                                         \
    ROW(PLANNED, "g")       /* when a gate let it go */                                                                \
    ROW(ADMISSIONS, "x")    /* without a settlement */                                                                 \
    ROW(UNKNOWN_SINCE, "w") /* since when no worker knew its template */                                               \
    ROW(HOLDER, "y")        /* role|account, while the account may hold a reservation for it */

#define STATE_FIELD(name, letters)    static const char STATE_##name[] __attribute__((unused)) = letters;
#define DELIVERY_FIELD(name, letters) static const char DELIVERY_##name[] __attribute__((unused)) = letters;
STATE_TABLE(STATE_FIELD)
DELIVERY_TABLE(DELIVERY_FIELD)

#endif
