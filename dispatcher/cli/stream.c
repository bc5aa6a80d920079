#include "dispatcher/cli/stream.h"

#include <errno.h>
#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "dispatcher/cli/progress.h"

#define WINDOW 2048 /* lines under way: enough that Redis works on some while others are read */

struct stream {
    struct cli *cli;
    struct stream_options options;
    struct progress progress;
    GQueue lines; /* in order; the answered ones at the head are printed and leave */
    int64_t printed, bad, first_bad;
};

struct stream_line {
    struct stream *stream;
    int64_t number;
    json_t *answer;
    bool answered, good;
};

static void print_answered(struct stream *s)
{
    struct stream_line *line;

    while ((line = g_queue_peek_head(&s->lines)) && line->answered) {
        if (s->options.numbered)
            json_object_set_new(line->answer, "line", json_integer(line->number));
        bool told = s->options.silent ? !line->good : !s->options.quiet;
        char *text = told ? json_dumps(line->answer, JSON_COMPACT) : NULL;
        if (text)
            fprintf(s->options.silent ? stderr : stdout, "%s\n", text);
        free(text);
        json_decref(line->answer);
        g_free(line);
        g_queue_pop_head(&s->lines);
        s->printed++;
    }
}

void stream_answer(struct stream_line *line, json_t *answer, bool good)
{
    struct stream *s = line->stream;

    line->answer = answer;
    line->answered = true;
    line->good = good;
    s->bad += !good;
    if (!good && (!s->first_bad || line->number < s->first_bad))
        s->first_bad = line->number;
}

int64_t stream_number(const struct stream_line *line)
{
    return line->number;
}

static void wait_until(struct stream *s, unsigned most)
{
    while (s->lines.length > most) {
        ev_run(s->cli->loop, EVRUN_ONCE);
        print_answered(s);
    }
}

struct stream *stream_open(struct cli *c, const struct stream_options *options, int64_t size)
{
    struct stream *s = g_new0(struct stream, 1);

    s->cli = c;
    if (options)
        s->options = *options;
    progress_begin(&s->progress, size);
    return s;
}

struct stream_line *stream_row(struct stream *s, int64_t number, int64_t done)
{
    struct stream_line *line = g_new0(struct stream_line, 1);

    print_answered(s);
    wait_until(s, WINDOW);
    line->stream = s;
    line->number = number;
    g_queue_push_tail(&s->lines, line);
    progress_step(&s->progress, done, s->printed);
    return line;
}

static void print_summary(const struct stream *s)
{
    if (s->cli->json)
        printf("{\"accepted\":%" G_GINT64_FORMAT ",\"refused\":%" G_GINT64_FORMAT "}\n", s->printed - s->bad, s->bad);
    else
        printf("accepted %" G_GINT64_FORMAT ", refused %" G_GINT64_FORMAT "\n", s->printed - s->bad, s->bad);
}

int stream_close(struct stream *s)
{
    int status = 0;

    wait_until(s, 0);
    progress_end(&s->progress);
    if (s->options.quiet)
        print_summary(s);
    if (s->bad)
        status = cli_fail("%" G_GINT64_FORMAT " of %" G_GINT64_FORMAT
                          " lines were refused, the first at line %" G_GINT64_FORMAT "%s",
                          s->bad, s->printed, s->first_bad,
                          s->options.quiet ? "; without --quiet their answers say why" : "; their answers say why");
    g_free(s);
    return status;
}

static FILE *open_input(const char *file, int64_t *size)
{
    FILE *in = !file || strcmp(file, "-") == 0 ? stdin : fopen(file, "re");
    struct stat st;

    *size = in && fstat(fileno(in), &st) == 0 && S_ISREG(st.st_mode) ? st.st_size : 0;
    return in;
}

int stream_run(struct cli *c, const char *file, const struct stream_options *options, stream_fn *fn, void *arg)
{
    int64_t size, done = 0, number = 0;
    FILE *in = open_input(file, &size);
    struct stream *s;
    char *text = NULL;
    size_t room = 0;
    ssize_t len;

    if (!in)
        return cli_fail("%s: %s", file, strerror(errno));
    s = stream_open(c, options, size);
    while ((len = getline(&text, &room, in)) > 0) {
        done += len;
        number++;
        while (len && memchr(" \t\r\n", text[len - 1], 4))
            len--;
        if (!len)
            continue;
        text[len] = '\0';
        fn(c, text, (size_t)len, stream_row(s, number, done), arg);
    }
    int broken = ferror(in) ? errno : 0;
    free(text);
    if (in != stdin)
        fclose(in);
    int status = stream_close(s);
    return broken ? cli_fail("%s: reading ended with an error at line %" G_GINT64_FORMAT ": %s", file ? file : "-",
                             number, strerror(broken))
                  : status;
}
