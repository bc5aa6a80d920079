/*
 * From settings to the outlets that are configured: a row for the settings of a
 * channel, a row for each driver, which is found by the scheme of the URL (which
 * config/settings_table.c lets pass).  cli/cmd_check.c has the probe of each.
 */
#ifndef DISPATCHER_OUTLETS_DRIVERS_H
#define DISPATCHER_OUTLETS_DRIVERS_H

#include "channels/channel.h"
#include "dispatcher/outlets/outbox.h"
#include "dispatcher/service.h"

/* drivers_open: all of them, in the order of their lists. */
struct outbox *drivers_open(struct service *);

/* driver_mail: the provider of an entry of email.providers. */
struct provider *driver_mail(struct service *, const json_t *entry);

#endif
