#include "dispatcher/store/counts.h"

#include <string.h>

#include "dispatcher/store/asking.h"
#include "dispatcher/store/wire/scan.h"

#define SLICE  1000
#define KEPT_S "3600"

/* ---------------------------------------------------------------- people */

struct paging {
    const char *mark; /* behind which a key has the id */
    people_fn *fn;
    void *arg;
};

static void on_page(void *arg, const char *cursor, const redisReply *keys)
{
    struct paging *p = arg;
    json_auto_t *people = json_array();

    for (size_t i = 0; keys && i < keys->elements; i++) {
        const char *name = strstr(reply_text(keys, i), p->mark);
        if (name)
            json_array_append_new(people, json_string(name + strlen(p->mark)));
    }
    p->fn(p->arg, keys != NULL, cursor, people);
    g_free(p);
}

void store_people_page(struct store *s, const char *cursor, people_fn *fn, void *arg)
{
    struct paging *p = g_new0(struct paging, 1);
    g_autofree char *match = g_strconcat(s->prefix, ":{*}:u:*", NULL);

    *p = (struct paging){ "}:u:", fn, arg };
    scan_page(s->nodes, match, cursor, on_page, p);
}

void store_traced_page(struct store *s, int partition, const char *cursor, people_fn *fn, void *arg)
{
    struct paging *p = g_new0(struct paging, 1);
    g_autofree char *match = g_strdup_printf("%s:{%d}:qt:*", s->prefix, partition);

    *p = (struct paging){ "}:qt:", fn, arg };
    scan_page(s->nodes, match, cursor, on_page, p);
}

/* ---------------------------------------------------------------- a count */

static void on_added(void *arg, const redisReply *reply)
{
    struct gather *g = arg;

    g->lost |= !reply || reply->type != REDIS_REPLY_INTEGER;
    gather_done(g);
}

static char *count_key(const struct store *s, const char *name)
{
    g_autofree char *own = g_strconcat("count:", name, NULL);
    return store_key(s, own);
}

void store_count_keep(struct store *s, const char *name, GHashTable *hashes, json_fn *fn, void *arg)
{
    struct gather *g = gather_new(NULL, fn, arg);
    g_autofree char *key = count_key(s, name);
    const char *words[SLICE + 2] = { "SADD", key, "" }; /* one that is nobody's: nobody was counted is a count, too */
    GHashTableIter i;
    const char *hash;
    int n = 3;

    g_hash_table_iter_init(&i, hashes);
    while (g_hash_table_iter_next(&i, (void **)&hash, NULL)) {
        words[n++] = hash;
        if (n < SLICE + 2)
            continue;
        g->open++;
        store_command(s, on_added, g, n, words);
        n = 2;
    }
    if (n > 2) {
        g->open++;
        store_command(s, on_added, g, n, words);
    }
    g->open++;
    store_command(s, on_added, g, 3, (const char *[]){ "EXPIRE", key, KEPT_S });
    gather_done(g);
}

void store_count_kept(struct store *s, const char *name, json_fn *fn, void *arg)
{
    g_autofree char *key = count_key(s, name);
    store_command(s, on_asked, asking_new(read_texts, fn, arg), 2, (const char *[]){ "SMEMBERS", key });
}
