#include "dispatcher/journeys/waves_own.h"

#include <string.h>

#include "dispatcher/base/clock.h"
#include "dispatcher/journeys/sequences.h"
#include "dispatcher/store/standings.h"
#include "schedules/share.h"

/* ---------------------------------------------------------------- a survey */

struct surveying {
    struct survey *survey;
    int heads;
    survey_fn *fn;
    void *arg;
};

void survey_free(struct survey *s)
{
    for (guint i = 0; s->looks && i < s->sequence->waves->len; i++)
        wave_look_clear(&s->looks[i]);
    g_free(s->looks);
    json_decref(s->standing);
    g_free(s);
}

const json_t *survey_wave(const struct survey *s, guint i)
{
    return json_object_get(json_object_get(s->standing, "waves"), s->looks[i].name);
}

const char *survey_state(const struct survey *s, guint i)
{
    const char *state = kept_text(survey_wave(s, i), "state");
    return *state ? state : "closed";
}

static void surveyed(struct surveying *job, bool ok)
{
    if (!ok)
        survey_free(job->survey);
    job->fn(job->arg, ok ? job->survey : NULL);
    g_free(job);
}

static void on_waves(void *arg, bool ok, json_t *result)
{
    struct surveying *job = arg;

    job->survey->behind = ok && json_is_true(json_object_get(result, "behind"));
    surveyed(job, ok);
}

/* A worker asks for answers only where a gate could open the next wave. */
static void look_for(struct survey *s, guint i, bool works)
{
    const struct gate *gate = s->sequence->gate;
    bool next_closed = i + 1 < s->sequence->waves->len && strcmp(survey_state(s, i + 1), "closed") == 0;

    s->looks[i].from = kept_time(survey_wave(s, i), "from");
    s->looks[i].asks_answers =
        gate && gate->event && (!works || (next_closed && strcmp(survey_state(s, i), "open") == 0));
}

static void on_standing(void *arg, bool ok, json_t *standing)
{
    struct surveying *job = arg;
    struct survey *s = job->survey;
    const struct gate *gate = s->sequence->gate;

    if (!ok) {
        surveyed(job, false);
        return;
    }
    s->standing = json_incref(standing);
    if (job->heads && !json_object_get(standing, "waves")) { /* none has ever been opened: there is nothing to do */
        surveyed(job, true);
        return;
    }
    for (guint i = 0; i < s->sequence->waves->len; i++)
        look_for(s, i, job->heads > 0);
    store_waves(s->service->store, s->sequence->name, kept_time(standing, "n"), s->looks, (int)s->sequence->waves->len,
                job->heads, clock_now() - (gate ? gate->settle : 0), on_waves, job);
}

void survey_make(struct service *service, const struct sequence *q, int heads, survey_fn *fn, void *arg)
{
    struct surveying *job = g_new0(struct surveying, 1);
    struct survey *s = g_new0(struct survey, 1);

    *s = (struct survey){ .service = service, .sequence = q, .looks = g_new0(struct wave_look, q->waves->len) };
    for (guint i = 0; i < q->waves->len; i++)
        s->looks[i].name = ((const struct wave *)q->waves->pdata[i])->name;
    *job = (struct surveying){ s, heads, fn, arg };
    store_standing(service->store, q->name, on_standing, job);
}

/* ---------------------------------------------------------------- what a person reads */

struct asking_status {
    struct survey *first;
    json_fn *fn;
    void *arg;
};

static json_t *share_json(int64_t reached, int64_t of, double limit)
{
    struct share s = share_of(reached, of);

    return json_pack("{s:I, s:I, s:f, s:f, s:f, s:o}", "of", (json_int_t)of, "reached", (json_int_t)reached, "rate",
                     s.rate, "low", s.low, "high", s.high, "limit", limit < 0 ? json_null() : json_real(limit));
}

static json_t *figures_json(const struct gate *g, const struct wave_figures *f)
{
    json_t *all = json_object();

    for (int i = 0; i < HARMS; i++)
        json_object_set_new(all, harm_names[i], share_json(f->harmed[i], f->released, g ? g->hold[i] : -1));
    json_object_set_new(all, "goal", share_json(f->goals, f->settled, g ? g->goal_above : -1));
    if (g && g->event)
        json_object_set_new(all, "answered_score",
                            json_pack("{s:I, s:o, s:f}", "of", (json_int_t)f->answered, "mean",
                                      f->answered ? json_real(f->answers / (double)f->answered) : json_null(), "limit",
                                      g->mean_above));
    return all;
}

static json_t *instant_json(const json_t *of, const char *key)
{
    char text[32];
    return json_object_get(of, key) ? json_string(instant_format(text, kept_time(of, key))) : json_null();
}

static json_t *wave_json(const struct survey *s, const struct survey *after, guint i)
{
    static const char *const verdicts[] = { "undecided", "hold", "open" };
    const struct wave_figures *f = &s->looks[i].figures;
    const struct gate *g = s->sequence->gate;
    const json_t *of = survey_wave(s, i);
    json_t *why = json_array(),
           *one = json_pack("{s:s, s:s, s:o, s:s?, s:I, s:I, s:I, s:o}", "name", s->looks[i].name, "state",
                            survey_state(s, i), "since", instant_json(of, "at"), "by",
                            json_string_value(json_object_get(of, "by")), "door", (json_int_t)s->looks[i].door,
                            "released", (json_int_t)s->looks[i].released, "settled", (json_int_t)f->settled, "figures",
                            figures_json(g, f));

    if (after->looks[i].released != s->looks[i].released)
        json_object_set_new(one, "until", json_integer(after->looks[i].released));
    if (g && of) {
        enum verdict verdict = gate_judge(g, f, why);
        if (verdict == VERDICT_OPEN && g->approve)
            json_array_append_new(why, json_string("and somebody has to say so, by opening the next wave"));
        json_object_set_new(one, "gate", json_string(verdicts[verdict]));
        json_object_set(one, "why", why);
    }
    json_decref(why);
    return one;
}

static json_t *log_json(const json_t *standing)
{
    json_t *list = json_array(), *line;
    char at[32];
    size_t i;

    json_array_foreach (json_object_get(standing, "log"), i, line)
        json_array_append_new(list,
                              json_pack("[s, O, O, O]", instant_format(at, json_integer_value(json_array_get(line, 0))),
                                        json_array_get(line, 1), json_array_get(line, 2), json_array_get(line, 3)));
    return list;
}

/* S59: partitions are read one after the other, so what grows meanwhile lies between two readings. */
static void on_second(void *arg, struct survey *after)
{
    struct asking_status *job = arg;
    struct survey *s = job->first;
    json_auto_t *status = json_pack("{s:s, s:[]}", "sequence", s->sequence->name, "waves");

    for (guint i = 0; after && i < s->sequence->waves->len; i++)
        json_array_append_new(json_object_get(status, "waves"), wave_json(s, after, i));
    json_object_set_new(status, "log", log_json(s->standing));
    job->fn(job->arg, after != NULL, after ? status : NULL);
    survey_free(s);
    if (after)
        survey_free(after);
    g_free(job);
}

static void on_first(void *arg, struct survey *s)
{
    struct asking_status *job = arg;

    job->first = s;
    if (s) {
        survey_make(s->service, s->sequence, 0, on_second, job);
        return;
    }
    job->fn(job->arg, false, NULL);
    g_free(job);
}

bool waves_status(struct service *service, const char *sequence, json_fn *fn, void *arg)
{
    const struct sequence *q = sequences_find(service->sequences, sequence, NULL);
    struct asking_status *job;

    if (!q || q->waves->len == 0)
        return false;
    job = g_new0(struct asking_status, 1);
    *job = (struct asking_status){ NULL, fn, arg };
    survey_make(service, q, 0, on_first, job);
    return true;
}
