#include "dispatcher/store/wire/greeting.h"

#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/store/wire/reply.h"

#define OLDEST_REDIS 7 /* whose scripts have flags, and are refused as a whole when there is no memory left */

struct greeting_job {
    struct node *node;
    struct redis *redis;
    struct greeting found;
    char *version, *evicts;
    bool aof;
    greeted_fn *fn;
    void *arg;
};

static void finish(struct greeting_job *job, bool told, const char *why)
{
    job->found.version = job->version;
    job->found.evicts = job->evicts;
    job->fn(job->arg, job->node, told ? &job->found : NULL, why);
    g_free(job->version);
    g_free(job->evicts);
    g_free(job);
}

static void on_fsync(void *arg, const redisReply *reply)
{
    struct greeting_job *job = arg;

    /* an ACL may keep CONFIG from us: then the weaker promise is given */
    bool always = strcmp(reply_text(reply, 1), "always") == 0;
    job->found.durability = !job->aof ? DURABILITY_MEMORY : always ? DURABILITY_FSYNC : DURABILITY_EVERYSEC;
    finish(job, reply != NULL, "the connection is gone");
}

static char *info_value(const char *info, const char *name)
{
    const char *at = strstr(info, name);

    if (!at)
        return g_strdup("");
    at += strlen(name);
    return g_strndup(at, strcspn(at, "\r\n"));
}

static bool info_is(const char *info, const char *name, const char *value)
{
    g_autofree char *found = info_value(info, name);
    return strcmp(found, value) == 0;
}

static void on_info(void *arg, const redisReply *reply)
{
    struct greeting_job *job = arg;

    if (!reply || reply->type != REDIS_REPLY_STRING) {
        finish(job, false, reply && reply->str ? reply->str : "the connection is gone");
        return;
    }
    const char *info = reply->str;
    g_autofree char *policy = info_value(info, "maxmemory_policy:"), *replicas = info_value(info, "connected_slaves:");
    job->version = info_value(info, "redis_version:");
    if (*job->version && atoi(job->version) < OLDEST_REDIS) {
        g_autofree char *why = g_strdup_printf("Redis %s is too old: version %d is needed", job->version, OLDEST_REDIS);
        finish(job, false, why);
        return;
    }
    job->found.cluster = info_is(info, "cluster_enabled:", "1");
    job->found.replica = info_is(info, "role:", "slave");
    job->found.replicas = (int)g_ascii_strtoll(replicas, NULL, 10);
    job->aof = info_is(info, "aof_enabled:", "1");
    if (*policy && strcmp(policy, "noeviction") != 0)
        job->evicts = g_strdup_printf("Redis may evict keys (maxmemory-policy %s), which loses messages; set "
                                      "\"maxmemory-policy noeviction\"",
                                      policy);
    redis_say(job->redis, on_fsync, job, 3, (const char *[]){ "CONFIG", "GET", "appendfsync" });
}

void greet_server(struct node *node, struct redis *redis, greeted_fn *fn, void *arg)
{
    struct greeting_job *job = g_new0(struct greeting_job, 1);

    *job = (struct greeting_job){ .node = node, .redis = redis, .fn = fn, .arg = arg };
    redis_say(redis, on_info, job, 1, (const char *[]){ "INFO" });
}
