#include "dispatcher/journeys/sequences.h"

#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/base/log.h"
#include "dispatcher/config/settings.h"
#include "dispatcher/config/yaml.h"
#include "dispatcher/journeys/check.h"
#include "dispatcher/journeys/declared.h"
#include "schedules/duration.h"

struct sequences {
    struct service *service;
    char *dir;
    GPtrArray *current;     /* borrowed from by_version, by name */
    GHashTable *by_version; /* version → struct sequence, NULL for one that the store does not have */
    bool kept;              /* the store has all that are current */
    json_t *declared;       /* events, by name; NULL: anything goes */
    json_t *facts;          /* of what has come; NULL: nobody asks */
    GHashTable *heard;
};

/* ---------------------------------------------------------------- a file */

struct reading {
    const char *file;
    GHashTable *lines;
    sequence_finding_fn *fn;
    void *arg;
    bool broken;
};

static void on_complaint(void *arg, bool error, const char *at, const char *detail)
{
    struct reading *r = arg;
    g_autofree char *place = g_strdup_printf("%s:%d", r->file, yaml_line(r->lines, at));
    g_autofree char *what = *at ? g_strdup_printf("%s: %s", at, detail) : g_strdup(detail);

    r->broken |= error;
    r->fn(r->arg, error, place, what);
}

/* "FILE:LINE: what", as the reader of YAML says it. */
static void tell_unreadable(struct reading *r, char *why)
{
    char *colon = strstr(why, ": ");

    r->broken = true;
    if (colon)
        *colon = '\0';
    r->fn(r->arg, true, colon ? why : r->file, colon ? colon + 2 : why);
    g_free(why);
}

static struct sequence *read_file(const struct sequences *sq, struct reading *r, const char *name)
{
    struct complaints c = { on_complaint, r, 0 };
    char *why = NULL;
    json_auto_t *definition = yaml_read(r->file, &r->lines, &why);
    struct sequence *q;

    if (!definition) {
        tell_unreadable(r, why);
        return NULL;
    }
    q = sequence_read(&c, name, definition);
    if (q)
        check_content(sq->service, q, &c);
    if (q && sq->declared)
        declared_check(&c, sq->declared, definition);
    if (q && sq->facts)
        declared_compare(&c, sq->facts, definition);
    g_clear_pointer(&r->lines, g_hash_table_unref);
    if (!r->broken)
        return q;
    sequence_free(q);
    return NULL;
}

/* ---------------------------------------------------------------- the folder */

static gint by_name(gconstpointer a, gconstpointer b)
{
    return strcmp((*(const struct sequence *const *)a)->name, (*(const struct sequence *const *)b)->name);
}

static const struct sequence *current_of(const GPtrArray *current, const char *name)
{
    for (guint i = 0; i < current->len; i++)
        if (strcmp(((const struct sequence *)current->pdata[i])->name, name) == 0)
            return current->pdata[i];
    return NULL;
}

/* A version that is known already is the same definition: runs borrow it. */
static void add_current(struct sequences *sq, GPtrArray *current, struct sequence *q)
{
    struct sequence *known = g_hash_table_lookup(sq->by_version, q->version);

    if (known)
        sequence_free(q);
    else
        g_hash_table_insert(sq->by_version, g_strdup(q->version), known = q);
    g_ptr_array_add(current, known);
}

static void tell_gone_waves(const struct sequence *q, const struct sequence *old, const char *file,
                            sequence_finding_fn *fn, void *arg)
{
    for (guint i = 0; i < old->waves->len; i++) {
        const char *wave = ((const struct wave *)old->waves->pdata[i])->name;
        g_autofree char *what =
            g_strdup_printf("has no wave %s any more: whoever stands at its door stays there until it is "
                            "back, or the sequence is migrated to a version without waves",
                            wave);
        if (!sequence_wave(q, wave))
            fn(arg, false, file, what);
    }
}

static void take_file(struct sequences *sq, GPtrArray *current, const char *base, sequence_finding_fn *fn, void *arg)
{
    g_autofree char *file = g_build_filename(sq->dir, base, NULL);
    g_autofree char *name = g_strndup(base, strlen(base) - strlen(".yaml"));
    struct reading r = { file, NULL, fn, arg, false };
    struct sequence *q = read_file(sq, &r, name);
    const struct sequence *old = current_of(sq->current, name);

    if (q && old)
        tell_gone_waves(q, old, file, fn, arg);
    if (q)
        add_current(sq, current, q);
    else if (old)
        g_ptr_array_add(current, (struct sequence *)old);
}

static void tell_gone(const struct sequences *sq, const GPtrArray *current, sequence_finding_fn *fn, void *arg)
{
    for (guint i = 0; i < sq->current->len; i++) {
        const struct sequence *old = sq->current->pdata[i];
        g_autofree char *file = g_strdup_printf("%s/%s.yaml", sq->dir, old->name);
        if (!current_of(current, old->name))
            fn(arg, false, file, "is gone: nobody enters this sequence any more, and its runs go on");
    }
}

static void tell_nobody(void *arg, bool error, const char *place, const char *what)
{
}

/* Of a file that is wrong the old declarations stay. */
static void read_declared(struct sequences *sq, sequence_finding_fn *fn, void *arg)
{
    g_autofree char *file = g_build_filename(sq->dir, DECLARED_FILE, NULL);
    struct reading r = { file, NULL, fn, arg, false };
    struct complaints c = { on_complaint, &r, 0 };
    char *why = NULL;

    if (!g_file_test(file, G_FILE_TEST_EXISTS)) {
        json_decref(sq->declared);
        sq->declared = NULL;
        return;
    }
    json_auto_t *from = yaml_read(file, &r.lines, &why), *declared = from ? declared_read(&c, from) : NULL;
    if (!from)
        tell_unreadable(&r, why);
    if (r.lines)
        g_hash_table_unref(r.lines);
    if (r.broken)
        return;
    json_decref(sq->declared);
    sq->declared = json_incref(declared);
}

void sequences_reload(struct sequences *sq, sequence_finding_fn *fn, void *arg)
{
    GPtrArray *current = g_ptr_array_new();
    GDir *dir = g_dir_open(sq->dir, 0, NULL);
    const char *base;

    read_declared(sq, fn ? fn : tell_nobody, arg);
    while (dir && (base = g_dir_read_name(dir)))
        if (g_str_has_suffix(base, ".yaml") && *base != '.' && strcmp(base, DECLARED_FILE) != 0)
            take_file(sq, current, base, fn ? fn : tell_nobody, arg);
    if (dir)
        g_dir_close(dir);
    tell_gone(sq, current, fn ? fn : tell_nobody, arg);
    g_ptr_array_sort(current, by_name);
    g_ptr_array_unref(sq->current);
    sq->current = current;
    sq->kept = false;
}

void sequences_only(struct sequences *sq, const char *const *names)
{
    for (guint i = sq->current->len; i-- > 0;)
        if (!g_strv_contains(names, ((const struct sequence *)sq->current->pdata[i])->name))
            g_ptr_array_remove_index(sq->current, i);
}

static void free_definition(void *q)
{
    sequence_free(q);
}

struct sequences *sequences_open(struct service *s, sequence_finding_fn *fn, void *arg)
{
    struct sequences *sq = g_new0(struct sequences, 1);

    sq->service = s;
    sq->dir = config_path(s->config, s->config->root, "sequences");
    sq->current = g_ptr_array_new();
    sq->by_version = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, free_definition);
    sq->heard = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    sequences_reload(sq, fn, arg);
    s->sequences = sq;
    return sq;
}

void sequences_free(struct sequences *sq)
{
    if (!sq)
        return;
    sq->service->sequences = NULL;
    g_ptr_array_unref(sq->current);
    g_hash_table_unref(sq->by_version);
    json_decref(sq->declared);
    json_decref(sq->facts);
    g_hash_table_unref(sq->heard);
    g_free(sq->dir);
    g_free(sq);
}

const GPtrArray *sequences_current(const struct sequences *sq)
{
    return sq->current;
}

const struct sequence *sequences_find(const struct sequences *sq, const char *name, const char *version)
{
    return version ? g_hash_table_lookup(sq->by_version, version) : current_of(sq->current, name);
}

static json_t *sequence_json(const struct sequence *q, json_int_t running)
{
    struct longest l = sequence_longest(q);

    return json_pack("{s:s, s:s?, s:s, s:I, s:f, s:i}", "name", q->name, "title", q->title, "version", q->version,
                     "running", running, "longest_days", (double)l.ms / (double)DAY_MS, "longest_messages", l.messages);
}

json_t *sequences_json(const struct sequences *sq, const json_t *running)
{
    json_t *list = json_array(), *n;
    const char *name;

    for (guint i = 0; i < sq->current->len; i++) {
        const struct sequence *q = sq->current->pdata[i];
        json_array_append_new(list, sequence_json(q, json_integer_value(json_object_get(running, q->name))));
    }
    json_object_foreach ((json_t *)running, name, n)
        if (!current_of(sq->current, name) && json_integer_value(n) > 0)
            json_array_append_new(list,
                                  json_pack("{s:s, s:n, s:n, s:O}", "name", name, "title", "version", "running", n));
    return list;
}

bool sequences_declare(const struct sequences *sq, const char *event)
{
    return !sq || !sq->declared || json_object_get(sq->declared, event);
}

void sequences_compare(struct sequences *sq, const json_t *facts)
{
    sq->facts = json_incref((json_t *)facts);
}

GHashTable *sequences_heard(struct sequences *sq)
{
    return sq->heard;
}

/* ---------------------------------------------------------------- definitions of runs under way */

static void log_unreadable(void *arg, bool error, const char *at, const char *detail)
{
    if (error)
        log_error("sequence.unreadable", "{s:s, s:s, s:s}", "version", arg, "at", at, "why", detail);
}

bool sequences_knows(const struct sequences *sq, const char *version)
{
    return g_hash_table_contains(sq->by_version, version);
}

void sequences_learn(struct sequences *sq, const char *version, const char *text)
{
    json_auto_t *definition = *text ? json_loads(text, 0, NULL) : NULL;
    const char *name = json_string_value(json_object_get(definition, "sequence"));
    struct complaints c = { log_unreadable, (void *)version, 0 };
    struct sequence *q = name ? sequence_read(&c, name, definition) : NULL;

    if (!q)
        log_error("sequence.missing", "{s:s, s:s}", "version", version, "why",
                  "the store has no definition of this version that can be read: its runs stand still");
    g_hash_table_insert(sq->by_version, g_strdup(version), q);
}

bool sequences_ask_accounts(const struct sequences *sq)
{
    GHashTableIter i;
    const struct sequence *q;

    g_hash_table_iter_init(&i, sq->by_version);
    while (g_hash_table_iter_next(&i, NULL, (void **)&q))
        if (q && q->asks_account)
            return true;
    return false;
}

/* ---------------------------------------------------------------- kept by the store */

struct keeping {
    struct sequences *sequences;
    sequences_kept_fn *fn;
    void *arg;
    int open;
    bool lost;
};

static void keeping_done(struct keeping *k)
{
    if (--k->open > 0)
        return;
    k->sequences->kept = !k->lost;
    k->fn(k->arg, !k->lost);
    g_free(k);
}

static void on_kept(void *arg, const char *answer)
{
    struct keeping *k = arg;

    k->lost |= !answer;
    keeping_done(k);
}

/* Only the service says that nobody asks any more: a command may have been started elsewhere. */
static void ask_profiles(const struct sequences *sq)
{
    bool ask = false;

    for (guint i = 0; i < sq->current->len; i++) {
        const struct sequence *q = sq->current->pdata[i];
        for (guint k = 0; k < q->triggers->len; k++) {
            enum trigger_kind kind = ((const struct trigger *)q->triggers->pdata[k])->kind;
            ask |= kind == TRIGGER_ENTERS || kind == TRIGGER_CHANGES || kind == TRIGGER_DATE;
        }
    }
    if (ask || sq->service->takes_over)
        store_ask_profiles(sq->service->store, ask);
}

void sequences_keep_again(struct sequences *sq)
{
    sq->kept = false;
}

void sequences_keep(struct sequences *sq, sequences_kept_fn *fn, void *arg)
{
    struct keeping *k;

    if (sq->kept || sq->current->len == 0) {
        if (!sq->kept && sq->service->takes_over)
            ask_profiles(sq);
        sq->kept = true;
        fn(arg, true);
        return;
    }
    ask_profiles(sq);
    k = g_new0(struct keeping, 1);
    *k = (struct keeping){ sq, fn, arg, 1, false };
    for (guint i = 0; i < sq->current->len; i++) {
        const struct sequence *q = sq->current->pdata[i];
        char *text = json_dumps(q->definition, JSON_COMPACT);
        k->open++;
        store_definition_put(sq->service->store, q->version, text, on_kept, k);
        free(text);
    }
    keeping_done(k);
}
