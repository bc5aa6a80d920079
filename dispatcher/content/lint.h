/*
 * The checks of templates (templates/check.h) under this service's policy: for
 * `tidings template check`, and for a reload, which must not replace a good
 * template by one that would fail.
 */
#ifndef DISPATCHER_CONTENT_LINT_H
#define DISPATCHER_CONTENT_LINT_H

#include "dispatcher/service.h"

typedef void lint_finding_fn(void *arg, bool error, const char *place, const char *what);

/* lint_templates: tells every finding of one template (NULL: of all; CHECK_SHARED: of layouts and pages).  Errors also
 * become flaws of their templates. */
void lint_templates(const struct service *, struct library *, const char *only, lint_finding_fn *, void *arg);

#endif
