/*
 * Counters and gauges of this process, in Prometheus's text format 0.0.4.
 */
#ifndef DISPATCHER_BASE_METRICS_H
#define DISPATCHER_BASE_METRICS_H

#include <glib.h>
#include <stdint.h>

enum metric {
    METRIC_MESSAGES,        /* tidings_messages_total{channel,status} */
    METRIC_INTAKE,          /* tidings_intake_total{door,result} */
    METRIC_DUE_LAG,         /* tidings_due_lag_seconds */
    METRIC_QUEUE_DEPTH,     /* tidings_queue_depth{channel} */
    METRIC_QUEUE_DUE,       /* tidings_queue_due{channel} */
    METRIC_IN_FLIGHT,       /* tidings_in_flight{channel} */
    METRIC_DEFERRALS,       /* tidings_deferrals_total{reason} */
    METRIC_RECLAIMED,       /* tidings_leases_reclaimed_total */
    METRIC_REDIS_CALLS,     /* tidings_redis_calls_total{script} */
    METRIC_REDIS_LOST,      /* tidings_redis_connections_lost_total */
    METRIC_REDIS_UP,        /* tidings_redis_up */
    METRIC_PARTITIONS_AWAY, /* tidings_partitions_away */
    METRIC_PROVIDER_UP,     /* tidings_provider_up{provider} */
    METRIC_ATTEMPTS,        /* tidings_attempts_total{provider,outcome} */
    METRIC_HTTP,            /* tidings_http_requests_total{code} */
    METRIC_JOURNAL,         /* tidings_journal_records */
    METRIC_EVENTS,          /* tidings_events_total{result} */
    METRIC_TURN_LAG,        /* tidings_turn_lag_seconds */
    METRIC_STREAMS,         /* tidings_inbox_streams */
    METRIC_STREAMS_REFUSED, /* tidings_inbox_streams_refused_total */
    METRIC_RESYNCS,         /* tidings_inbox_resyncs_total */
    METRIC_HALTS,           /* tidings_halts{scope} */
    METRICS
};

/* metrics_add, metrics_set: labels as in `channel="email",status="sent"`, "" for none. */
void metrics_add(enum metric, const char *labels, double by);
void metrics_set(enum metric, const char *labels, double value);

/* metrics_text: all of them. */
void metrics_text(GString *out);

/* metrics_each: the label sets of one metric. */
void metrics_each(enum metric, void (*fn)(void *arg, const char *labels, double value), void *arg);

#endif
