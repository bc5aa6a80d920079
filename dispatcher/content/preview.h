/*
 * One static page that shows every template in every channel and locale, with
 * the samples of template.yaml: for people who write and translate them.
 */
#ifndef DISPATCHER_CONTENT_PREVIEW_H
#define DISPATCHER_CONTENT_PREVIEW_H

#include "dispatcher/service.h"

/* preview_page: appends the page.  NULL when content, else a sentence to be freed. */
char *preview_page(struct service *, GString *out);

#endif
