#include "dispatcher/base/metrics.h"

#include <assert.h>
#include <string.h>

static const struct {
    const char *name, *type, *help;
} rows[METRICS] = {
    [METRIC_MESSAGES] = { "tidings_messages_total", "counter", "Deliveries that reached a status." },
    [METRIC_INTAKE] = { "tidings_intake_total", "counter", "Messages offered, by door and result." },
    [METRIC_DUE_LAG] = { "tidings_due_lag_seconds", "gauge",
                         "Age of the oldest message that is due and not yet claimed." },
    [METRIC_QUEUE_DEPTH] = { "tidings_queue_depth", "gauge", "Deliveries that wait, due or not." },
    [METRIC_QUEUE_DUE] = { "tidings_queue_due", "gauge", "Deliveries that are due and wait." },
    [METRIC_IN_FLIGHT] = { "tidings_in_flight", "gauge", "Deliveries claimed by some worker." },
    [METRIC_DEFERRALS] = { "tidings_deferrals_total", "counter", "Deliveries put off, by reason." },
    [METRIC_RECLAIMED] = { "tidings_leases_reclaimed_total", "counter",
                           "Deliveries taken over after their worker died." },
    [METRIC_REDIS_CALLS] = { "tidings_redis_calls_total", "counter", "Scripts run in Redis." },
    [METRIC_REDIS_LOST] = { "tidings_redis_connections_lost_total", "counter", "Connections to Redis that were lost." },
    [METRIC_REDIS_UP] = { "tidings_redis_up", "gauge", "1 while Redis answers." },
    [METRIC_PARTITIONS_AWAY] = { "tidings_partitions_away", "gauge",
                                 "Partitions whose Redis server cannot be reached; they wait, the others go on." },
    [METRIC_PROVIDER_UP] = { "tidings_provider_up", "gauge", "0 while a provider is paused after a fault." },
    [METRIC_ATTEMPTS] = { "tidings_attempts_total", "counter", "Attempts to hand over, by provider and outcome." },
    [METRIC_HTTP] = { "tidings_http_requests_total", "counter", "HTTP requests answered." },
    [METRIC_EVENTS] = { "tidings_events_total", "counter", "Events that came, by the status of the answer." },
    [METRIC_TURN_LAG] = { "tidings_turn_lag_seconds", "gauge",
                          "How long people in sequences wait for a turn that is due." },
    [METRIC_STREAMS] = { "tidings_inbox_streams", "gauge", "Inbox streams that are open." },
    [METRIC_STREAMS_REFUSED] = { "tidings_inbox_streams_refused_total", "counter",
                                 "Inbox streams that were one too many." },
    [METRIC_RESYNCS] = { "tidings_inbox_resyncs_total", "counter",
                         "Streams that were told to list again: too much had changed, or was not read." },
    [METRIC_HALTS] = { "tidings_halts", "gauge", "Stops that stand, by the property that they halt." },
    [METRIC_JOURNAL] = { "tidings_journal_records", "gauge", "Results that wait in the local journal for Redis." },
};

static GHashTable *values[G_N_ELEMENTS(rows)]; /* labels → double */

static double *slot(enum metric metric, const char *labels)
{
    assert(rows[metric].name);
    if (!values[metric])
        values[metric] = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    double *value = g_hash_table_lookup(values[metric], labels);
    if (!value) {
        value = g_new0(double, 1);
        g_hash_table_insert(values[metric], g_strdup(labels), value);
    }
    return value;
}

void metrics_add(enum metric metric, const char *labels, double by)
{
    *slot(metric, labels) += by;
}

void metrics_set(enum metric metric, const char *labels, double value)
{
    *slot(metric, labels) = value;
}

void metrics_each(enum metric metric, void (*fn)(void *, const char *, double), void *arg)
{
    if (!values[metric])
        return;
    g_autoptr(GList) keys = g_list_sort(g_hash_table_get_keys(values[metric]), (GCompareFunc)strcmp);
    for (GList *k = keys; k; k = k->next)
        fn(arg, k->data, *(double *)g_hash_table_lookup(values[metric], k->data));
}

struct text_job {
    GString *out;
    enum metric metric;
};

static void append_value(void *arg, const char *labels, double value)
{
    struct text_job *job = arg;
    char number[G_ASCII_DTOSTR_BUF_SIZE];

    g_ascii_formatd(number, sizeof number, "%.15g", value);
    g_string_append_printf(job->out, *labels ? "%s{%s} %s\n" : "%s%s %s\n", rows[job->metric].name, labels, number);
}

void metrics_text(GString *out)
{
    for (unsigned m = 0; m < G_N_ELEMENTS(rows); m++) {
        g_string_append_printf(out, "# HELP %s %s\n# TYPE %s %s\n", rows[m].name, rows[m].help, rows[m].name,
                               rows[m].type);
        metrics_each((enum metric)m, append_value, &(struct text_job){ out, (enum metric)m });
    }
}
