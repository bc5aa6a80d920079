#include "dispatcher/journeys/zones.h"

#include <glib.h>
#include <string.h>

#include "dispatcher/base/log.h"
#include "dispatcher/journeys/standing.h"
#include "dispatcher/store/wire/reply.h"
#include "schedules/zone.h"

#define KEY "zones"

/* ---------------------------------------------------------------- by which rules */

struct checking {
    struct service *service;
    char rules[ZONE_RULES_SIZE];
};

static void on_written(void *arg, const redisReply *reply)
{
}

static void on_replanned(void *arg, bool ok, json_t *result)
{
    struct checking *c = arg;
    g_autofree char *key = store_key(c->service->store, KEY);

    if (ok)
        store_command(c->service->store, on_written, NULL, 3, (const char *[]){ "SET", key, c->rules });
    g_free(c);
}

static void on_rules(void *arg, const redisReply *reply)
{
    struct checking *c = arg;
    bool same = reply && reply->type == REDIS_REPLY_STRING && strcmp(reply->str, c->rules) == 0;

    if (!reply || same) {
        g_free(c);
        return;
    }
    if (reply->type == REDIS_REPLY_STRING)
        log_info("zones.changed", "{s:s}", "why", "tzdata is another one: who waits for a time of day is planned anew");
    standing_replan(c->service, "", on_replanned, c);
}

void zones_check(struct service *s)
{
    struct checking *c = g_new0(struct checking, 1);
    g_autofree char *key = store_key(s->store, KEY);

    c->service = s;
    zone_rules(c->rules);
    store_command(s->store, on_rules, c, 2, (const char *[]){ "GET", key });
}
