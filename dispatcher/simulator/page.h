/*
 * A report as one page that stands alone: calendar, hours, what was sent and held
 * back, sequences, people; light and dark, print, without scripts.
 */
#ifndef DISPATCHER_SIMULATOR_PAGE_H
#define DISPATCHER_SIMULATOR_PAGE_H

#include <jansson.h>

/* page_write: g_free. */
char *page_write(const json_t *report, const char *title);

#endif
