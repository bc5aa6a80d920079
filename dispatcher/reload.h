/*
 * SIGHUP: policy and templates anew, each as a whole or not at all.
 *
 * A thousand templates take seconds, so they are read and checked one at a
 * time, and the loop goes on in between; the new ones are used when all are there.
 */
#ifndef DISPATCHER_RELOAD_H
#define DISPATCHER_RELOAD_H

#include "dispatcher/service.h"

struct reload;

/* reload_new: done is called when policy and templates are new, for what stands on them. */
struct reload *reload_new(struct service *, void (*done)(void *arg), void *arg);
/* reload_begin: what is broken keeps what it was, and the log says so.  While one is under way it is done again behind
 * it. */
void reload_begin(struct reload *);
void reload_free(struct reload *);

/* reload_lint: says in the log what a check finds wrong in templates, and marks them, so that a reload keeps good
 * ones. */
void reload_lint(const struct service *, struct library *);

#endif
