#include "dispatcher/http/lines.h"

#include <stdlib.h>
#include <string.h>

#define LINES_MAX 10000

struct lines {
    struct request *request;
    json_t *answers;
    int open;
};

struct line {
    struct lines *lines;
    size_t index;
};

static void lines_done(struct lines *l)
{
    g_autoptr(GString) text = g_string_new(NULL);
    json_t *answer;
    size_t i;

    if (--l->open > 0)
        return;
    json_array_foreach (l->answers, i, answer) {
        char *line = json_dumps(answer, JSON_COMPACT);
        g_string_append_printf(text, "%s\n", line);
        free(line);
    }
    answer_text(l->request, 200, "application/x-ndjson", text->str, text->len);
    json_decref(l->answers);
    g_free(l);
}

void line_answer(struct line *line, json_t *answer)
{
    json_array_set_new(line->lines->answers, line->index, answer);
    lines_done(line->lines);
    g_free(line);
}

static struct line *line_new(struct lines *l)
{
    struct line *line = g_new0(struct line, 1);

    *line = (struct line){ l, json_array_size(l->answers) };
    json_array_append_new(l->answers, json_null());
    l->open++;
    return line;
}

void answer_lines(struct request *r, line_fn *fn)
{
    struct lines *l;
    const char *p = r->body->str, *end = p + r->body->len;
    int count = 0;

    for (const char *c = p; c < end; c++)
        count += *c == '\n';
    if (count > LINES_MAX) {
        answer_problem(r, 413, "at most 10000 lines at a time");
        return;
    }
    l = g_new0(struct lines, 1);
    *l = (struct lines){ r, json_array(), 1 };
    for (const char *eol; p < end; p = eol + 1) {
        eol = memchr(p, '\n', (size_t)(end - p));
        eol = eol ? eol : end;
        if ((size_t)(eol - p) != strspn(p, " \t\r")) /* else an empty line; a NUL is none */
            fn(r, p, (size_t)(eol - p), line_new(l));
    }
    lines_done(l);
}
