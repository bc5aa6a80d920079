#include "dispatcher/cli/stream.h"

#include <errno.h>
#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "dispatcher/cli/progress.h"

#define WINDOW 512

struct stream {
    struct cli *cli;
    GQueue lines; /* in order; the answered ones at the head are printed and leave */
    int64_t printed, bad;
};

struct stream_line {
    struct stream *stream;
    json_t *answer;
    bool answered;
};

static void print_answered(struct stream *s)
{
    struct stream_line *line;

    while ((line = g_queue_peek_head(&s->lines)) && line->answered) {
        char *text = json_dumps(line->answer, JSON_COMPACT);
        puts(text);
        free(text);
        json_decref(line->answer);
        g_free(line);
        g_queue_pop_head(&s->lines);
        s->printed++;
    }
}

void stream_answer(struct stream_line *line, json_t *answer, bool good)
{
    line->answer = answer;
    line->answered = true;
    line->stream->bad += !good;
}

static void wait_until(struct stream *s, unsigned most)
{
    while (s->lines.length > most) {
        ev_run(s->cli->loop, EVRUN_ONCE);
        print_answered(s);
    }
}

static FILE *open_input(const char *file, int64_t *size)
{
    FILE *in = !file || strcmp(file, "-") == 0 ? stdin : fopen(file, "re");
    struct stat st;

    *size = in && fstat(fileno(in), &st) == 0 && S_ISREG(st.st_mode) ? st.st_size : 0;
    return in;
}

int stream_run(struct cli *c, const char *file, stream_fn *fn, void *arg)
{
    struct stream s = { .cli = c };
    struct progress progress;
    int64_t size, done = 0;
    FILE *in = open_input(file, &size);
    char *text = NULL;
    size_t room = 0;
    ssize_t len;

    if (!in)
        return cli_fail("%s: %s", file, strerror(errno));
    progress_begin(&progress, size);
    while ((len = getline(&text, &room, in)) > 0) {
        done += len;
        while (len && memchr(" \t\r\n", text[len - 1], 4))
            len--;
        if (!len)
            continue;
        struct stream_line *line = g_new0(struct stream_line, 1);
        line->stream = &s;
        g_queue_push_tail(&s.lines, line);
        text[len] = '\0';
        fn(c, text, (size_t)len, line, arg);
        wait_until(&s, WINDOW);
        progress_step(&progress, done, s.printed);
    }
    wait_until(&s, 0);
    progress_end(&progress);
    int broken = ferror(in) ? errno : 0;
    free(text);
    if (in != stdin)
        fclose(in);
    if (broken)
        return cli_fail("%s: reading ended with an error after %" G_GINT64_FORMAT " lines: %s", file ? file : "-",
                        s.printed, strerror(broken));
    if (s.bad)
        return cli_fail("%" G_GINT64_FORMAT " of %" G_GINT64_FORMAT " lines were refused; their answers say why", s.bad,
                        s.printed);
    return 0;
}
