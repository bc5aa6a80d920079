#include "dispatcher/store/journeys.h"

#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/base/figures.h"
#include "dispatcher/base/log.h"
#include "dispatcher/store/asking.h"
#include "dispatcher/store/pipeline.h"
#include "schedules/run.h"

/* ---------------------------------------------------------------- looking */

struct looking {
    char *recipient;
    look_fn *fn;
    void *arg;
};

/* "version|text", taken apart in place: the reply is ours until the callback returns. */
static struct seen_person read_person(const redisReply *one, const redisReply *standings, char **version)
{
    const char *held = reply_text(one, 1), *bar = strchr(held, '|');

    *version = g_strndup(held, bar ? (size_t)(bar - held) : 0);
    return (struct seen_person){ .recipient = reply_text(one, 0),
                                 .version = *version,
                                 .runs = bar ? bar + 1 : "",
                                 .profile = reply_text(one, 2),
                                 .kept = reply_at(one, 3),
                                 .unheard = reply_at(one, 4),
                                 .consents = reply_at(one, 5),
                                 .standings = standings,
                                 .ended = reply_at(one, 6) };
}

static struct batch *make_look(void *arg)
{
    struct batch *b = batch_new("look");

    args_text(batch_args(b), "");
    return b;
}

static void add_look(struct batch *b, void *job)
{
    args_text(batch_args(b), ((struct looking *)job)->recipient);
}

static void on_looked(void *arg, const redisReply *reply, size_t index)
{
    struct looking *job = arg;
    g_autofree char *version = NULL;

    if (reply_at(reply, index + 1)) {
        struct seen_person p = read_person(reply_at(reply, index + 1), reply_at(reply, 0), &version);
        job->fn(job->arg, &p);
    } else {
        job->fn(job->arg, NULL);
    }
    g_free(job->recipient);
    g_free(job);
}

const struct batch_kind look_kind = { make_look, add_look, on_looked, BATCH_TURN };

static struct looking *looking_new(const char *recipient, look_fn *fn, void *arg)
{
    struct looking *job = g_new0(struct looking, 1);

    *job = (struct looking){ g_strdup(recipient), fn, arg };
    return job;
}

void store_look(struct batches *looks, const char *recipient, look_fn *fn, void *arg)
{
    batch_join(looks, 0, store_partition(batches_store(looks), recipient), looking_new(recipient, fn, arg));
}

struct listing {
    json_fn *fn;
    void *arg;
};

static void on_runs(void *arg, const struct seen_person *seen)
{
    struct listing *job = arg;
    struct person_runs *p = seen ? person_read(seen->runs) : NULL;
    json_auto_t *list = json_array();

    for (guint i = 0; p && i < p->runs->len; i++)
        json_array_append_new(list, run_json(p->runs->pdata[i]));
    for (size_t i = seen && seen->ended ? seen->ended->elements : 0; i-- > 0;) {
        json_t *one = json_loads(reply_text(seen->ended, i), 0, NULL);
        if (one)
            json_array_append_new(list, one);
    }
    person_free(p);
    job->fn(job->arg, seen != NULL, list);
    g_free(job);
}

static void on_ended(void *arg, const redisReply *reply)
{
    on_looked(arg, reply, 0);
}

void store_runs(struct store *s, const char *recipient, json_fn *fn, void *arg)
{
    struct args *a = args_new();
    struct listing *job = g_new0(struct listing, 1);

    *job = (struct listing){ fn, arg };
    args_text(a, "ended");
    args_text(a, recipient);
    store_script(s, store_partition(s, recipient), "look", a, on_ended, looking_new(recipient, on_runs, job));
}

struct turning {
    turns_fn *fn;
    void *arg;
};

static void on_turn(void *arg, const redisReply *reply)
{
    struct turning *job = arg;
    size_t count = reply && reply->elements >= 3 ? reply->elements - 3 : 0;
    g_autofree struct seen_person *people = g_new0(struct seen_person, count + 1);
    g_autofree char **versions = g_new0(char *, count + 1);
    struct turn turn = { .people = people,
                         .count = count,
                         .next_due = reply_int(reply_at(reply, 0), 0),
                         .next_lease = reply_int(reply_at(reply, 0), 1),
                         .late_wait = reply_at(reply, 0) && *reply_text(reply_at(reply, 0), 2) == '1',
                         .late = (int)reply_int(reply_at(reply, 0), 3),
                         .said = reply_at(reply, 1) };

    for (size_t i = 0; i < count; i++)
        people[i] = read_person(reply_at(reply, i + 3), reply_at(reply, 2), &versions[i]);
    job->fn(job->arg, reply ? &turn : NULL);
    for (size_t i = 0; i < count; i++)
        g_free(versions[i]);
    g_free(job);
}

void store_turn(struct store *s, int partition, int64_t lease_ms, int most, int64_t late, int late_most, turns_fn *fn,
                void *arg)
{
    struct args *a = args_new();
    struct turning *job = g_new0(struct turning, 1);

    *job = (struct turning){ fn, arg };
    args_int(a, lease_ms);
    args_int(a, most);
    args_int(a, late);
    args_int(a, late_most);
    store_script(s, partition, "turn", a, on_turn, job);
}

/* ---------------------------------------------------------------- accounts */

void store_said(struct store *s, int partition, const char *what)
{
    g_autofree char *key = g_strdup_printf("%s:{%d}:qo", s->prefix, partition);
    store_command(s, NULL, NULL, 4, (const char *[]){ "LREM", key, "1", what });
}

static json_t *read_company(const redisReply *reply, struct asking *job)
{
    json_t *people = json_array();

    for (size_t i = 1; i < reply->elements; i++)
        json_array_append_new(people, json_string(reply_text(reply, i)));
    return json_pack("{s:b, s:o}", "known", *reply_text(reply, 0) == '1', "people", people);
}

void store_company(struct store *s, const char *account, const char *event_id, json_fn *fn, void *arg)
{
    struct args *a = args_new();

    args_text(a, account);
    args_text(a, "look");
    args_text(a, event_id);
    store_script(s, store_partition(s, account), "company", a, on_asked, asking_new(read_company, fn, arg));
}

void store_company_keep(struct store *s, const char *account, const char *event_id, const json_t *event, json_fn *fn,
                        void *arg)
{
    struct args *a = args_new();
    char *text = json_dumps(event, JSON_COMPACT);

    args_text(a, account);
    args_text(a, "keep");
    args_text(a, event_id);
    args_text(a, text);
    args_int(a, s->retain_events_ms);
    store_script(s, store_partition(s, account), "company", a, on_asked, asking_new(read_nothing, fn, arg));
    free(text);
}

static json_t *read_list(const redisReply *reply, struct asking *job);

void store_company_events(struct store *s, const char *account, json_fn *fn, void *arg)
{
    struct args *a = args_new();

    args_text(a, account);
    args_text(a, "events");
    store_script(s, store_partition(s, account), "company", a, on_asked, asking_new(read_list, fn, arg));
}

/* ---------------------------------------------------------------- a step */

struct stepping {
    stepped_fn *fn;
    void *arg;
    struct args *step;
};

static struct batch *make_step(void *arg)
{
    const struct store *s = arg;
    struct batch *b = batch_new("step");
    g_autofree char *wake = store_key(s, "wake");

    args_int(batch_args(b), s->retain_messages_ms);
    args_int(batch_args(b), s->retain_events_ms);
    args_text(batch_args(b), wake);
    args_int(batch_args(b), s->trace_lines);
    return b;
}

static void add_step(struct batch *b, void *job)
{
    args_append(batch_args(b), ((struct stepping *)job)->step);
}

static void on_stepped(void *arg, const redisReply *reply, size_t index)
{
    struct stepping *job = arg;
    const redisReply *one = reply_at(reply, index);
    const char *word = one ? reply_text(one, 0) : "";
    bool ok = strcmp(word, "ok") == 0, failed = strcmp(word, "failed") == 0;

    if (failed)
        log_error("redis.error", "{s:s, s:s}", "script", "step", "error", reply_text(one, 1));
    job->fn(job->arg,
            ok                                      ? STEPPED
            : strcmp(word, "race") == 0             ? STEP_RACE
            : strcmp(word, "known") == 0            ? STEP_KNOWN
            : failed || (!reply && script_failed()) ? STEP_FAILED
                                                    : STEP_GONE,
            ok ? reply_at(one, 1) : NULL, ok ? reply_at(one, 2) : NULL);
    args_free(job->step);
    g_free(job);
}

const struct batch_kind step_kind = { make_step, add_step, on_stepped, BATCH_TURN };

static void add_list(struct args *a, int n, const struct args *list)
{
    args_int(a, n);
    if (n)
        args_append(a, list);
}

void store_step(struct batches *steps, const struct step_of *of, stepped_fn *fn, void *arg)
{
    struct stepping *job = g_new0(struct stepping, 1);
    struct args *a = args_new();

    *job = (struct stepping){ fn, arg, a };
    args_text(a, of->recipient);
    args_text(a, of->version);
    args_text(a, of->runs);
    args_int(a, of->due);
    args_text(a, of->standings);
    args_int(a, (int64_t)of->taken);
    args_int(a, of->is_in);
    args_text(a, of->event_id);
    args_int(a, of->looked);
    add_list(a, of->n_events, of->events);
    add_list(a, of->n_messages, of->messages);
    add_list(a, of->n_cancels, of->cancels);
    add_list(a, of->n_trace, of->trace);
    add_list(a, of->n_ended, of->ended);
    add_list(a, of->n_handed, of->handed);
    add_list(a, of->n_counts, of->counts);
    add_list(a, of->n_said, of->said);
    add_list(a, of->n_marks, of->marks);
    add_list(a, of->n_known, of->known);
    batch_join(steps, 0, store_partition(batches_store(steps), of->recipient), job);
}

/* ---------------------------------------------------------------- everybody in a sequence */

struct walking {
    struct store *store;
    struct gather *gather;
    char *sequence, *wave, *op;
    int partition;
    GHashTable *seen;
};

static void next_runners(struct walking *job, const char *cursor);

static void on_runners(void *arg, const redisReply *reply)
{
    struct walking *job = arg;
    struct gather *g = job->gather;
    const redisReply *head = reply_at(reply, 0);

    for (size_t i = 1; reply && i < reply->elements; i++) /* a cursor may bring somebody twice */
        if (g_hash_table_add(job->seen, g_strdup(reply_text(reply, i))))
            json_array_append_new(json_object_get(g->result, "people"), json_string(reply_text(reply, i)));
    figure_add(g->result, "messages", reply_int(head, 1));
    figure_add(g->result, "in_flight", reply_int(head, 2));
    if (head && strcmp(reply_text(head, 0), "0") != 0) {
        next_runners(job, reply_text(head, 0));
        return;
    }
    g->lost |= !head;
    g_hash_table_unref(job->seen);
    g_free(job->sequence);
    g_free(job->wave);
    g_free(job->op);
    g_free(job);
    gather_done(g);
}

static void next_runners(struct walking *job, const char *cursor)
{
    struct args *a = args_new();

    args_int(a, job->store->retain_messages_ms);
    args_int(a, job->store->retain_events_ms);
    args_text(a, cursor);
    args_text(a, job->sequence);
    args_text(a, job->wave);
    args_text(a, job->op);
    store_script(job->store, job->partition, "runners", a, on_runners, job);
}

void store_runners(struct store *s, const char *sequence, const char *wave, const char *op, json_fn *fn, void *arg)
{
    struct gather *g = gather_new(json_pack("{s:i, s:i, s:[]}", "messages", 0, "in_flight", 0, "people"), fn, arg);

    for (int p = 0; p < s->partitions; p++) {
        struct walking *job = g_new0(struct walking, 1);
        *job = (struct walking){ s,
                                 g,
                                 g_strdup(sequence),
                                 g_strdup(wave),
                                 g_strdup(op),
                                 p,
                                 g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL) };
        g->open++;
        next_runners(job, "0");
    }
    gather_done(g);
}

void store_ask_profiles(struct store *s, bool ask)
{
    for (int p = 0; p < s->partitions; p++) {
        g_autofree char *key = g_strdup_printf("%s:{%d}:qp", s->prefix, p);
        store_command(s, NULL, NULL, ask ? 3 : 2, (const char *[]){ ask ? "SET" : "DEL", key, "1" });
    }
}

/* ---------------------------------------------------------------- how many */

struct counting {
    struct gather *gather;
    char *sequence; /* of its counters; NULL: of runs under way */
};

/* "welcome" is how many run, "welcome|…" what has happened. */
static bool is_asked(const struct counting *job, const char *field)
{
    size_t n = job->sequence ? strlen(job->sequence) : 0;

    return job->sequence ? strncmp(field, job->sequence, n) == 0 && field[n] == '|' : !strchr(field, '|');
}

static void on_counted(void *arg, const redisReply *reply)
{
    struct counting *job = arg;
    struct gather *g = job->gather;

    g->lost |= !reply;
    for (size_t i = 0; reply && i + 1 < reply->elements; i += 2)
        if (is_asked(job, reply_text(reply, i)))
            figure_add(g->result, reply_text(reply, i), g_ascii_strtoll(reply_text(reply, i + 1), NULL, 10));
    g_free(job->sequence);
    g_free(job);
    gather_done(g);
}

static void count_all(struct store *s, const char *sequence, json_fn *fn, void *arg)
{
    struct gather *g = gather_new(json_object(), fn, arg);

    for (int p = 0; p < s->partitions; p++) {
        g_autofree char *key = g_strdup_printf("%s:{%d}:qn", s->prefix, p);
        struct counting *job = g_new0(struct counting, 1);
        *job = (struct counting){ g, g_strdup(sequence) };
        g->open++;
        store_command(s, on_counted, job, 2, (const char *[]){ "HGETALL", key });
    }
    gather_done(g);
}

void store_running(struct store *s, json_fn *fn, void *arg)
{
    count_all(s, NULL, fn, arg);
}

void store_counted(struct store *s, const char *sequence, json_fn *fn, void *arg)
{
    count_all(s, sequence, fn, arg);
}

/* ---------------------------------------------------------------- definitions */

struct defining {
    accept_fn *fn;
    void *arg;
};

static char *definition_key(const struct store *s, const char *version)
{
    g_autofree char *name = g_strconcat("definition:", version, NULL);
    return store_key(s, name);
}

static struct defining *defining_new(accept_fn *fn, void *arg)
{
    struct defining *job = g_new0(struct defining, 1);

    *job = (struct defining){ fn, arg };
    return job;
}

static void on_put(void *arg, const redisReply *reply)
{
    struct defining *job = arg;

    job->fn(job->arg, reply && reply->type == REDIS_REPLY_STATUS ? "ok" : NULL);
    g_free(job);
}

void store_definition_put(struct store *s, const char *version, const char *text, accept_fn *fn, void *arg)
{
    g_autofree char *key = definition_key(s, version);
    store_command(s, on_put, defining_new(fn, arg), 3, (const char *[]){ "SET", key, text });
}

static void on_definition(void *arg, const redisReply *reply)
{
    struct defining *job = arg;

    job->fn(job->arg, !reply ? NULL : reply->type == REDIS_REPLY_STRING ? reply->str : "");
    g_free(job);
}

void store_definition(struct store *s, const char *version, accept_fn *fn, void *arg)
{
    g_autofree char *key = definition_key(s, version);
    store_command(s, on_definition, defining_new(fn, arg), 2, (const char *[]){ "GET", key });
}

/* ---------------------------------------------------------------- of one person */

static json_t *read_list(const redisReply *reply, struct asking *job)
{
    json_t *list = json_array();

    for (size_t i = 0; i < reply->elements; i++) {
        json_t *one = json_loads(reply_text(reply, i), 0, NULL);
        if (one)
            json_array_append_new(list, one);
    }
    return list;
}

void store_trace(struct store *s, const char *recipient, json_fn *fn, void *arg)
{
    g_autofree char *key = g_strdup_printf("%s:{%d}:qt:%s", s->prefix, store_partition(s, recipient), recipient);

    store_command(s, on_asked, asking_new(read_list, fn, arg), 4, (const char *[]){ "LRANGE", key, "0", "-1" });
}

void store_event_ids(struct store *s, const char *recipient, json_fn *fn, void *arg)
{
    g_autofree char *key = g_strdup_printf("%s:{%d}:qx:%s", s->prefix, store_partition(s, recipient), recipient);

    store_command(s, on_asked, asking_new(read_texts, fn, arg), 4, (const char *[]){ "ZRANGE", key, "0", "-1" });
}

/* ---------------------------------------------------------------- what has come */

void store_heard(struct store *s, const char *words)
{
    g_autofree char *key = store_key(s, "heard");
    store_command(s, NULL, NULL, 3, (const char *[]){ "SADD", key, words });
}

void store_all_heard(struct store *s, json_fn *fn, void *arg)
{
    g_autofree char *key = store_key(s, "heard");
    store_command(s, on_asked, asking_new(read_texts, fn, arg), 2, (const char *[]){ "SMEMBERS", key });
}
