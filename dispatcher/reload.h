/*
 * SIGHUP: policy and templates anew, as a whole or not at all.
 */
#ifndef DISPATCHER_RELOAD_H
#define DISPATCHER_RELOAD_H

#include "dispatcher/service.h"

/* reload: what is broken keeps what it was, and the log says so. */
void reload(struct service *);

/* reload_lint: says in the log what a check finds wrong in templates, and marks them, so that a reload keeps good
 * ones. */
void reload_lint(const struct service *, struct library *);

#endif
