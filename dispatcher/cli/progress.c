#include "dispatcher/cli/progress.h"

#include <glib.h>
#include <stdio.h>
#include <unistd.h>

#define WIDTH 30

static double seconds(void)
{
    return (double)g_get_monotonic_time() / 1e6;
}

void progress_begin(struct progress *p, int64_t total)
{
    *p = (struct progress){ .shown = isatty(STDERR_FILENO), .total = total, .began = seconds() };
}

static void draw(const struct progress *p, int64_t done, int64_t count)
{
    double spent = seconds() - p->began, part = p->total > 0 ? CLAMP((double)done / (double)p->total, 0, 1) : 0;
    char bar[WIDTH + 1];

    for (int i = 0; i < WIDTH; i++)
        bar[i] = i < (int)(part * WIDTH) ? '#' : '.';
    bar[WIDTH] = '\0';
    if (p->total > 0)
        fprintf(stderr, "\r[%s] %3.0f%%  %" G_GINT64_FORMAT "  %.0f/s  %.0f s left   ", bar, part * 100, count,
                (double)count / MAX(spent, 0.001), part > 0 ? spent * (1 - part) / part : 0);
    else
        fprintf(stderr, "\r%" G_GINT64_FORMAT "  %.0f/s   ", count, (double)count / MAX(spent, 0.001));
}

void progress_step(struct progress *p, int64_t done, int64_t count)
{
    if (!p->shown || seconds() - p->drawn < 0.1)
        return;
    p->drawn = seconds();
    draw(p, done, count);
}

void progress_end(struct progress *p)
{
    if (p->shown)
        fputs("\r\033[K", stderr);
}
