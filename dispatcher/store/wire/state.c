#include "dispatcher/store/wire/state.h"

#include <glib.h>
#include <string.h>

#define BETWEEN '\x1f'

/* Cuts a line into its fields, in place. */
static void read_line(char *line, const char *fields[], int count)
{
    for (int i = 0; i < count; i++) {
        char *end = strchr(line, BETWEEN);
        fields[i] = line;
        if (end)
            *end = '\0';
        line = end ? end + 1 : line + strlen(line);
    }
}

void state_read(struct state *s, const char *text)
{
    char *line = s->text = g_strdup(text);

    for (int c = -1; c < CHANNEL_COUNT; c++) {
        char *end = strchr(line, '\n');
        if (end)
            *end = '\0';
        char *next = end ? end + 1 : line + strlen(line);
        if (c < 0)
            read_line(line, s->of, STATE_FIELDS);
        else
            read_line(line, s->on[c], DELIVERY_FIELDS);
        line = next;
    }
}

static void add_line(GString *text, const char *const *fields, int count)
{
    for (int i = 0; i < count; i++) {
        if (i)
            g_string_append_c(text, BETWEEN);
        g_string_append(text, fields[i]);
    }
}

char *state_text(const struct state *s)
{
    GString *text = g_string_sized_new(320);

    add_line(text, s->of, STATE_FIELDS);
    for (int c = 0; c < CHANNEL_COUNT; c++) {
        g_string_append_c(text, '\n');
        if (*s->on[c][DELIVERY_STATUS])
            add_line(text, s->on[c], DELIVERY_FIELDS);
    }
    return g_string_free(text, FALSE);
}

void state_clear(struct state *s)
{
    g_free(s->text);
    s->text = NULL;
}
