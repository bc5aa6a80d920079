#include "dispatcher/simulator/world.h"

#include <glib.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/base/vocab.h"
#include "dispatcher/config/yaml.h"
#include "schedules/complaints.h"

#define SENT          "sent "
#define SPREAD_MOST   100
#define DELAY_MOST_MS 3e11 /* ten years */

struct delay {
    int64_t median; /* 0: at once */
    double spread;
};

struct behaviour { /* of a channel */
    double bounced, unknown, read;
    struct delay read_after;
};

struct reaction {
    char *template; /* NULL: every so often */
    int64_t every;
    char *event;
    json_t *data; /* may be NULL */
    double share;
    struct delay delay;
};

struct world {
    char *seed;
    struct behaviour channels[CHANNEL_COUNT];
    GPtrArray *reactions;
};

static void free_reaction(void *arg)
{
    struct reaction *r = arg;

    g_free(r->template);
    g_free(r->event);
    json_decref(r->data);
    g_free(r);
}

/* ---------------------------------------------------------------- the file */

static struct delay read_delay(struct complaints *c, const char *at, const json_t *in, const char *key)
{
    static const char *const known[] = { "median", "spread", NULL };
    const json_t *from = json_object_get(in, key), *spread = json_object_get(from, "spread");
    g_autofree char *place = path_to(at, key);
    struct delay d = { 0, 2 };

    if (!from)
        return d;
    if (!json_is_object(from))
        complain(c, place, NULL, "must be like {median: 4h, spread: 3}");
    complain_unknown(c, place, from, known);
    d.median = duration_of(c, place, from, "median", 0);
    if (spread)
        d.spread = json_number_value(spread);
    if (d.spread < 1 || d.spread > SPREAD_MOST)
        complain(c, place, "spread", "must be a number of 1 or more, and at most %d", SPREAD_MOST);
    return d;
}

static double read_share(struct complaints *c, const char *at, const json_t *in, const char *key, double otherwise)
{
    const json_t *value = json_object_get(in, key);
    return value ? percent_of(c, at, key, value) : otherwise;
}

/* {channel: {…}}, each by its own function. */
static void read_channels(struct complaints *c, struct world *w, const char *key, const json_t *in,
                          void (*read)(struct complaints *, const char *at, const json_t *, struct behaviour *))
{
    const char *name;
    json_t *one;

    if (in && !json_is_object(in))
        complain(c, key, NULL, "must be a mapping of %s", CHANNEL_LIST);
    json_object_foreach ((json_t *)in, name, one) {
        char letter = channel_letter(name);
        g_autofree char *at = path_to(key, name);
        if (!letter)
            complain(c, at, NULL, "must be one of %s", CHANNEL_LIST);
        else if (!json_is_object(one))
            complain(c, at, NULL, "must be a mapping");
        else
            read(c, at, one, &w->channels[channel_of(letter)]);
    }
}

static void read_outcomes(struct complaints *c, const char *at, const json_t *in, struct behaviour *b)
{
    static const char *const known[] = { "sent", "delivered", "bounced", "unknown", NULL };

    complain_unknown(c, at, in, known);
    b->bounced = read_share(c, at, in, "bounced", 0);
    b->unknown = read_share(c, at, in, "unknown", 0);
    if (b->bounced + b->unknown + read_share(c, at, in, "sent", 0) + read_share(c, at, in, "delivered", 0) > 1 + 1e-9)
        complain(c, at, NULL, "are more than 100%% together");
}

static void read_engagement(struct complaints *c, const char *at, const json_t *in, struct behaviour *b)
{
    static const char *const known[] = { "read", "after", NULL };

    complain_unknown(c, at, in, known);
    if (strcmp(at, "engagement.in_app") != 0)
        complain(c, at, NULL, "nobody reports yet: only in_app cards are known to have been read");
    b->read = read_share(c, at, in, "read", 0);
    b->read_after = read_delay(c, at, in, "after");
}

static void read_reaction(struct complaints *c, struct world *w, const char *at, const json_t *in)
{
    static const char *const known[] = { "after", "every", "event", "share", "delay", "data", NULL };
    const char *after = text_of(c, at, in, "after"), *event = text_of(c, at, in, "event");
    const json_t *data = json_object_get(in, "data");
    struct reaction *r = g_new0(struct reaction, 1);

    g_ptr_array_add(w->reactions, r);
    complain_unknown(c, at, in, known);
    if (after && !g_str_has_prefix(after, SENT))
        complain(c, at, "after", "must be like \"sent welcome\": a template that was sent");
    if (!after == !json_object_get(in, "every"))
        complain(c, at, NULL, "needs either after or every");
    if (!event)
        complain(c, at, "event", "is required: what happens");
    if (data && !json_is_object(data))
        complain(c, at, "data", "must be a mapping");
    *r = (struct reaction){ .template = after ? g_strdup(after + MIN(strlen(after), strlen(SENT))) : NULL,
                            .every = duration_of(c, at, in, "every", 0),
                            .event = g_strdup(event ? event : ""),
                            .data = json_incref((json_t *)data),
                            .share = read_share(c, at, in, "share", 1),
                            .delay = read_delay(c, at, in, "delay") };
    if (!after && r->every < 60000 && json_object_get(in, "every"))
        complain(c, at, "every", "must be a minute or more");
}

static void read_world(struct complaints *c, struct world *w, const json_t *in)
{
    static const char *const known[] = { "outcomes", "engagement", "react", NULL };
    const json_t *react = json_object_get(in, "react");
    json_t *one;
    size_t i;

    complain_unknown(c, "", in, known);
    read_channels(c, w, "outcomes", json_object_get(in, "outcomes"), read_outcomes);
    read_channels(c, w, "engagement", json_object_get(in, "engagement"), read_engagement);
    if (react && !json_is_array(react))
        complain(c, "", "react", "must be a list");
    json_array_foreach ((json_t *)react, i, one) {
        g_autofree char *at = path_item("", "react", i);
        if (json_is_object(one))
            read_reaction(c, w, at, one);
        else
            complain(c, at, NULL, "must be like {after: sent welcome, event: profile.completed, share: 60%%}");
    }
}

struct reading {
    const char *file;
    GHashTable *lines;
    char **why;
};

static void on_complaint(void *arg, bool error, const char *at, const char *detail)
{
    struct reading *r = arg;

    if (error && !*r->why)
        *r->why = g_strdup_printf("%s:%d: %s: %s", r->file, yaml_line(r->lines, at), at, detail);
}

struct world *world_read(const char *file, const char *seed, char **why)
{
    g_autoptr(GHashTable) lines = NULL;
    json_auto_t *in = yaml_read(file, &lines, why);
    struct reading reading = { file, lines, why };
    struct complaints c = { on_complaint, &reading, 0 };
    struct world *w;

    if (!in)
        return NULL;
    w = g_new0(struct world, 1);
    *w = (struct world){ .seed = g_strdup(seed ? seed : ""),
                         .reactions = g_ptr_array_new_with_free_func(free_reaction) };
    read_world(&c, w, in);
    if (!c.errors)
        return w;
    world_free(w);
    return NULL;
}

void world_free(struct world *w)
{
    if (!w)
        return;
    g_ptr_array_unref(w->reactions);
    g_free(w->seed);
    g_free(w);
}

/* ---------------------------------------------------------------- chance */

/* From 0 to 1, the same for the same words. */
static double chance(const struct world *w, const char *what, const char *occasion)
{
    g_autofree char *words = g_strjoin("|", w->seed, what, occasion, NULL);
    g_autofree char *hash = g_compute_checksum_for_string(G_CHECKSUM_SHA256, words, -1);

    hash[13] = '\0'; /* 52 bits */
    return (double)g_ascii_strtoull(hash, NULL, 16) / (double)(UINT64_C(1) << 52);
}

/* Log-normal, by Box and Muller (1958). */
static int64_t delay(const struct world *w, const struct delay *d, const char *what, const char *occasion)
{
    g_autofree char *first = g_strconcat(what, "/r", NULL), *second = g_strconcat(what, "/a", NULL);
    double r = sqrt(-2 * log(MAX(chance(w, first, occasion), 1e-12)));
    double z = r * cos(2 * G_PI * chance(w, second, occasion));

    return (int64_t)MIN((double)d->median * pow(d->spread, z), DELAY_MOST_MS);
}

/* ---------------------------------------------------------------- what happens */

void world_outcome(const struct world *w, const char *channel, const struct parcel *parcel, int64_t now,
                   struct outcome *o)
{
    const struct behaviour *b = &w->channels[channel_of(channel_letter(channel))];
    g_autofree char *occasion = g_strdup_printf("%s|%lld", parcel->id, (long long)now);
    double drawn = chance(w, "outcome", occasion);

    if (drawn < b->bounced) {
        *o = (struct outcome){ .kind = OUTCOME_REFUSED, .code = 550 };
        g_strlcpy(o->detail, "550 5.1.1 rehearsed: there is no such mailbox", sizeof o->detail);
    } else if (drawn < b->bounced + b->unknown) {
        *o = (struct outcome){ .kind = OUTCOME_UNKNOWN };
        g_strlcpy(o->detail, "rehearsed: the answer was lost", sizeof o->detail);
    }
}

static void tell(const struct reaction *r, const char *recipient, int64_t at, world_follows_fn *fn, void *arg)
{
    json_auto_t *event = json_pack("{s:s, s:s, s:O*}", "recipient", recipient, "name", r->event, "data", r->data);
    char *text = json_dumps(event, JSON_COMPACT);

    fn(arg, at, text);
    free(text);
}

void world_sent(const struct world *w, const char *recipient, const char *template, const char *message,
                const char *channel, int64_t now, world_follows_fn *fn, void *arg)
{
    const struct behaviour *b = &w->channels[channel_of(channel_letter(channel))];

    if (chance(w, "read", message) < b->read)
        fn(arg, now + delay(w, &b->read_after, "read", message), NULL);
    for (guint i = 0; i < w->reactions->len; i++) {
        const struct reaction *r = w->reactions->pdata[i];
        g_autofree char *what = g_strdup_printf("react/%u", i);
        if (g_strcmp0(r->template, template) == 0 && chance(w, what, message) < r->share)
            tell(r, recipient, now + delay(w, &r->delay, what, message), fn, arg);
    }
}

/* Each person has an hour of their own in the span. */
void world_every(const struct world *w, const char *recipient, int64_t from, int64_t to, world_follows_fn *fn,
                 void *arg)
{
    for (guint i = 0; i < w->reactions->len; i++) {
        const struct reaction *r = w->reactions->pdata[i];
        g_autofree char *what = g_strdup_printf("react/%u", i);
        int64_t at = from + (int64_t)((double)r->every * chance(w, what, recipient));
        for (int n = 0; r->every && at < to; n++, at += r->every) {
            g_autofree char *occasion = g_strdup_printf("%s/%d", recipient, n);
            if (chance(w, what, occasion) < r->share)
                tell(r, recipient, at + delay(w, &r->delay, what, occasion), fn, arg);
        }
    }
}

/* ---------------------------------------------------------------- from what has been */

static double figure(const json_t *of, const char *what)
{
    return (double)json_integer_value(json_object_get(of, what));
}

/* All that begin with a word. */
static double figures(const json_t *of, const char *begins)
{
    const char *what;
    json_t *n;
    double sum = 0;

    json_object_foreach ((json_t *)of, what, n)
        sum += g_str_has_prefix(what, begins) ? (double)json_integer_value(n) : 0;
    return sum;
}

/* A log-normal delay lies below its median * spread ^ 1.2816 nine times in ten. */
static void add_delay(GString *out, const json_t *lapse)
{
    double median = json_number_value(json_object_get(lapse, "median")),
           p90 = json_number_value(json_object_get(lapse, "p90"));

    if (median >= 1)
        g_string_append_printf(out, ", delay: {median: %.0fs, spread: %.2f}", median,
                               MAX(1, pow(p90 / median, 1 / 1.2816)));
}

static void add_reactions(GString *out, const struct step *step, const char *template, const json_t *report)
{
    const json_t *of = json_object_get(json_object_get(report, "steps"), step->id);
    double all = figures(of, "matched") + figures(of, "timeout");

    for (guint i = 0; step->awaited && i < step->awaited->len; i++) {
        const struct awaited *a = step->awaited->pdata[i];
        g_autofree char *matched = g_strconcat("matched ", a->as ? a->as : a->name, NULL);
        if (a->kind != AWAIT_EVENT || all < 1 || !template)
            continue;
        g_string_append_printf(out, "  - {after: sent %s, event: %s, share: %.1f%%", template, a->name,
                               100 * figure(of, matched) / all);
        add_delay(out, json_object_get(json_object_get(report, "time_in_step"), step->id));
        g_string_append(out, "}\n");
    }
}

char *world_from(const struct sequence *q, const json_t *report)
{
    GString *out = g_string_new(NULL);
    const char *template = NULL;
    double sent = 0, failed = 0;

    g_string_append_printf(out, "# What people did in %s so far: each share is of those who waited for it.\n", q->name);
    g_string_append(out, "react:\n");
    for (guint i = 0; i < q->steps->len; i++) {
        const struct step *step = q->steps->pdata[i];
        const json_t *of = json_object_get(json_object_get(report, "steps"), step->id);
        if (step->kind == STEP_SEND) {
            template = json_string_value(json_object_get(step->message, "template"));
            sent += figure(of, "ended sent");
            failed += figure(of, "ended failed");
        }
        add_reactions(out, step, template, report);
    }
    if (failed > 0)
        g_string_append_printf(out, "outcomes: {email: {bounced: %.1f%%}}\n", 100 * failed / (sent + failed));
    return g_string_free(out, FALSE);
}
