#include "dispatcher/journeys/funnel.h"

#include <glib.h>
#include <stdbool.h>
#include <string.h>

#include "dispatcher/base/figures.h"
#include "schedules/share.h"

enum { SEQUENCE, VERSION, HELD, STEP, WHAT, WORD, WORDS };

static json_t *share(json_int_t reached, json_int_t of)
{
    struct share s = share_of(reached, of);

    return json_pack("{s:I, s:I, s:f, s:f, s:f}", "of", of, "reached", reached, "rate", s.rate, "low", s.low, "high",
                     s.high);
}

struct sums {
    json_int_t enrolled[2], goal[2]; /* by held out */
    json_t *report, *steps;
};

static void take(struct sums *s, char **words, json_int_t n)
{
    bool held = *words[HELD];
    const char *what = words[WHAT];

    if (strcmp(what, "enrolled") == 0) {
        s->enrolled[held] += n;
        figure_add(json_object_get(s->report, "versions"), words[VERSION], n);
    } else if (strcmp(what, "goal") == 0 || strcmp(what, "counted") == 0) {
        s->goal[held] += n;
    } else if (strcmp(what, "not_enrolled") == 0 || strcmp(what, "left") == 0) {
        figure_add(json_object_get(s->report, what), words[WORD], n);
    } else if (*words[STEP]) {
        g_autofree char *name =
            *words[WORD] && strcmp(what, "wait") != 0 ? g_strdup_printf("%s %s", what, words[WORD]) : g_strdup(what);
        figure_add(figures_of(s->steps, words[STEP]), name, n);
    }
}

json_t *funnel_make(const char *sequence, const json_t *counted, const char *version)
{
    json_auto_t *steps = json_object();
    struct sums s = { .report = json_pack("{s:s, s:{}, s:{}, s:{}}", "sequence", sequence, "not_enrolled", "left",
                                          "versions"),
                      .steps = steps };
    const char *field;
    json_t *n;

    json_object_foreach ((json_t *)counted, field, n) {
        g_auto(GStrv) words = g_strsplit(field, "|", WORDS);
        if (g_strv_length(words) == WORDS && (!version || strcmp(words[VERSION], version) == 0))
            take(&s, words, json_integer_value(n));
    }
    json_object_set_new(s.report, "enrolled", json_integer(s.enrolled[0] + s.enrolled[1]));
    json_object_set_new(s.report, "goal", share(s.goal[0], s.enrolled[0]));
    json_object_set_new(s.report, "holdout", s.enrolled[1] ? share(s.goal[1], s.enrolled[1]) : json_null());
    json_object_set_new(s.report, "lift",
                        s.enrolled[0] && s.enrolled[1] ? json_real((double)s.goal[0] / (double)s.enrolled[0] -
                                                                   (double)s.goal[1] / (double)s.enrolled[1])
                                                       : json_null());
    json_object_set(s.report, "steps", steps);
    return s.report;
}
