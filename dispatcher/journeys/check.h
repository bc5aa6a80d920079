/*
 * What a definition says of templates, categories and channels, beside what there
 * is.
 */
#ifndef DISPATCHER_JOURNEYS_CHECK_H
#define DISPATCHER_JOURNEYS_CHECK_H

#include "dispatcher/service.h"
#include "schedules/sequence.h"

/* check_content: templates that are there, with parts for the channels, and given the data that they require;
 * categories of the configuration. */
void check_content(const struct service *, const struct sequence *, struct complaints *);

#endif
