/*
 * From a provider's settings to the driver that carries: one function a driver.
 */
#ifndef DISPATCHER_OUTLETS_DRIVERS_H
#define DISPATCHER_OUTLETS_DRIVERS_H

#include "channels/channel.h"
#include "dispatcher/service.h"

/* driver_mail: an entry of email.providers.  strings keeps what the driver borrows. */
struct provider *driver_mail(struct service *, const json_t *entry, GPtrArray *strings);

/* driver_sms: an entry of sms.providers. */
struct provider *driver_sms(struct service *, const json_t *entry);

#endif
