#include "dispatcher/cli/supervisor.h"

#include <systemd/sd-daemon.h>

static void on_watchdog(struct ev_loop *loop, ev_timer *timer, int revents)
{
    sd_notify(0, "WATCHDOG=1");
}

void supervisor_ready(struct supervisor *s, struct ev_loop *loop)
{
    uint64_t limit_us;

    s->loop = loop;
    ev_init(&s->watchdog, on_watchdog);
    sd_notify(0, "READY=1");
    if (sd_watchdog_enabled(0, &limit_us) <= 0)
        return;
    s->watchdog.repeat = (double)limit_us / 2e6;
    ev_timer_again(loop, &s->watchdog);
}

void supervisor_stopping(struct supervisor *s)
{
    sd_notify(0, "STOPPING=1");
}

void supervisor_close(struct supervisor *s)
{
    if (s->loop)
        ev_timer_stop(s->loop, &s->watchdog);
}
