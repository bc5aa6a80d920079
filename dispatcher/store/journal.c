#include "dispatcher/store/store.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>
#include <zlib.h>

#include "dispatcher/base/log.h"
#include "dispatcher/base/metrics.h"
#include "dispatcher/store/pipeline.h"
#include "dispatcher/store/journal.h"
#include "dispatcher/store/wire/script.h"

/*
 * A record is: length of the text, CRC-32 of the text, the text (a settlement as
 * a JSON array).  A torn tail is cut off; a record whose settlement Redis has
 * taken leaves with the whole file, once nothing in it is open.  One that makes the
 * store's script fail goes to the file settlements-refused beside it.
 */
struct journal {
    char *path;
    int fd;
    GPtrArray *open; /* texts that Redis has not taken yet */
    int asking;
    /* The disk is waited for in a thread of its own; the lock is that of what follows. */
    pthread_t syncer;
    pthread_mutex_t lock;
    pthread_cond_t said;
    bool dirty, ending, failed;
    bool syncing;
};

static uint32_t crc32_of(const char *bytes, size_t len)
{
    return (uint32_t)crc32_z(0, (const Bytef *)bytes, len);
}

/* ---------------------------------------------------------------- records */

static char *pack(const struct settlement *t)
{
    json_auto_t *record =
        json_pack("[s, s#, I, b, s#, s, I, b, b, b, s, s, I, s, s]", t->message, &t->letter, 1, (json_int_t)t->fence,
                  t->final, t->code ? &t->code : "", t->code ? 1 : 0, t->reason, (json_int_t)t->due, t->burn,
                  t->keep_cap, t->next_channel, t->provider, t->ref, (json_int_t)t->sent_at, t->trace, t->card);
    return json_dumps(record, JSON_COMPACT);
}

/* Fills a settlement that borrows from the record. */
static bool unpack(json_t *record, struct settlement *t)
{
    const char *letter, *code;
    json_int_t fence, due, sent_at;
    int final, burn, keep, next;

    if (json_unpack(record, "[s, s, I, b, s, s, I, b, b, b, s, s, I, s, s]", &t->message, &letter, &fence, &final,
                    &code, &t->reason, &due, &burn, &keep, &next, &t->provider, &t->ref, &sent_at, &t->trace,
                    &t->card) != 0 ||
        ident_partition(t->message) < 0)
        return false;
    t->letter = *letter;
    t->code = *code;
    t->fence = fence;
    t->due = due;
    t->sent_at = sent_at;
    t->final = final;
    t->burn = burn;
    t->keep_cap = keep;
    t->next_channel = next;
    return true;
}

static void *sync_on(void *arg)
{
    struct journal *j = arg;

    pthread_mutex_lock(&j->lock);
    while (j->dirty || !j->ending) {
        if (!j->dirty) {
            pthread_cond_wait(&j->said, &j->lock);
            continue;
        }
        j->dirty = false;
        pthread_mutex_unlock(&j->lock);
        bool failed = fdatasync(j->fd) < 0;
        pthread_mutex_lock(&j->lock);
        j->failed |= failed;
    }
    pthread_mutex_unlock(&j->lock);
    return NULL;
}

/* False when the disk has not taken what came before. */
static bool sync_soon(struct journal *j)
{
    pthread_mutex_lock(&j->lock);
    bool good = !j->failed;
    j->dirty = true;
    pthread_cond_signal(&j->said);
    pthread_mutex_unlock(&j->lock);
    return good;
}

static bool append(struct journal *j, const char *text)
{
    uint32_t head[2] = { (uint32_t)strlen(text), crc32_of(text, strlen(text)) };
    g_autofree char *bytes = g_malloc(sizeof head + head[0]);

    memcpy(bytes, head, sizeof head);
    memcpy(bytes + sizeof head, text, head[0]);
    off_t end = lseek(j->fd, 0, SEEK_END);
    if (write(j->fd, bytes, sizeof head + head[0]) == (ssize_t)(sizeof head + head[0]))
        return sync_soon(j);
    if (ftruncate(j->fd, end) < 0) /* a torn record would hide those behind it */
        log_error("journal.torn", NULL);
    return false;
}

/* Returns where what is whole ends, or -1 when the file cannot be read. */
static off_t load(struct journal *j, const char *path)
{
    g_autofree char *bytes = NULL;
    gsize len, at = 0;
    uint32_t head[2];

    if (!g_file_get_contents(path, &bytes, &len, NULL)) {
        log_error("journal.unreadable", "{s:s}", "file", path);
        return -1;
    }
    while (at + sizeof head <= len) {
        memcpy(head, bytes + at, sizeof head);
        if (head[0] > len - at - sizeof head || crc32_of(bytes + at + sizeof head, head[0]) != head[1])
            break;
        g_ptr_array_add(j->open, g_strndup(bytes + at + sizeof head, head[0]));
        at += sizeof head + head[0];
    }
    if (at < len)
        log_warn("journal.torn", "{s:I}", "bytes_lost", (json_int_t)(len - at));
    return (off_t)at;
}

/* A process of the same number was here before us, as is usual in a container.  What comes behind a torn tail would not
 * be read again. */
static bool load_own(struct journal *j)
{
    off_t whole = load(j, j->path);
    return whole >= 0 && ftruncate(j->fd, whole) == 0;
}

/* ---------------------------------------------------------------- opening */

/* Journals of processes that are gone: nobody holds their lock. */
static void take_over(struct journal *j, const char *dir)
{
    GDir *d = g_dir_open(dir, 0, NULL);

    for (const char *name; d && (name = g_dir_read_name(d));) {
        g_autofree char *path = g_build_filename(dir, name, NULL);
        if (!g_str_has_prefix(name, "journal-") || strcmp(path, j->path) == 0)
            continue;
        int fd = open(path, O_RDWR | O_CLOEXEC);
        if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0) {
            guint before = j->open->len;
            bool copied = load(j, path) >= 0;
            for (guint i = before; i < j->open->len; i++)
                copied &= append(j, j->open->pdata[i]);
            if (copied && fdatasync(j->fd) == 0)
                unlink(path);
        }
        if (fd >= 0)
            close(fd);
    }
    if (d)
        g_dir_close(d);
}

struct journal *journal_open(const char *data_dir, char **why)
{
    struct journal *j = g_new0(struct journal, 1);

    j->fd = -1;
    pthread_mutex_init(&j->lock, NULL);
    pthread_cond_init(&j->said, NULL);
    j->open = g_ptr_array_new_with_free_func(free);
    j->path = g_strdup_printf("%s/journal-%d", data_dir, getpid());
    if (g_mkdir_with_parents(data_dir, 0700) < 0 ||
        (j->fd = open(j->path, O_CREAT | O_RDWR | O_APPEND | O_CLOEXEC, 0600)) < 0) {
        *why = g_strdup_printf("data_dir %s: %s", data_dir, strerror(errno));
        journal_close(j);
        return NULL;
    }
    j->syncing = pthread_create(&j->syncer, NULL, sync_on, j) == 0;
    assert(j->syncing);
    if (flock(j->fd, LOCK_EX | LOCK_NB) == 0) {
        if (!load_own(j))
            log_error("journal.failed", "{s:s}", "error", strerror(errno));
        take_over(j, data_dir);
    }
    metrics_set(METRIC_JOURNAL, "", j->open->len);
    return j;
}

void journal_close(struct journal *j)
{
    if (!j)
        return;
    if (j->syncing) {
        pthread_mutex_lock(&j->lock);
        j->ending = true;
        pthread_cond_signal(&j->said);
        pthread_mutex_unlock(&j->lock);
        pthread_join(j->syncer, NULL);
    }
    if (j->fd >= 0) {
        if (j->open->len == 0)
            unlink(j->path);
        close(j->fd);
    }
    g_ptr_array_unref(j->open);
    pthread_mutex_destroy(&j->lock);
    pthread_cond_destroy(&j->said);
    g_free(j->path);
    g_free(j);
}

int journal_count(const struct journal *j)
{
    return (int)j->open->len;
}

bool journal_add(struct journal *j, const struct settlement *t)
{
    char *text = pack(t);
    assert(text); /* delivery.c brings what the world says to UTF-8 */
    bool kept = append(j, text);

    if (!kept)
        log_error("journal.failed", "{s:s}", "error", strerror(errno));
    g_ptr_array_add(j->open, text);
    metrics_set(METRIC_JOURNAL, "", j->open->len);
    return kept;
}

/* ---------------------------------------------------------------- replaying */

struct replayed {
    struct journal *journal;
    char *text;
};

/* The store throws an error over it each time: it would be tried for ever, and is kept for somebody to look at. */
static bool set_aside(struct journal *j, const char *text)
{
    g_autofree char *dir = g_path_get_dirname(j->path), *path = g_build_filename(dir, "settlements-refused", NULL),
                    *line = g_strconcat(text, "\n", NULL);
    int fd = open(path, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
    bool kept = fd >= 0 && write(fd, line, strlen(line)) == (ssize_t)strlen(line) && fdatasync(fd) == 0;

    if (fd >= 0)
        close(fd);
    log_error("journal.refused", "{s:s, s:b}", "file", path, "kept", kept);
    return kept;
}

static void on_replayed(void *arg, const redisReply *reply)
{
    struct replayed *r = arg;
    struct journal *j = r->journal;

    j->asking--;
    if (reply || (script_failed() && set_aside(j, r->text)))
        g_ptr_array_remove(j->open, r->text);
    if (j->asking == 0 && j->open->len == 0 && ftruncate(j->fd, 0) == 0)
        log_info("journal.replayed", NULL);
    metrics_set(METRIC_JOURNAL, "", j->open->len);
    g_free(r);
}

void journal_replay(struct journal *j, struct store *s, const struct policy *p)
{
    if (j->asking > 0)
        return;
    for (guint i = 0; i < j->open->len; i++) {
        json_auto_t *record = json_loads(j->open->pdata[i], 0, NULL);
        struct settlement t = { 0 };
        struct batch *b = settle_batch(s, p);
        struct replayed *r = g_new0(struct replayed, 1);
        *r = (struct replayed){ j, j->open->pdata[i] };
        j->asking++;
        if (record && unpack(record, &t))
            settle_add(b, &t);
        batch_run(s, t.message && ident_partition(t.message) < s->partitions ? ident_partition(t.message) : 0, b,
                  on_replayed, r);
    }
}
