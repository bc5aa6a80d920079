/*
 * The Lua scripts, by name, and the packing of their arguments.
 *
 * A script runs in one partition and is safe to repeat, because a lost answer
 * is an unknown outcome.  Its first two arguments, service and real time, are
 * put in here, so that no script can forget the clock.  Before it stand the
 * tables of vocab.h and state.h, as Lua locals: CHANNELS ("esi"), NAME_OF (e =
 * "email"), PLACE_OF (e = 1), BY_GATE (quiet_hours = true), IS_SENT ('T'),
 * SEND_AT (4) …  A script that may write is refused as a whole when Redis has no
 * memory left, so none stops half way.
 */
#ifndef DISPATCHER_STORE_WIRE_SCRIPT_H
#define DISPATCHER_STORE_WIRE_SCRIPT_H

#include <stdint.h>

#include "dispatcher/store/wire/nodes.h"
#include "dispatcher/store/wire/reply.h"

struct script_source {
    const char *name, *flags, *text; /* flags: of Redis 7, "" or " flags=no-writes" */
};
extern const struct script_source script_sources[]; /* name NULL at the end */

struct args;
struct args *args_new(void);
/* args_begin: with what is to be done, and to whom. */
struct args *args_begin(const char *op, const char *who);
void args_text(struct args *, const char *);
void args_bytes(struct args *, const char *, size_t len);
void args_int(struct args *, int64_t);
void args_char(struct args *, char);
/* args_append: all of the second behind those of the first. */
void args_append(struct args *, const struct args *);
void args_free(struct args *);

/* script_run: takes the args; an answer that is an error is logged and becomes NULL.  A script that Redis has forgotten
 * is sent again, whole, once. */
void script_run(struct nodes *, const char *key, const char *name, struct args *, redis_answer_fn *, void *arg);

/* command_run: the args as a plain command, whose second word is its key; takes them. */
void command_run(struct nodes *, struct args *, redis_answer_fn *, void *arg);

/* scripts_load: hands all scripts to a server that may not have them, so that a burst does not send each call twice,
 * the second time with the whole text. */
void scripts_load(struct redis *);

/* script_failed: during a callback: its NULL is an error that the script has thrown, not the silence of Redis. */
bool script_failed(void);

#endif
