#include "dispatcher/store/wire/upgrade.h"

#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/base/clock.h"
#include "dispatcher/base/log.h"
#include "dispatcher/store/wire/scan.h"
#include "dispatcher/store/wire/script.h"

#define ALIVE_MS 6000 /* workers say each second that they live (roster.h) */

struct upgrade {
    struct upgrade_of of;
    upgrade_fn *fn;
    void *arg;
    char *cursor;
    int open; /* scripts that have not answered, and one while they are being asked */
    bool lost;
    int64_t taken;
};

static void finish(struct upgrade *u, const char *why)
{
    u->fn(u->arg, why);
    g_free(u->cursor);
    g_free(u);
}

static void on_ended(void *arg, const redisReply *reply)
{
    struct upgrade *u = arg;

    if (reply)
        log_info("redis.upgraded", "{s:i, s:I}", "schema", SCHEMA, "messages", (json_int_t)u->taken);
    finish(u, reply ? NULL : "");
}

static void end(struct upgrade *u)
{
    g_autofree char *meta = g_strdup_printf("%s:{0}:meta", u->of.prefix);

    nodes_call(u->of.nodes, meta, on_ended, u, 3, (const char *[]){ "HDEL", meta, "upgrading" }, NULL);
}

/* ---------------------------------------------------------------- a page */

static void on_page(void *arg, const char *cursor, const redisReply *keys);

static void next_page(struct upgrade *u)
{
    g_autofree char *states = g_strdup_printf("%s:{*}:s:*", u->of.prefix);
    scan_page(u->of.nodes, states, u->cursor, on_page, u);
}

static void page_done(struct upgrade *u)
{
    if (--u->open > 0)
        return;
    if (u->lost)
        finish(u, "");
    else if (strcmp(u->cursor, "0") == 0)
        end(u);
    else
        next_page(u);
}

static void on_taken(void *arg, const redisReply *reply)
{
    struct upgrade *u = arg;

    u->lost |= !reply || reply->type != REDIS_REPLY_INTEGER;
    u->taken += !u->lost ? reply->integer : 0;
    page_done(u);
}

static void take_over(struct upgrade *u, int partition, struct args *mids)
{
    g_autofree char *key = g_strdup_printf("%s:{%d}:", u->of.prefix, partition);
    script_run(u->of.nodes, key, "upgrade", mids, on_taken, u);
}

/* The messages of a page, by partition: "PREFIX:{3}:s:MID". */
static void sort_page(struct upgrade *u, const redisReply *keys, struct args **by_partition)
{
    size_t before = strlen(u->of.prefix) + 2;

    for (size_t i = 0; i < keys->elements; i++) {
        const char *key = reply_text(keys, i), *mid = strstr(key, "}:s:");
        int partition = strlen(key) > before ? atoi(key + before) : -1;
        if (!mid || partition < 0 || partition >= u->of.partitions)
            continue;
        if (!by_partition[partition]) {
            by_partition[partition] = args_new();
            args_int(by_partition[partition], u->of.retain_messages_ms);
            args_int(by_partition[partition], u->of.retain_events_ms);
        }
        args_text(by_partition[partition], mid + strlen("}:s:"));
    }
}

static void on_page(void *arg, const char *cursor, const redisReply *keys)
{
    struct upgrade *u = arg;

    if (!keys) {
        finish(u, "");
        return;
    }
    g_autofree struct args **by_partition = g_new0(struct args *, u->of.partitions);
    g_free(u->cursor);
    u->cursor = g_strdup(cursor);
    sort_page(u, keys, by_partition);
    u->open = 1;
    for (int i = 0; i < u->of.partitions; i++)
        if (by_partition[i]) {
            u->open++;
            take_over(u, i, by_partition[i]);
        }
    page_done(u);
}

/* ---------------------------------------------------------------- may it begin */

static void on_begun(void *arg, const redisReply *reply)
{
    struct upgrade *u = arg;

    if (!reply || reply->type == REDIS_REPLY_ERROR) {
        finish(u, "");
        return;
    }
    log_info("redis.upgrading", "{s:i, s:i}", "from", u->of.from, "schema", SCHEMA);
    next_page(u);
}

/* From here on the earlier version is refused: what it writes would not be seen. */
static void begin(struct upgrade *u)
{
    g_autofree char *meta = g_strdup_printf("%s:{0}:meta", u->of.prefix);
    g_autofree char *schema = g_strdup_printf("%d", SCHEMA), *from = g_strdup_printf("%d", u->of.from);

    nodes_call(u->of.nodes, meta, on_begun, u, 6, (const char *[]){ "HSET", meta, "schema", schema, "upgrading", from },
               NULL);
}

static void on_workers(void *arg, const redisReply *reply)
{
    struct upgrade *u = arg;

    if (!reply || reply->type != REDIS_REPLY_ARRAY) {
        finish(u, "");
    } else if (reply->elements) {
        g_autofree char *why =
            g_strdup_printf("a worker of an earlier version still runs (%s), whose data this version would take over; "
                            "stop all of them, then start this one",
                            reply_text(reply, 0));
        finish(u, why);
    } else {
        begin(u);
    }
}

void upgrade_run(const struct upgrade_of *of, upgrade_fn *fn, void *arg)
{
    struct upgrade *u = g_new0(struct upgrade, 1);
    g_autofree char *names = g_strdup_printf("%s:workers", of->prefix);
    g_autofree char *alive = g_strdup_printf("%" G_GINT64_FORMAT, clock_real() - ALIVE_MS);

    *u = (struct upgrade){ .of = *of, .fn = fn, .arg = arg, .cursor = g_strdup("0") };
    nodes_call(of->nodes, names, on_workers, u, 4, (const char *[]){ "ZRANGEBYSCORE", names, alive, "+inf" }, NULL);
}
