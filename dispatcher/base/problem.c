#include "dispatcher/base/problem.h"

#include <glib.h>
#include <stdarg.h>
#include <stdlib.h>

void problem_add(json_t *errors, const char *pointer, const char *detail, ...)
{
    va_list ap;

    va_start(ap, detail);
    g_autofree char *text = g_strdup_vprintf(detail, ap);
    va_end(ap);
    json_array_append_new(errors, json_pack("{s:s, s:s}", "pointer", pointer, "detail", text));
}

void problem_unknown(json_t *errors, const json_t *object, const char *const *known, const char *detail)
{
    const char *key;
    json_t *value;

    json_object_foreach ((json_t *)object, key, value)
        if (!g_strv_contains(known, key)) {
            g_autofree char *pointer = g_strconcat("/", key, NULL);
            problem_add(errors, pointer, "%s", detail);
        }
}

static const char *const titles[][2] = {
    { "400", "Bad Request" },       { "401", "Unauthorized" },           { "403", "Forbidden" },
    { "404", "Not Found" },         { "405", "Method Not Allowed" },     { "409", "Conflict" },
    { "413", "Content Too Large" }, { "415", "Unsupported Media Type" }, { "422", "Unprocessable Content" },
    { "429", "Too Many Requests" }, { "503", "Service Unavailable" }
};

json_t *problem_make(int status, const char *detail, json_t *errors)
{
    const char *title = "Error";
    json_t *problem;

    for (size_t i = 0; i < G_N_ELEMENTS(titles); i++)
        if (atoi(titles[i][0]) == status)
            title = titles[i][1];
    problem =
        json_pack("{s:s, s:s, s:i, s:s}", "type", "about:blank", "title", title, "status", status, "detail", detail);
    if (errors)
        json_object_set_new(problem, "errors", errors);
    return problem;
}
