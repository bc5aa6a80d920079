#include <ev.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "dispatcher/base/clock.h"
#include "dispatcher/base/log.h"
#include "dispatcher/config/settings.h"
#include "dispatcher/cli/cli.h"
#include "dispatcher/http/http.h"
#include "dispatcher/carry/worker.h"
#include "dispatcher/cli/supervisor.h"
#include "dispatcher/journeys/events.h"
#include "dispatcher/journeys/sequences.h"
#include "dispatcher/journeys/standing.h"
#include "dispatcher/journeys/turns.h"
#include "dispatcher/journeys/waves.h"
#include "dispatcher/journeys/zones.h"
#include "dispatcher/reload.h"

static char *opt_role;
static double opt_rate;
const GOptionEntry serve_options[] = {
    { "role", 0, 0, G_OPTION_ARG_STRING, &opt_role, "all, api or worker", "ROLE" },
    { "clock-rate", 0, 0, G_OPTION_ARG_DOUBLE, &opt_rate, "service seconds a real second, for demonstrations and tests",
      "N" },
    { 0 },
};

struct serving {
    struct cli *cli;
    struct http_server *http, *figures;
    struct worker *worker;
    struct turns *turns;
    struct waves *waves;
    struct sequences *sequences;
    struct reload *reload;
    struct supervisor supervisor;
    bool started, draining;
    ev_signal term, interrupt, hangup;
};

static const char *not_ready(void *arg)
{
    struct serving *s = arg;
    const struct store *store = s->cli->service->store;

    return s->draining           ? "draining"
           : store->ready        ? NULL
           : *store_fault(store) ? store_fault(store)
                                 : "connecting to Redis";
}

static void on_drained(void *arg)
{
    struct serving *s = arg;
    ev_break(s->cli->loop, EVBREAK_ALL);
}

static void on_stop(struct ev_loop *loop, ev_signal *w, int revents)
{
    struct serving *s = w->data;

    if (s->draining) { /* the second time: now */
        ev_break(loop, EVBREAK_ALL);
        return;
    }
    s->draining = true;
    supervisor_stopping(&s->supervisor);
    log_info("service.draining", NULL);
    if (s->http)
        http_stop(s->http);
    if (s->turns)
        turns_stop(s->turns);
    if (s->waves)
        waves_stop(s->waves);
    if (s->worker)
        worker_drain(s->worker, on_drained, s);
    else if (!s->started && s->cli->service->store)
        store_give_up(s->cli->service->store);
    else
        ev_break(loop, EVBREAK_ALL);
}

static void on_hangup(struct ev_loop *loop, ev_signal *w, int revents)
{
    struct serving *s = w->data;
    reload_begin(s->reload);
}

static void on_published(void *arg, const char *name, const char *message)
{
    struct serving *s = arg;

    if (s->http && !*name) /* the subscription was broken; workers look by themselves */
        http_published(s->http, "");
    else if (s->worker && strcmp(name, "wake") == 0)
        worker_woken(s->worker, message);
    else if (s->worker && strcmp(name, "stops") == 0)
        worker_stops_changed(s->worker);
    else if (s->turns && strcmp(name, "turn") == 0)
        turns_woken(s->turns, message);
    else if (s->http && strcmp(name, "inbox") == 0)
        http_published(s->http, message);
}

static void log_finding(void *arg, bool error, const char *place, const char *what)
{
    if (error)
        log_error("sequence.broken", "{s:s, s:s}", "place", place, "what", what);
    else
        log_warn("sequence.warning", "{s:s, s:s}", "place", place, "what", what);
}

static void on_replanned(void *arg, bool ok, json_t *result)
{
}

/* Runs that follow take the newest version now; a delay that is shorter is made up for as after an outage. */
static void on_kept(void *arg, bool ok)
{
    struct serving *s = arg;

    for (guint i = 0; ok && i < sequences_current(s->sequences)->len; i++) {
        const struct sequence *q = sequences_current(s->sequences)->pdata[i];
        if (q->follows)
            standing_replan(s->cli->service, q->name, on_replanned, NULL);
    }
    if (ok && s->turns)
        zones_check(s->cli->service);
}

static void on_ready(void *arg, bool ready)
{
    struct serving *s = arg;

    log_info(ready ? "redis.ready" : "redis.away", NULL);
    if (ready) {
        sequences_keep_again(s->sequences);
        sequences_keep(s->sequences, on_kept, s);
    }
    if (s->worker)
        worker_store_ready(s->worker, ready);
    if (s->turns && ready)
        turns_anew(s->turns);
}

/* Sequences name templates and categories, so they are read again behind those. */
static void on_reloaded(void *arg)
{
    struct serving *s = arg;

    sequences_reload(s->sequences, log_finding, NULL);
    sequences_keep(s->sequences, on_kept, s);
    log_info("reload.done", "{s:s, s:i}", "what", "sequences", "count", (int)sequences_current(s->sequences)->len);
}

static void watch(struct serving *s, ev_signal *w, void (*fn)(struct ev_loop *, ev_signal *, int), int number)
{
    ev_signal_init(w, fn, number);
    w->data = s;
    ev_signal_start(s->cli->loop, w);
}

static bool start(struct serving *s, char **why)
{
    struct cli *c = s->cli;
    bool api = !opt_role || strcmp(opt_role, "worker") != 0, worker = !opt_role || strcmp(opt_role, "api") != 0;

    if (c->service->library)
        reload_lint(c->service, c->service->library);
    else
        log_warn("templates.none", "{s:s}", "why",
                 "the folder of templates cannot be read; no message will be accepted");
    s->sequences = sequences_open(c->service, log_finding, NULL);
    c->service->takes_over = true;
    if (!service_connect(c->service, opt_rate, 30, why))
        return false;
    sequences_keep(s->sequences, on_kept, s);
    c->service->store->on_ready = on_ready;
    c->service->store->ready_arg = s;
    if (api && !(s->http = http_start(c->service, HTTP_API, not_ready, s, why)))
        return false;
    if (setting_text(c->service->config->root, "http.metrics_listen") &&
        !(s->figures = http_start(c->service, HTTP_FIGURES, not_ready, s, why)))
        return false;
    if (worker && !(s->worker = worker_start(c->service, event_text, why)))
        return false;
    if (worker) {
        s->turns = turns_start(c->service);
        s->waves = waves_start(c->service);
    }
    store_subscribe(c->service->store, 4, (const char *[]){ "wake", "inbox", "turn", "stops" }, on_published, s);
    return true;
}

static void stop(struct serving *s)
{
    supervisor_close(&s->supervisor);
    reload_free(s->reload);
    service_disconnect(s->cli->service);
    if (s->worker)
        worker_close(s->worker);
    turns_close(s->turns);
    waves_close(s->waves);
    http_close(s->http);
    http_close(s->figures);
    sequences_free(s->sequences);
    ev_signal_stop(s->cli->loop, &s->term);
    ev_signal_stop(s->cli->loop, &s->interrupt);
    ev_signal_stop(s->cli->loop, &s->hangup);
}

static void run(struct serving *s)
{
    const struct store *store = s->cli->service->store;

    log_info("service.started", "{s:s, s:i, s:s, s:s}", "role", opt_role ? opt_role : "all", "port",
             s->http ? http_port(s->http) : 0, "redis", store->version, "durability",
             durability_name(store->durability));
    supervisor_ready(&s->supervisor, s->cli->loop);
    ev_run(s->cli->loop, 0);
}

int cmd_serve(struct cli *c)
{
    struct serving s = { .cli = c };
    char *why = NULL;

    if (opt_role && strcmp(opt_role, "all") != 0 && strcmp(opt_role, "api") != 0 && strcmp(opt_role, "worker") != 0)
        return cli_usage(c, "the role is all, api or worker");
    if (c->argc)
        return cli_usage(c, "takes no further words");
    if (!(opt_rate >= 0 && opt_rate <= 1e6))
        return cli_usage(c, "the clock rate lies between 0 and 1000000");
#ifndef TIDINGS_SANITIZED      /* a leak check looks into its own process */
    prctl(PR_SET_DUMPABLE, 0); /* no core file holds addresses or secrets */
#endif
    s.reload = reload_new(c->service, on_reloaded, &s);
    watch(&s, &s.term, on_stop, SIGTERM);
    watch(&s, &s.interrupt, on_stop, SIGINT);
    watch(&s, &s.hangup, on_hangup, SIGHUP);
    cli_hold_signals(false);
    s.started = start(&s, &why);
    if (!s.started && !s.draining) {
        int status = cli_fail("%s", why);
        g_free(why);
        stop(&s);
        return status;
    }
    g_free(why);
    if (!s.draining)
        run(&s);
    log_info("service.stopped", NULL);
    stop(&s);
    return 0;
}
