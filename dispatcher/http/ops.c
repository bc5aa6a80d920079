#include <stdlib.h>
#include <string.h>

#include "dispatcher/base/clock.h"
#include "dispatcher/base/metrics.h"
#include "dispatcher/http/handlers.h"
#include "dispatcher/store/messages.h"

void get_healthz(struct request *r)
{
    answer_text(r, 200, "text/plain", "alive\n", 6);
}

void get_readyz(struct request *r)
{
    const char *why = http_not_ready(r->server);
    int away = why ? 0 : store_away(r->service->store);
    g_autoptr(GString) text = g_string_new(why ? why : away ? "ready in part" : "ready");

    g_string_append_c(text, '\n');
    if (away)
        g_string_append_printf(text, "%d of %d partitions wait for their Redis server\n", away,
                               r->service->store->partitions);
    if (clock_rate() != 1)
        g_string_append_printf(text, "the clock runs %g times as fast (--clock-rate)\n", clock_rate());
    answer_text(r, why ? 503 : 200, "text/plain", text->str, text->len);
}

void get_metrics(struct request *r)
{
    g_autoptr(GString) text = g_string_new(NULL);

    metrics_text(text);
    answer_text(r, 200, "text/plain; version=0.0.4; charset=utf-8", text->str, text->len);
}

static void on_queue(void *arg, bool ok, json_t *queue)
{
    struct request *r = arg;
    if (answer_unless_gone(r, ok))
        answer_json(r, 200, queue);
}

void get_queue(struct request *r)
{
    store_queue(r->service->store, on_queue, r);
}

/* ---------------------------------------------------------------- the interface, described by itself */

static void add_parameter(json_t *list, const char *name, const char *in)
{
    json_array_append_new(list, json_pack("{s:s, s:s, s:b, s:{s:s}}", "name", name, "in", in, "required",
                                          strcmp(in, "path") == 0, "schema", "type", "string"));
}

static json_t *parameters_of(const struct route *route)
{
    g_auto(GStrv) query = g_strsplit(route->query && strcmp(route->query, "*") != 0 ? route->query : "", " ", 0);
    json_t *list = json_array();

    for (const char *p = route->path; (p = strchr(p, '{')); p++) {
        g_autofree char *name = g_strndup(p + 1, strcspn(p + 1, "}"));
        add_parameter(list, name, "path");
    }
    for (char **name = query; *name; name++)
        add_parameter(list, *name, "query");
    return list;
}

/* "post_v1_messages": the method and the path, in letters. */
static json_t *operation_id(const struct route *route)
{
    g_autofree char *id = g_strdup_printf("%s%s", route->method, route->path);

    for (char *p = id; *p; p++)
        *p = g_ascii_isalnum(*p) ? g_ascii_tolower(*p) : '_';
    return json_string(id);
}

static json_t *operation_of(const struct route *route)
{
    static const char *const problems[] = { "400", "401", "403", "404", "422", "503" };
    bool accepts = strcmp(route->method, "POST") == 0 && strcmp(route->path, "/v1/messages") == 0;
    json_t *operation =
        json_pack("{s:o, s:s, s:o, s:{s:{s:s}}}", "operationId", operation_id(route), "summary", route->summary,
                  "parameters", parameters_of(route), "responses", accepts ? "202" : "200", "description", "done");

    if (route->scope && *route->method == 'P') /* POST, PUT, PATCH */
        json_object_set_new(operation, "requestBody", json_pack("{s:{s:{}}}", "content", "application/json"));
    for (size_t i = 0; route->scope && i < G_N_ELEMENTS(problems); i++)
        json_object_set_new(
            json_object_get(operation, "responses"), problems[i],
            json_pack("{s:s, s:{s:{}}}", "description", "an RFC 9457 problem", "content", "application/problem+json"));
    if (route->scope)
        json_object_set_new(operation, "security",
                            json_pack("[{s:[]}]", route->scope == SCOPE_RECIPIENT ? "recipient" : "key"));
    return operation;
}

void get_openapi(struct request *r)
{
    json_auto_t *doc = json_pack("{s:s, s:{s:s, s:s}, s:{s:{s:{s:s, s:s}, s:{s:s, s:s}}}}", "openapi", "3.1.0", "info",
                                 "title", "tidings", "version", "1", "components", "securitySchemes", "key", "type",
                                 "http", "scheme", "bearer", "recipient", "type", "http", "scheme", "bearer");
    json_t *paths = json_object();

    for (const struct route *route = routes; route->method; route++) {
        g_autofree char *method = g_ascii_strdown(route->method, -1);
        if (!json_object_get(paths, route->path))
            json_object_set_new(paths, route->path, json_object());
        json_object_set_new(json_object_get(paths, route->path), method, operation_of(route));
    }
    json_object_set_new(doc, "paths", paths);
    answer_json(r, 200, doc);
}
