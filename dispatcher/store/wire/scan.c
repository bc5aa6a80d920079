#include "dispatcher/store/wire/scan.h"

#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/store/wire/reply.h"

struct scanning {
    struct nodes *nodes;
    int server;
    scan_fn *fn;
    void *arg;
};

/* A cursor is Redis's own, and behind a dash the server it is of, unless that is the first. */
static void on_page(void *arg, const redisReply *reply)
{
    struct scanning *scan = arg;
    const char *cursor = reply_text(reply, 0);
    int server = scan->server + (strcmp(cursor, "0") == 0);
    bool over = !reply || server >= nodes_count(scan->nodes);
    g_autofree char *next = over ? g_strdup("0") : server ? g_strdup_printf("%s-%d", cursor, server) : g_strdup(cursor);

    scan->fn(scan->arg, next, reply_at(reply, 1));
    g_free(scan);
}

void scan_page(struct nodes *nodes, const char *match, const char *cursor, scan_fn *fn, void *arg)
{
    struct scanning *scan = g_new0(struct scanning, 1);
    const char *dash = strchr(cursor, '-');
    g_autofree char *own = g_strndup(cursor, strcspn(cursor, "-"));

    *scan = (struct scanning){ nodes, dash ? (int)strtol(dash + 1, NULL, 10) : 0, fn, arg };
    nodes_say(nodes, scan->server, on_page, scan, 6, (const char *[]){ "SCAN", own, "MATCH", match, "COUNT", "500" });
}

struct flushing {
    int open;
    void (*fn)(void *arg);
    void *arg;
};

static void on_flushed(void *arg, const redisReply *reply)
{
    struct flushing *f = arg;

    if (--f->open > 0)
        return;
    f->fn(f->arg);
    g_free(f);
}

/* The answers of a server come in order. */
void flush_all(struct nodes *nodes, void (*fn)(void *), void *arg)
{
    struct flushing *f = g_new0(struct flushing, 1);
    int count = MAX(1, nodes_count(nodes));

    *f = (struct flushing){ count, fn, arg };
    for (int i = 0; i < count; i++)
        nodes_say(nodes, i, on_flushed, f, 1, (const char *[]){ "PING" });
}
