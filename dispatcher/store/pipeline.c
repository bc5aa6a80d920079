#include "dispatcher/base/vocab.h"
#include "dispatcher/store/store.h"

#include <assert.h>
#include <glib.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/base/clock.h"
#include "dispatcher/base/log.h"
#include "dispatcher/store/pipeline.h"
#include "dispatcher/store/wire/state.h"

#define CLAIM_HEAD      3     /* elements of the answer before those of deliveries */
#define CLAIMED         4     /* for each delivery */
#define RESEND_AFTER_MS 10000 /* an agent of a frozen worker may still be sending */
#define MIN_HISTORY_MS  (35 * INT64_C(86400000))

/* ---------------------------------------------------------------- batches */

struct batch {
    const char *script;
    struct args *args;
};

struct batch *batch_new(const char *script)
{
    struct batch *b = g_new0(struct batch, 1);
    b->script = script;
    b->args = args_new();
    return b;
}

struct args *batch_args(struct batch *b)
{
    return b->args;
}

void batch_run(struct store *s, int partition, struct batch *b, redis_answer_fn *fn, void *arg)
{
    if (b->script)
        store_script(s, partition, b->script, b->args, fn, arg);
    else
        command_run(s->nodes, b->args, fn, arg);
    g_free(b);
}

static void add_name(struct batch *b, const char *message, char letter)
{
    char member[MESSAGE_ID_SIZE + 1];

    memcpy(member, message, MESSAGE_ID_LEN);
    member[MESSAGE_ID_LEN] = letter;
    args_bytes(b->args, member, MESSAGE_ID_LEN + 1);
}

static void add_member(struct batch *b, const char *message, char letter, int64_t fence)
{
    add_name(b, message, letter);
    args_int(b->args, fence);
}

/* ---------------------------------------------------------------- claim */

struct claiming {
    claim_fn *fn;
    void *arg;
};

static int64_t number_of(const char *text)
{
    return g_ascii_strtoll(text, NULL, 10);
}

/* Four elements of the answer: member, state, body, profile.  False: it does not wait, and had no business there. */
static bool read_claim(const redisReply *reply, size_t i, struct state *s, struct claimed *c)
{
    const char *member = reply_text(reply, i);
    size_t len = strlen(member);

    g_strlcpy(c->message, member, MIN(len, sizeof c->message));
    c->letter = len ? member[len - 1] : 0;
    c->state = reply_text(reply, i + 1);
    state_read(s, c->state);
    const char *const *d = s->on[channel_of(c->letter)];
    c->body = reply_text(reply, i + 2);
    c->body_len = strlen(c->body);
    c->profile = reply_text(reply, i + 3);
    c->attempts = (int)number_of(d[DELIVERY_ATTEMPTS]);
    c->send_at = number_of(s->of[STATE_SEND_AT]);
    c->expires_at = number_of(s->of[STATE_EXPIRES]);
    c->due = number_of(d[DELIVERY_DUE]);
    c->channels = s->of[STATE_ORDER];
    c->kind = *s->of[STATE_KIND];
    c->lane = (enum lane)CLAMP(number_of(s->of[STATE_LANE]), LANE_HIGH, LANE_LOW);
    c->reason = d[DELIVERY_REASON];
    c->journey = s->of[STATE_JOURNEY];
    c->unknown_since = number_of(d[DELIVERY_UNKNOWN_SINCE]);
    c->planned = number_of(d[DELIVERY_PLANNED]);
    c->fence = number_of(d[DELIVERY_FENCE]);
    return *d[DELIVERY_STATUS] == STATUS_SCHEDULED;
}

static void on_claim(void *arg, const redisReply *reply)
{
    struct claiming *job = arg;
    struct claims claims = { .next_lease = -1 };
    int count = 0;
    const redisReply *give = reply_at(reply, 2);
    g_autofree const char **to_give = g_new0(const char *, give ? give->elements + 1 : 1);

    if (reply && reply->type == REDIS_REPLY_ARRAY && reply->elements >= CLAIM_HEAD) {
        count = (int)(reply->elements - CLAIM_HEAD) / CLAIMED;
        for (int c = 0; c < CHANNEL_COUNT; c++)
            claims.next_due[c] = reply_int(reply_at(reply, 0), (size_t)c);
        for (int c = 0; c < CHANNEL_COUNT; c++)
            claims.late_wait[c] = *reply_text(reply_at(reply, 0), (size_t)CHANNEL_COUNT + (size_t)c);
        claims.reclaimed = (int)reply_int(reply_at(reply, 1), 0);
        claims.next_lease = reply_int(reply_at(reply, 1), 1);
    }
    g_autofree struct claimed *list = g_new0(struct claimed, count + 1);
    g_autofree struct state *states = g_new0(struct state, count + 1);
    for (int i = 0; i < count; i++)
        claims.count += read_claim(reply, CLAIM_HEAD + CLAIMED * (size_t)i, &states[i], &list[claims.count]);
    for (size_t i = 0; give && i < give->elements; i++)
        to_give[i] = reply_text(give, i);
    claims.list = list;
    claims.to_give = to_give;
    job->fn(job->arg, reply != NULL, &claims);
    for (int i = 0; i < count; i++)
        state_clear(&states[i]);
    g_free(job);
}

void store_claim(struct store *s, int partition, const struct claim_limits *limits, claim_fn *fn, void *arg)
{
    struct args *a = args_new();
    struct claiming *job = g_new0(struct claiming, 1);

    *job = (struct claiming){ fn, arg };
    args_int(a, limits->lease_ms);
    args_int(a, s->retain_messages_ms);
    args_int(a, s->retain_events_ms);
    args_int(a, RESEND_AFTER_MS);
    args_int(a, limits->late_ms);
    args_int(a, limits->yield_ms);
    for (int c = 0; c < CHANNEL_COUNT; c++) {
        args_char(a, channel_letters[c]);
        args_int(a, limits->room[c]);
        args_int(a, limits->late[c]);
    }
    store_script(s, partition, "claim", a, on_claim, job);
}

/* ---------------------------------------------------------------- admit */

static void add_letters(struct args *a, unsigned bits, const char *letters)
{
    char list[sizeof bits * 8 + 1] = "";

    for (int i = 0, n = 0; letters[i]; i++)
        if (bits >> i & 1)
            list[n++] = letters[i], list[n] = '\0';
    args_text(a, list);
}

/* Each between unit separators, for a name may have a comma; "" for none. */
static void add_names(struct args *a, char *const *names)
{
    g_autoptr(GString) list = g_string_new(NULL);

    for (; names && *names; names++)
        g_string_append_printf(list, "%s%s\x1f", list->len ? "" : "\x1f", *names);
    args_text(a, list->str);
}

static void add_rule(struct args *a, const struct cap *cap)
{
    const struct cap_selector *const few[] = { &cap->also, &cap->free };

    args_int(a, cap->over);
    add_letters(a, cap->held.kinds, KIND_LETTERS);
    add_letters(a, cap->held.channels, channel_letters);
    add_letters(a, cap->held.lanes, LANE_LETTERS);
    add_names(a, cap->held.categories);
    add_names(a, cap->held.sources);
    add_names(a, cap->held.roles);
    for (size_t i = 0; i < G_N_ELEMENTS(few); i++) {
        add_letters(a, few[i]->kinds, KIND_LETTERS);
        add_names(a, few[i]->categories);
        add_names(a, few[i]->sources);
    }
}

/* How long sends are remembered, and all rules. */
static void add_policy(struct batch *b, const struct policy *p)
{
    int64_t history = MIN_HISTORY_MS;

    for (int i = 0; i <= p->n_caps; i++)
        history = MAX(history, p->caps[i].per.ms);
    args_int(b->args, history);
    args_int(b->args, p->n_caps + 1);
    for (int i = 0; i <= p->n_caps; i++)
        add_rule(b->args, &p->caps[i]);
}

static void add_questions(struct batch *b, const struct admission *a)
{
    g_autoptr(GString) text = g_string_new(NULL);

    for (int i = 0; i < a->n_rules; i++) {
        const struct admission_rule *r = &a->rules[i];
        g_string_append_printf(text, "%d %" PRId64 " %" PRId64 " %" PRId64 " %d;", r->rule + 1, r->since, r->next,
                               r->window, r->max);
    }
    args_text(b->args, text->str);
}

struct batch *admit_batch(const struct policy *p)
{
    struct batch *b = batch_new("admit");

    add_policy(b, p);
    return b;
}

/* send() of common.lua. */
static void add_send(struct batch *b, const struct admission *a)
{
    g_autofree char *send =
        g_strdup_printf("%s%c|%c|%d|%s|%s", a->message, a->letter, a->kind, (int)a->lane, a->category, a->source);
    args_text(b->args, send);
}

void admit_add(struct batch *b, const struct admission *a)
{
    g_autofree char *terms =
        g_strdup_printf("%c%c%c%c%" G_GINT64_FORMAT, a->consent ? (char)('0' + (int)a->consent) : '-',
                        a->later ? a->later : '-', a->render_failed ? '1' : '-', a->commit ? a->commit : '-', a->stops);
    g_autofree char *holder = *a->account ? g_strdup_printf("%s|%s", a->role, a->account) : g_strdup("");

    g_strdelimit(holder, "\n\x1f", ' '); /* of profiles from before such were refused: it becomes a field of a state */
    add_send(b, a);
    args_int(b->args, a->fence);
    args_text(b->args, a->recipient);
    args_text(b->args, a->category);
    args_text(b->args, terms);
    args_text(b->args, holder);
    add_questions(b, a);
    args_text(b->args, a->state);
    args_text(b->args, a->next);
}

void admit_read(const redisReply *reply, size_t i, struct admitted *out)
{
    static const char *const words[] = { "ok",    "changed", "gone", "crash", "no_consent", "opted_out",
                                         "later", "render",  "cap",  "wait",  "stops" };
    const redisReply *one = reply_at(reply, i);
    const char *word = reply_text(one, 0);

    *out = (struct admitted){ .verdict = VERDICT_GONE };
    for (unsigned v = 0; v < G_N_ELEMENTS(words); v++)
        if (strcmp(word, words[v]) == 0)
            out->verdict = (enum verdict)v;
    out->consent = *reply_text(one, 1);
    out->consent_at = reply_int(one, 2);
    g_strlcpy(out->counts, reply_text(one, 3), sizeof out->counts);
    out->rule = (int)reply_int(one, 4) - 1;
    out->until = reply_int(one, 5);
}

/* ---------------------------------------------------------------- accounts */

struct batch *account_batch(const struct policy *p)
{
    struct batch *b = batch_new("account");

    args_text(b->args, "reserve");
    add_policy(b, p);
    return b;
}

void account_add(struct batch *b, const struct admission *a)
{
    add_member(b, a->message, a->letter, a->fence);
    args_text(b->args, a->account);
    args_text(b->args, a->role);
    args_char(b->args, a->kind);
    args_int(b->args, a->lane);
    args_text(b->args, a->category);
    args_text(b->args, a->source);
    add_questions(b, a);
}

struct giving {
    struct store *store;
    int partition;
    char *entry;
};

/* Taken off the list only now: giving back twice does no harm, not at all would. */
static void on_given(void *arg, const redisReply *reply)
{
    struct giving *g = arg;
    g_autofree char *list = g_strdup_printf("%s:{%d}:aq", g->store->prefix, g->partition);

    if (reply)
        store_command(g->store, NULL, NULL, 4, (const char *[]){ "LREM", list, "1", g->entry });
    g_free(g->entry);
    g_free(g);
}

void store_account_give(struct store *s, int partition, const char *entry)
{
    json_auto_t *row = json_loads(entry, 0, NULL);
    const char *account = json_string_value(json_array_get(row, 0)),
               *member = json_string_value(json_array_get(row, 1));
    struct giving *g = g_new0(struct giving, 1);
    struct args *a = args_new();

    *g = (struct giving){ s, partition, g_strdup(entry) };
    args_text(a, "give");
    args_text(a, account ? account : "");
    args_text(a, member ? member : "|");
    args_int(a, json_integer_value(json_array_get(row, 2)));
    store_script(s, store_partition(s, account ? account : ""), "account", a, on_given, g);
}

/* ---------------------------------------------------------------- looking again */

struct looking {
    struct store *store;
    int partition;
    int64_t since;
    const char *what;
    char version[16];
    bool changed;
};

static void look_on(struct looking *l);

static void on_looked(void *arg, const redisReply *reply)
{
    struct looking *l = arg;

    if (reply && reply->type == REDIS_REPLY_STRING && strcmp(reply->str, "0") == 0)
        l->partition++;
    if (reply && l->partition < l->store->partitions) {
        look_on(l);
        return;
    }
    log_info("gates.asked_again", "{s:s, s:b}", "what", l->what, "whole", reply != NULL);
    g_free(l);
}

static void look_on(struct looking *l)
{
    struct args *a = args_new();

    args_int(a, l->since);
    args_text(a, l->what);
    store_script(l->store, l->partition, "again", a, on_looked, l);
}

static struct looking *looking_new(struct store *s, const char *what)
{
    struct looking *l = g_new0(struct looking, 1);

    *l = (struct looking){ .store = s, .since = clock_now(), .what = what };
    return l;
}

static void on_version(void *arg, const redisReply *reply)
{
    struct looking *l = arg;

    if (!reply || reply->type == REDIS_REPLY_ERROR) {
        g_free(l);
        return;
    }
    if (!l->changed && reply->type == REDIS_REPLY_STRING && strcmp(reply->str, l->version) == 0)
        l->what = "templates"; /* which may have changed, though the rules have not */
    look_on(l);
}

void store_rules(struct store *s, const char *version, bool changed)
{
    g_autofree char *key = store_key(s, "rules");
    struct looking *l = looking_new(s, "rules");

    l->changed = changed;
    g_strlcpy(l->version, version, sizeof l->version);
    store_command(s, on_version, l, 4, (const char *[]){ "SET", key, version, "GET" });
}

void store_look_again(struct store *s)
{
    look_on(looking_new(s, "rules"));
}

/* ---------------------------------------------------------------- commit, settle, lease */

struct batch *commit_batch(void)
{
    return batch_new("commit");
}

void commit_add(struct batch *b, const char *message, char letter, int64_t fence, char on_lost, int64_t stops,
                const char *state, const char *next)
{
    g_autofree char *terms = g_strdup_printf("%c%" G_GINT64_FORMAT, on_lost, stops);

    add_member(b, message, letter, fence);
    args_text(b->args, terms);
    args_text(b->args, state);
    args_text(b->args, next);
}

/* What both ways of settling begin with. */
static void add_keeping(struct batch *b, const struct store *s, const struct policy *p)
{
    g_autofree char *inbox = store_key(s, "inbox");

    args_int(b->args, s->retain_messages_ms);
    args_int(b->args, s->retain_events_ms);
    args_text(b->args, inbox);
    args_int(b->args, p->inbox_keep_ms);
    args_int(b->args, p->inbox_max);
}

struct batch *sent_batch(const struct store *s, const struct policy *p)
{
    struct batch *b = batch_new("sent");

    add_keeping(b, s, p);
    return b;
}

void sent_add(struct batch *b, const struct sent *t)
{
    const struct settlement *what = t->settlement;

    add_name(b, what->message, what->letter);
    args_text(b->args, t->recipient);
    args_int(b->args, t->ended);
    if (t->closes)
        args_int(b->args, t->send_at);
    else
        args_text(b->args, "");
    args_text(b->args, t->state);
    args_text(b->args, t->next);
    args_text(b->args, what->trace);
    args_text(b->args, what->card);
}

struct batch *settle_batch(const struct store *s, const struct policy *p)
{
    struct batch *b = batch_new("settle");
    g_autofree char *wake = store_key(s, "wake");

    add_keeping(b, s, p);
    args_text(b->args, wake);
    return b;
}

static void add_flag(struct batch *b, bool flag)
{
    args_text(b->args, flag ? "1" : "");
}

void settle_add(struct batch *b, const struct settlement *t)
{
    char code[2] = { t->code, '\0' };

    add_member(b, t->message, t->letter, t->fence);
    args_text(b->args, t->final ? "F" : "R");
    args_text(b->args, t->final ? code : "");
    args_text(b->args, t->reason);
    args_int(b->args, t->due);
    add_flag(b, t->burn);
    args_text(b->args, t->provider);
    args_int(b->args, t->sent_at);
    args_text(b->args, t->ref);
    add_flag(b, t->keep_cap);
    add_flag(b, t->next_channel);
    args_text(b->args, t->trace);
    args_text(b->args, t->card);
    add_flag(b, t->denied);
}

struct batch *lease_batch(bool renew, int64_t lease_ms)
{
    struct batch *b = batch_new("lease");
    args_text(b->args, renew ? "renew" : "back");
    args_int(b->args, lease_ms);
    return b;
}

void lease_add(struct batch *b, const char *message, char letter, int64_t fence)
{
    add_member(b, message, letter, fence);
}
