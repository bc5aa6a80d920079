#include "schedules/rerun.h"

#include <string.h>

struct again {
    const struct sequence *sequence;
    const struct step *step; /* NULL: of the run */
    const char *recipient;
    const struct almanac *almanac;
    int64_t at;
    const json_t *detail, *inputs;
};

/* What is looked at in comparisons besides what they recorded: the clock, for dates. */
static struct sight sight_at(const struct again *a)
{
    const struct zone *zone = zone_open(kept_text(a->inputs, "zone"));
    return (struct sight){ .now = a->at, .zone = zone ? zone : zone_open("UTC") };
}

static char *agree(bool holds, const char *why)
{
    return holds ? NULL : g_strdup(why);
}

static char *again_wait(const struct again *a)
{
    const struct zone *zone = zone_open(kept_text(a->inputs, "zone"));
    int64_t due, was;

    if (!a->step->moment || !zone || instant_parse(&was, json_string_value(a->detail)) != NULL)
        return agree(a->step->collect != NULL, "the step is no wait, or its zone is unknown");
    due = moment_due(a->step->moment, kept_time(a->inputs, "entered"), zone, a->almanac,
                     json_object_get(a->inputs, "value"));
    char text[32];
    return due == was ? NULL : g_strdup_printf("the wait would end at %s", instant_format(text, due));
}

static char *again_over(const struct again *a)
{
    return agree(kept_time(a->inputs, "due") <= a->at, "it was not due yet");
}

static char *again_matched(const struct again *a)
{
    const char *as = json_string_value(a->detail);
    bool named = false;

    for (guint i = 0; a->step->awaited && i < a->step->awaited->len; i++) {
        const struct awaited *one = a->step->awaited->pdata[i];
        named |= g_strcmp0(one->as ? one->as : one->name, as) == 0;
    }
    if (!named)
        return g_strdup("the step waits for nothing of this name");
    if (!json_object_get(a->inputs, "at"))
        return NULL; /* a message */
    return agree(kept_time(a->inputs, "at") >= kept_time(a->inputs, "since") &&
                     kept_time(a->inputs, "at") <= kept_time(a->inputs, "until"),
                 "the event lies outside of the wait");
}

static char *again_branch(const struct again *a)
{
    const json_t *compared = json_object_get(a->inputs, "compared");
    struct sight sight = sight_at(a);
    json_int_t taken = -1;
    bool agrees = true;
    size_t used = 0;

    for (guint i = 0; a->step->arms && i < a->step->arms->len && taken < 0; i++)
        if (condition_again(((const struct arm *)a->step->arms->pdata[i])->when, &sight, compared, &used, &agrees))
            taken = i;
    return agree(agrees && taken == json_integer_value(a->detail), "the branch would be another one");
}

static char *again_part(const struct again *a)
{
    int recorded = (int)kept_time(a->inputs, "bucket"),
        bucket = !a->recipient || !a->step->name ? recorded : bucket_of(a->step->name, a->recipient);
    guint i = 0;

    while (a->step->arms && i + 1 < a->step->arms->len && bucket >= ((const struct arm *)a->step->arms->pdata[i])->upto)
        i++;
    return agree(bucket == recorded &&
                     g_strcmp0(((const struct arm *)a->step->arms->pdata[i])->name, json_string_value(a->detail)) == 0,
                 "the draw would be another one");
}

static char *again_unless(const struct again *a, const struct condition *c)
{
    struct sight sight = sight_at(a);
    bool agrees = true;
    size_t used = 0;
    bool holds = c && condition_again(c, &sight, json_object_get(a->inputs, "compared"), &used, &agrees);

    return agree(agrees && !holds, "the condition would hold");
}

static char *again_round(const struct again *a)
{
    if (json_integer_value(a->detail) > a->step->max)
        return g_strdup("there are not so many rounds");
    return again_unless(a, a->step->until);
}

static char *again_skipped(const struct again *a)
{
    return again_unless(a, a->step->when);
}

static const struct {
    enum effect_kind kind;
    char *(*again)(const struct again *);
} rows[] = {
    { EFFECT_WAIT, again_wait },     { EFFECT_WAITED, again_over },     { EFFECT_TIMEOUT, again_over },
    { EFFECT_BRANCH, again_branch }, { EFFECT_MATCHED, again_matched }, { EFFECT_PART, again_part },
    { EFFECT_ROUND, again_round },   { EFFECT_SKIPPED, again_skipped },
};

char *rerun_fault(const struct sequence *s, const char *recipient, const struct almanac *almanac, const json_t *line)
{
    const char *step = json_string_value(json_array_get(line, 3)), *what = json_string_value(json_array_get(line, 4));
    const struct again a = { s,
                             sequence_step(s, step),
                             recipient,
                             almanac,
                             json_integer_value(json_array_get(line, 0)),
                             json_array_get(line, 5),
                             json_array_get(line, 6) };
    char *fault = NULL;

    if (step && *step && !a.step)
        return g_strdup("the definition has no such step");
    for (size_t i = 0; a.step && what && a.inputs && i < G_N_ELEMENTS(rows); i++)
        if (strcmp(effect_names[rows[i].kind], what) == 0)
            fault = rows[i].again(&a);
    return fault;
}
