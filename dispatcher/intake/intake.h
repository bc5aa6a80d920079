/*
 * The one intake of all doors.
 *
 *   check ──▶ (profile) ──▶ place in time ──▶ (reserve the key) ──▶ accept ──▶ answer
 *
 * What was accepted is in Redis, whole, before the answer.  What is refused has
 * changed nothing.  When Redis does not answer, neither can be said: the answer
 * is 503, and the same call with the same idempotency key finds out.
 */
#ifndef DISPATCHER_INTAKE_INTAKE_H
#define DISPATCHER_INTAKE_INTAKE_H

#include "dispatcher/intake/message.h"
#include "dispatcher/service.h"
#include "dispatcher/store/messages.h"

struct intake_answer {
    int status; /* HTTP's: 202, 400, 422, 503 */
    bool replayed;
    const json_t *body; /* contract 4, or an RFC 9457 problem; borrowed until the callback returns */
};
typedef void intake_fn(void *arg, const struct intake_answer *);

struct intake_origin {
    const char *door;   /* "http", "stream", "cli" */
    const char *source; /* who, when the message does not say; "" for nobody */
    const char *key;    /* an idempotency key from outside the body, or NULL */
    const char *seed;   /* makes the id, so that taking in the same origin twice makes one message; or NULL */
};

/* intake_text: one message as JSON text; the answer comes from the loop, once. */
void intake_text(struct service *, const char *text, size_t len, const struct intake_origin *, intake_fn *, void *arg);

/* intake_prepare: the same checks for a message that goes into the store with something else, in one script.  profile:
 * the recipient's, JSON, "" for none.  False with complaints in errors.  prepared_clear in either case. */
struct prepared {
    struct draft draft;
    struct acceptance acceptance; /* borrows from here */
    char *body;
    char local[64];
};
bool intake_prepare(const struct service *, const json_t *message, const char *id, const char *profile,
                    const char *journey, struct prepared *, json_t *errors);
void prepared_clear(struct prepared *);

#endif
