#include "dispatcher/base/log.h"

#include <assert.h>
#include <glib.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "schedules/instant.h"

static const char *const levels[] = { "debug", "info", "warning", "error" };
static enum log_level lowest = LOG_INFO;
static bool as_text;
static unsigned long dropped;

const char *log_setup(const char *format, const char *level)
{
    if (format && strcmp(format, "json") != 0 && strcmp(format, "text") != 0)
        return "the log format is json or text";
    as_text = format && strcmp(format, "text") == 0;
    if (!level)
        return NULL;
    for (unsigned i = 0; i < G_N_ELEMENTS(levels); i++)
        if (strcmp(levels[i], level) == 0) {
            lowest = (enum log_level)i;
            return NULL;
        }
    return "the log level is debug, info, warning or error";
}

static char *text_line(const json_t *fields)
{
    GString *line = g_string_new(NULL);
    const char *key;
    json_t *value;

    json_object_foreach ((json_t *)fields, key, value) {
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        if (strcmp(key, "at") == 0 || strcmp(key, "level") == 0 || strcmp(key, "event") == 0)
            g_string_append_printf(line, "%s ", json_string_value(value));
        else
            g_string_append_printf(line, "%s=%s ", key, text);
        free(text);
    }
    return g_string_free(line, FALSE);
}

void log_event(enum log_level level, const char *event, const char *fields, ...)
{
    struct timespec now;
    char at[32];
    json_error_t error;
    va_list ap;

    if (level < lowest)
        return;
    clock_gettime(CLOCK_REALTIME, &now);
    instant_format(at, (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000);
    json_auto_t *line = json_pack("{s:s, s:s, s:s}", "at", at, "level", levels[level], "event", event);
    if (fields) {
        va_start(ap, fields);
        json_auto_t *extra = json_vpack_ex(&error, 0, fields, ap);
        va_end(ap);
        if (extra)
            json_object_update(line, extra);
        else
            json_object_set_new(line, "log_fault", json_string(error.text));
    }
    if (dropped)
        json_object_set_new(line, "dropped_lines", json_integer((json_int_t)dropped));
    char *text = as_text ? text_line(line) : json_dumps(line, JSON_COMPACT);
    g_autofree char *whole = g_strconcat(text, "\n", NULL);
    free(text);
    /* one write a line, so that lines of several processes do not mix */
    if (write(STDERR_FILENO, whole, strlen(whole)) == (ssize_t)strlen(whole))
        dropped = 0;
    else
        dropped++;
}
