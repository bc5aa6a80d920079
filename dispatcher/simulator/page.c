#include "dispatcher/simulator/page.h"

#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "schedules/duration.h"
#include "schedules/instant.h"

#define PEOPLE_MOST 200 /* whose lines are shown */
#define CELL        14

static const char style[] =
    ":root{color-scheme:light "
    "dark;--ink:#1b1f24;--soft:#59636e;--line:#d1d9e0;--back:#fff;--card:#f6f8fa;--hue:#0b6e4f}"
    "@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9198a1;--line:#30363d;--back:#0d1117;--card:#161b22;"
    "--"
    "hue:#3fb68b}}"
    "*{box-sizing:border-box}body{margin:0 auto;max-width:70rem;padding:1rem;font:16px/1.5 "
    "system-ui,sans-serif;color:var("
    "--ink);background:var(--back)}"
    "h1{font-size:1.5rem;margin:.5rem 0}h2{font-size:1.15rem;margin:2rem 0 .5rem}p{margin:.25rem 0;color:var(--soft)}"
    ".figures{display:flex;flex-wrap:wrap;gap:.75rem}.figures div{background:var(--card);border:1px solid "
    "var(--line);border-radius:8px;padding:.5rem .9rem;min-width:7rem}.figures b{display:block;font-size:1.4rem}"
    "table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid "
    "var(--line);vertical-align:top}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}"
    ".wide{overflow-x:auto}svg text{fill:var(--soft);font:11px system-ui,sans-serif}svg "
    ".none{fill:var(--card);stroke:var("
    "--line)}svg .some{fill:var(--hue)}"
    "details{border-bottom:1px solid var(--line);padding:.35rem 0}summary{cursor:pointer}details "
    "td{font-size:.9rem}.sent{font-weight:600}"
    "@media print{details{break-inside:avoid}body{max-width:none}}";

/* ---------------------------------------------------------------- words */

static void add_text(GString *out, const char *text)
{
    g_autofree char *safe = g_markup_escape_text(text ? text : "", -1);
    g_string_append(out, safe);
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static json_int_t figure(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static void add_figure(GString *out, const char *name, json_int_t n)
{
    g_string_append_printf(out, "<div><b>%lld</b>%s</div>", (long long)n, name);
}

/* name → n, as rows. */
static void add_rows(GString *out, const char *title, const json_t *counts)
{
    const char *name;
    json_t *n;

    json_object_foreach ((json_t *)counts, name, n) {
        g_string_append(out, "<tr><td>");
        add_text(out, title);
        g_string_append(out, "<td>");
        add_text(out, name);
        g_string_append_printf(out, "<td class=n>%lld", (long long)json_integer_value(n));
    }
}

/* ---------------------------------------------------------------- pictures */

static json_int_t sum_of(const json_t *counts)
{
    json_int_t sum = 0;
    const char *name;
    json_t *n;

    json_object_foreach ((json_t *)counts, name, n)
        sum += json_integer_value(n);
    return sum;
}

static json_int_t busiest(const json_t *calendar)
{
    json_int_t most = 1;
    const char *day;
    json_t *counts;

    json_object_foreach ((json_t *)calendar, day, counts)
        most = MAX(most, sum_of(counts));
    return most;
}

static void add_day(GString *out, int64_t second, int column, const json_t *calendar, json_int_t most)
{
    struct civil c;
    char day[32];

    civil_from_seconds(&c, second);
    g_snprintf(day, sizeof day, "%04d-%02d-%02d", c.year % 10000, c.month, c.day);
    json_int_t n = sum_of(json_object_get(calendar, day));
    int x = 40 + column * CELL, y = 18 + civil_weekday(&c) * CELL;
    if (c.day == 1)
        g_string_append_printf(out, "<text x=%d y=12>%04d-%02d</text>", x, c.year % 10000, c.month);
    g_string_append_printf(
        out, "<rect class=%s x=%d y=%d width=%d height=%d rx=2 opacity=%.2f><title>%s: %lld</title></rect>",
        n ? "some" : "none", x, y, CELL - 2, CELL - 2, n ? 0.25 + 0.75 * (double)n / (double)most : 1., day,
        (long long)n);
}

/* A column for each week, from Monday down. */
static void add_calendar(GString *out, const json_t *report)
{
    const json_t *calendar = json_object_get(report, "calendar");
    json_int_t most = busiest(calendar);
    int64_t from = 0, to = 0;
    struct civil c;

    instant_parse(&from, text_of(report, "from"));
    instant_parse(&to, text_of(report, "to"));
    civil_from_seconds(&c, from / 1000);
    int64_t monday = (from / DAY_MS - civil_weekday(&c)) * 86400;
    int weeks = (int)((to / 1000 - monday) / (7 * 86400)) + 1;
    g_string_append_printf(out,
                           "<div class=wide><svg role=img aria-label='Messages sent on each day' width=%d height=%d>"
                           "<text x=0 y=%d>Mon</text><text x=0 y=%d>Fri</text><text x=0 y=%d>Sun</text>",
                           50 + weeks * CELL, 20 + 7 * CELL, 28, 28 + 4 * CELL, 28 + 6 * CELL);
    for (int64_t second = MAX(monday, from / 1000 / 86400 * 86400); second <= to / 1000; second += 86400)
        add_day(out, second, (int)((second - monday) / (7 * 86400)), calendar, most);
    g_string_append(out, "</svg></div>");
}

static void add_hours(GString *out, const json_t *hours)
{
    json_int_t most = 1;

    for (size_t h = 0; h < 24; h++)
        most = MAX(most, json_integer_value(json_array_get(hours, h)));
    g_string_append(
        out, "<div class=wide><svg role=img aria-label='Messages sent in each hour of the day' width=560 height=120>");
    for (int h = 0; h < 24; h++) {
        json_int_t n = json_integer_value(json_array_get(hours, (size_t)h));
        int height = (int)(90 * n / most);
        g_string_append_printf(out,
                               "<rect class=some x=%d y=%d width=18 height=%d rx=2><title>%02d:00: %lld</title></rect>"
                               "<text x=%d y=115>%02d</text>",
                               5 + h * 23, 98 - height, MAX(height, n ? 2 : 0), h, (long long)n, 7 + h * 23, h);
    }
    g_string_append(out, "</svg></div>");
}

/* ---------------------------------------------------------------- tables */

static void add_sequence(GString *out, const char *name, const json_t *s)
{
    g_string_append(out, "<h3>");
    add_text(out, name);
    g_string_append_printf(out, "</h3><p>%lld entered, %lld reached the goal</p><table>",
                           (long long)figure(s, "enrolled"), (long long)figure(s, "goal"));
    add_rows(out, "left", json_object_get(s, "left"));
    add_rows(out, "not enrolled", json_object_get(s, "not_enrolled"));
    add_rows(out, "step", json_object_get(s, "steps"));
    g_string_append(out, "</table>");
}

static void add_line(GString *out, const json_t *line)
{
    const json_t *detail = json_object_get(line, "detail");
    g_autofree char *where = g_strdup_printf("%s%s%s", text_of(line, "sequence"), *text_of(line, "step") ? " / " : "",
                                             text_of(line, "step"));
    char *said = !detail || json_is_null(detail) ? NULL
                 : json_is_string(detail)        ? strdup(json_string_value(detail))
                                                 : json_dumps(detail, JSON_COMPACT | JSON_ENCODE_ANY);

    g_string_append_printf(out, "<tr%s><td>", strcmp(text_of(line, "what"), "sent") == 0 ? " class=sent" : "");
    add_text(out, text_of(line, "local"));
    g_string_append(out, "<td>");
    add_text(out, where);
    g_string_append(out, "<td>");
    add_text(out, text_of(line, "what"));
    g_string_append(out, "<td>");
    add_text(out, text_of(line, "channel"));
    g_string_append_c(out, ' ');
    add_text(out, text_of(line, "template"));
    g_string_append_c(out, ' ');
    add_text(out, said);
    free(said);
}

static void add_person(GString *out, const json_t *person)
{
    json_t *line;
    size_t i;
    int sent = 0;

    json_array_foreach (json_object_get(person, "entries"), i, line)
        sent += strcmp(text_of(line, "what"), "sent") == 0;
    g_string_append(out, "<details><summary>");
    add_text(out, text_of(person, "recipient"));
    g_string_append_printf(out, " (%d sent, ", sent);
    add_text(out, text_of(person, "timezone"));
    g_string_append(out, ")</summary><div class=wide><table>");
    json_array_foreach (json_object_get(person, "entries"), i, line)
        add_line(out, line);
    g_string_append(out, "</table></div></details>");
}

static void add_people(GString *out, const json_t *timeline)
{
    size_t n = json_array_size(timeline);

    for (size_t i = 0; i < n && i < PEOPLE_MOST; i++)
        add_person(out, json_array_get(timeline, i));
    if (n > PEOPLE_MOST)
        g_string_append_printf(out, "<p>and %zu more</p>", n - PEOPLE_MOST);
}

/* ---------------------------------------------------------------- the page */

static void add_figures(GString *out, const json_t *report)
{
    const json_t *m = json_object_get(report, "messages");

    g_string_append(out, "<div class=figures>");
    add_figure(out, "people", figure(report, "people"));
    add_figure(out, "messages sent", figure(m, "sent"));
    add_figure(out, "most for one person", figure(json_object_get(m, "per_person"), "max"));
    add_figure(out, "most on one day", figure(json_object_get(m, "per_day"), "max"));
    add_figure(out, "at the weekend", figure(m, "weekend"));
    add_figure(out, "at night (not in the app)", figure(m, "night"));
    g_string_append(out, "</div>");
}

char *page_write(const json_t *report, const char *title)
{
    const json_t *m = json_object_get(report, "messages");
    GString *out = g_string_new("<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport "
                                "content='width=device-width'><title>");
    const char *name;
    json_t *one;

    add_text(out, title);
    g_string_append_printf(out, "</title><style>%s</style><main><h1>", style);
    add_text(out, title);
    g_string_append(out, "</h1><p>");
    add_text(out, text_of(report, "from"));
    g_string_append(out, " to ");
    add_text(out, text_of(report, "to"));
    g_string_append(out, ", days and hours as each person's clock shows them</p>");
    add_figures(out, report);
    g_string_append(out, "<h2>Calendar</h2>");
    add_calendar(out, report);
    g_string_append(out, "<h2>Hours of the day</h2>");
    add_hours(out, json_object_get(report, "hours"));
    g_string_append(out, "<h2>What was sent and held back</h2><table>");
    add_rows(out, "sent", json_object_get(m, "by_template"));
    add_rows(out, "deferred by", json_object_get(m, "deferred"));
    add_rows(out, "not sent", json_object_get(m, "not_sent"));
    g_string_append(out, "</table><h2>Sequences</h2>");
    json_object_foreach (json_object_get(report, "sequences"), name, one)
        add_sequence(out, name, one);
    g_string_append(out, "<h2>People</h2>");
    add_people(out, json_object_get(report, "timeline"));
    g_string_append(out, "</main></html>\n");
    return g_string_free(out, FALSE);
}
