/*
 * What a service manager is told (sd_notify(3)): ready, reloading, stopping, and,
 * when it asks for that (WatchdogSec), that the loop still turns.  Without one
 * nobody is told anything.
 */
#ifndef DISPATCHER_CLI_SUPERVISOR_H
#define DISPATCHER_CLI_SUPERVISOR_H

#include <ev.h>

struct supervisor {
    struct ev_loop *loop;
    ev_timer watchdog;
};

/* supervisor_ready: from here on the watchdog is told too, twice in its time. */
void supervisor_ready(struct supervisor *, struct ev_loop *);
void supervisor_stopping(struct supervisor *);
void supervisor_close(struct supervisor *);

#endif
