/*
 * The machine of sequences, alone: reads a scenario a line (JSON; tests/unit/journeys says its form), lets its clock
 * jump from one thing to the next, and writes what happened, a line each.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schedules/duration.h"
#include "schedules/machine.h"
#include "schedules/rerun.h"

struct flight { /* a message that is under way */
    char id[MACHINE_ID_SIZE];
    int64_t at;
    const char *status, *reason;
};

struct scenario {
    const json_t *in;
    GPtrArray *current;
    struct person_runs *person;
    struct situation situation;
    json_t *log;
    GArray *flights; /* struct flight */
    GHashTable *known;
};

static const struct sequence *find(void *arg, const char *name, const char *version)
{
    const struct scenario *sc = arg;

    for (guint i = 0; i < sc->current->len; i++)
        if (strcmp(((struct sequence *)sc->current->pdata[i])->name, name) == 0)
            return sc->current->pdata[i];
    return NULL;
}

static void make_id(void *arg, const char *seed, char id[static MACHINE_ID_SIZE])
{
    g_autofree char *hash = g_compute_checksum_for_string(G_CHECKSUM_SHA256, seed, -1);
    g_strlcpy(id, hash, 23);
}

static void complain_loud(void *arg, bool error, const char *at, const char *detail)
{
    fprintf(stderr, "%s: %s\n", at, detail);
}

static gint by_name(gconstpointer a, gconstpointer b)
{
    return strcmp((*(struct sequence *const *)a)->name, (*(struct sequence *const *)b)->name);
}

static const char *text_at(const json_t *object, const char *key, const char *otherwise)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : otherwise;
}

/* ---------------------------------------------------------------- the log */

static void take_off(struct scenario *sc, const struct effect *e)
{
    const json_t *outcome = json_object_get(json_object_get(sc->in, "outcomes"), text_at(e->detail, "template", ""));
    struct flight f = { .at = sc->situation.now + json_integer_value(json_object_get(outcome, "after")),
                        .status = text_at(outcome, "status", "sent"),
                        .reason = text_at(outcome, "reason", "") };

    memcpy(f.id, e->message, sizeof f.id);
    g_array_append_val(sc->flights, f);
}

static void forget_flight(struct scenario *sc, const char *id)
{
    for (guint i = sc->flights->len; i-- > 0;)
        if (strcmp(g_array_index(sc->flights, struct flight, i).id, id) == 0)
            g_array_remove_index(sc->flights, i);
}

static json_t *detail_of(const struct effect *e)
{
    if (e->kind == EFFECT_SEND)
        return json_pack("[O, O]", json_object_get(e->detail, "template"), json_object_get(e->detail, "data"));
    if (e->kind == EFFECT_EMIT)
        return json_pack("[O]", json_object_get(e->detail, "event"));
    return e->detail ? json_pack("[O]", e->detail) : json_array();
}

/* D3: what was recorded of a decision is enough to make it once more, and it comes out the same. */
static void decide_again(const struct scenario *sc, const struct effect *e)
{
    const struct sequence *s = find((void *)sc, e->sequence, NULL);
    char at[32];
    json_t *detail = e->kind == EFFECT_WAIT ? json_string(instant_format(at, json_integer_value(e->detail)))
                     : e->detail            ? json_incref(e->detail)
                                            : json_null();
    json_auto_t *line = json_pack("[I, s, s, s, s, o, O*]", (json_int_t)sc->situation.now, e->run, e->sequence, e->step,
                                  effect_names[e->kind], detail, e->inputs);
    g_autofree char *fault = s && *e->run ? rerun_fault(s, sc->situation.recipient, sc->situation.almanac, line) : NULL;

    if (fault) {
        char *text = json_dumps(line, JSON_COMPACT);
        fprintf(stderr, "decided again: %s: %s\n", fault, text);
        exit(3);
    }
}

static void write_down(struct scenario *sc, GPtrArray *effects)
{
    for (guint i = 0; i < effects->len; i++) {
        const struct effect *e = effects->pdata[i];
        if (e->kind == EFFECT_NOT_ENROLLED && strcmp(effect_text(e), "where") == 0)
            continue; /* what a trigger does not mean is no decision about the person */
        decide_again(sc, e);
        json_t *entry = json_pack("[I, s, s]", (json_int_t)sc->situation.now, effect_names[e->kind], e->sequence),
               *more = detail_of(e);
        if (*e->step && e->kind != EFFECT_LEFT && e->kind != EFFECT_GOAL)
            json_array_append_new(entry, json_string(e->step));
        json_array_extend(entry, more);
        json_array_append_new(sc->log, entry);
        json_decref(more);
        if (e->kind == EFFECT_SEND)
            take_off(sc, e);
        if (e->kind == EFFECT_CANCELLED)
            forget_flight(sc, e->message);
    }
    g_ptr_array_set_size(effects, 0);
    /* as the store keeps it: what does not survive that would be lost */
    char *text = person_write(sc->person);
    person_free(sc->person);
    sc->person = person_read(text);
    free(text);
}

/* ---------------------------------------------------------------- time */

static void keep(struct scenario *sc, json_t *event)
{
    json_array_append_new(sc->situation.kept, event);
    if (json_array_size(sc->situation.kept) > KEPT_MOST)
        json_array_remove(sc->situation.kept, 0);
}

static void take_event(struct scenario *sc, const json_t *from, GPtrArray *effects)
{
    int64_t now = sc->situation.now, at = json_integer_value(json_object_get(from, "at"));
    json_t *event =
        json_pack("{s:O, s:O, s:I, s:I, s:O}", "i", json_object_get(from, "id"), "n", json_object_get(from, "name"),
                  "t", (json_int_t)MIN(at, now), "a", (json_int_t)now, "d", json_object_get(from, "data"));

    if (!g_hash_table_add(sc->known, (void *)text_at(from, "id", ""))) {
        json_decref(event);
        return;
    }
    keep(sc, event);
    if (!json_is_true(json_object_get(from, "backfill")))
        machine_event(&sc->situation, sc->person, event, effects);
}

/* The first flight to land, -1 for none. */
static int next_flight(const struct scenario *sc)
{
    int first = -1;

    for (guint i = 0; i < sc->flights->len; i++)
        if (first < 0 ||
            g_array_index(sc->flights, struct flight, i).at < g_array_index(sc->flights, struct flight, first).at)
            first = (int)i;
    return first;
}

static void land(struct scenario *sc, int index, GPtrArray *effects)
{
    struct flight f = g_array_index(sc->flights, struct flight, index);

    g_array_remove_index(sc->flights, (guint)index);
    machine_message(&sc->situation, sc->person, f.id, f.status, f.reason, effects);
}

static void play(struct scenario *sc, GPtrArray *effects)
{
    const json_t *events = json_object_get(sc->in, "events");
    int64_t until = json_integer_value(json_object_get(sc->in, "until"));
    size_t next = 0;

    for (;;) {
        const json_t *event = json_array_get(events, next);
        int flight = next_flight(sc);
        int64_t arrives = event ? json_integer_value(json_object_get(event, "now")) : INT64_MAX,
                lands = flight >= 0 ? g_array_index(sc->flights, struct flight, flight).at : INT64_MAX,
                due = machine_due(&sc->situation, sc->person);
        due = due < 0 ? INT64_MAX : MAX(due, sc->situation.now);
        int64_t now = MIN(arrives, MIN(lands, due));
        if (now > until)
            break;
        sc->situation.now = MAX(now, sc->situation.now);
        if (lands <= now)
            land(sc, flight, effects);
        else if (due <= now)
            machine_look(&sc->situation, sc->person, effects);
        else {
            take_event(sc, event, effects);
            next++;
        }
        write_down(sc, effects);
    }
}

/* ---------------------------------------------------------------- a scenario */

static bool read_sequences(struct scenario *sc)
{
    json_t *one;
    size_t i;

    json_array_foreach (json_object_get(sc->in, "sequences"), i, one) {
        struct complaints c = { complain_loud, NULL, 0 };
        struct sequence *s = sequence_read(&c, text_at(one, "sequence", ""), one);
        if (!s)
            return false;
        g_ptr_array_add(sc->current, s);
    }
    g_ptr_array_sort(sc->current, by_name);
    return true;
}

static void run(const json_t *in)
{
    const json_t *days = json_object_get(in, "holidays"), *profile = json_object_get(in, "profile");
    g_autoptr(GPtrArray) dates = g_ptr_array_new(),
                         effects = g_ptr_array_new_with_free_func((GDestroyNotify)effect_free);
    struct scenario sc = { .in = in, .log = json_array() };
    struct almanac almanac = { { NULL, 0 }, { NULL, 0 } };

    for (size_t i = 0; i < json_array_size(days); i++)
        g_ptr_array_add(dates, (char *)json_string_value(json_array_get(days, i)));
    almanac.holidays = (struct day_list){ (const char **)dates->pdata, (int)dates->len };
    sc.current = g_ptr_array_new_with_free_func((GDestroyNotify)sequence_free);
    sc.person = person_read("");
    sc.flights = g_array_new(FALSE, FALSE, sizeof(struct flight));
    sc.known = g_hash_table_new(g_str_hash, g_str_equal);
    sc.situation = (struct situation){ .recipient = text_at(in, "recipient", "ada"),
                                       .profile = profile,
                                       .zone = zone_open(text_at(profile, "timezone", "UTC")),
                                       .almanac = &almanac,
                                       .kept = json_array(),
                                       .current = sc.current,
                                       .find = find,
                                       .make_id = make_id,
                                       .arg = &sc };
    if (read_sequences(&sc))
        play(&sc, effects);
    json_dumpf(sc.log, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(sc.log);
    json_decref(sc.situation.kept);
    person_free(sc.person);
    g_ptr_array_unref(sc.current);
    g_array_unref(sc.flights);
    g_hash_table_unref(sc.known);
}

int main(void)
{
    char *line = NULL;
    size_t size = 0;

    while (getline(&line, &size, stdin) > 0) {
        json_auto_t *in = json_loads(line, 0, NULL);
        if (!in) {
            fputs("no JSON\n", stderr);
            return 1;
        }
        run(in);
    }
    free(line);
    return 0;
}
