#include <string.h>

#include "dispatcher/base/clock.h"
#include "dispatcher/config/settings.h"
#include "dispatcher/base/problem.h"
#include "dispatcher/base/token.h"
#include "dispatcher/http/handlers.h"
#include "dispatcher/http/keys.h"
#include "dispatcher/store/inbox.h"

const struct route routes[] = {
    { "POST", "/v1/messages", SCOPE_ENQUEUE, post_messages,
      "Enqueue one message (application/json) or many (application/x-ndjson)", NULL },
    { "GET", "/v1/messages", SCOPE_READ, get_messages, "List messages by recipient and status, page by page",
      "recipient status category template source tag limit cursor" },
    { "GET", "/v1/messages/{id}", SCOPE_READ, get_message, "One message with its deliveries and its trace", NULL },
    { "DELETE", "/v1/messages/{id}", SCOPE_ENQUEUE, delete_message, "Cancel a message", NULL },
    { "POST", "/v1/events", SCOPE_ENQUEUE, post_events,
      "Something has happened to a person (application/json, or many as application/x-ndjson); answers what it did",
      NULL },
    { "GET", "/v1/sequences", SCOPE_READ, get_sequences, "Sequences, and how many runs each has", NULL },
    { "POST", "/v1/sequences/{name}/enroll", SCOPE_ENQUEUE, post_enroll, "Enroll a person in a sequence", NULL },
    { "POST", "/v1/sequences/{name}/exit", SCOPE_MANAGE, post_exit,
      "Take out everybody whom a condition meets: counted first, done with the count's token", NULL },
    { "GET", "/v1/sequences/{name}/report", SCOPE_READ, get_sequence_report,
      "How many came to each step, what became of them, and the goal", "version" },
    { "POST", "/v1/sequences/{name}/pause", SCOPE_MANAGE, post_pause,
      "Nobody enters a sequence, and nothing is sent; events, goals and exits go on", NULL },
    { "POST", "/v1/sequences/{name}/resume", SCOPE_MANAGE, post_resume, "A paused sequence goes on", NULL },
    { "POST", "/v1/sequences/{name}/migrate", SCOPE_MANAGE, post_migrate,
      "Runs of earlier versions go on with the current one; with dry_run only says which", NULL },
    { "POST", "/v1/sequences/{name}/stop", SCOPE_MANAGE, post_stop, "End all runs of a sequence", NULL },
    { "GET", "/v1/sequences/{name}/waves", SCOPE_READ, get_waves, "Waves: who was let in, and what their gates say",
      NULL },
    { "POST", "/v1/sequences/{name}/waves/{wave}/open", SCOPE_MANAGE, post_wave_open, "Let a wave in", NULL },
    { "POST", "/v1/sequences/{name}/waves/{wave}/hold", SCOPE_MANAGE, post_wave_hold,
      "Let nobody of a wave in, and send nothing to those who are", NULL },
    { "DELETE", "/v1/sequences/{name}/runs/{recipient}", SCOPE_ENQUEUE, delete_runs,
      "End a person's runs in a sequence, and cancel what they have enqueued", NULL },
    { "PUT", "/v1/recipients/{id}", SCOPE_MANAGE, put_recipient, "Store a recipient", NULL },
    { "PATCH", "/v1/recipients/{id}", SCOPE_MANAGE, patch_recipient, "Change a recipient (RFC 7396)", NULL },
    { "GET", "/v1/recipients/{id}", SCOPE_READ, get_recipient, "One recipient", NULL },
    { "POST", "/v1/recipients/{id}/merge", SCOPE_MANAGE, post_merge,
      "Two recipients are one person: the runs of this one go on there", NULL },
    { "DELETE", "/v1/recipients/{id}", SCOPE_MANAGE, delete_recipient,
      "Erase a recipient and everything that hangs on it", NULL },
    { "GET", "/v1/recipients/{id}/timeline", SCOPE_READ, get_timeline, "Everything past and pending for a person",
      NULL },
    { "GET", "/v1/recipients/{id}/preferences", SCOPE_READ, get_choices, "What a person has chosen", NULL },
    { "PATCH", "/v1/recipients/{id}/preferences", SCOPE_MANAGE, patch_choices,
      "Choose for a person: channels, categories, pause_until, max_per_week", NULL },
    { "GET", "/v1/recipients/{id}/next-window", SCOPE_READ, get_next_window,
      "When this person could next be reached (?channel=&category=), and why not now", "channel category" },
    { "POST", "/v1/recipients/{id}/consents", SCOPE_MANAGE, post_consent,
      "Grant or withdraw consent; a withdrawal answers its receipt", NULL },
    { "GET", "/v1/recipients/{id}/consents", SCOPE_READ, get_consents, "The consent ledger, whole", NULL },
    { "POST", "/v1/consents", SCOPE_MANAGE, post_consents, "Consents of many people (application/x-ndjson)", NULL },
    { "POST", "/v1/recipients/{id}/inbox-token", SCOPE_MANAGE, post_inbox_token,
      "A token with which this person reads the own inbox", NULL },
    { "GET", "/v1/suppressions", SCOPE_READ, get_suppressions, "All suppressed addresses", NULL },
    { "PUT", "/v1/suppressions/{address}", SCOPE_MANAGE, put_suppression, "Suppress an address", NULL },
    { "GET", "/v1/suppressions/{address}", SCOPE_READ, get_suppression, "Whether and why an address is suppressed",
      NULL },
    { "DELETE", "/v1/suppressions/{address}", SCOPE_MANAGE, delete_suppression, "Release an address", NULL },
    { "GET", "/v1/inbox", SCOPE_RECIPIENT, get_inbox, "The cards of the recipient whose token calls",
      "state before limit token ticket" },
    { "GET", "/v1/inbox/stream", SCOPE_RECIPIENT, get_inbox_stream,
      "Cards and counts as they change, as server-sent events", "token ticket after" },
    { "GET", "/v1/inbox/count", SCOPE_RECIPIENT, get_inbox_count, "Unread and unseen, and the version",
      "token ticket" },
    { "POST", "/v1/inbox/ticket", SCOPE_RECIPIENT, post_inbox_ticket,
      "A ticket for one stream, for a minute: ?ticket= keeps the token out of addresses", "token" },
    { "POST", "/v1/inbox/{id}/unread", SCOPE_RECIPIENT, post_inbox_unread, "Mark a card unread", "token" },
    { "POST", "/v1/inbox/{id}/unarchive", SCOPE_RECIPIENT, post_inbox_unarchive, "Take a card out of the archive",
      "token" },
    { "POST", "/v1/inbox/{id}/snooze", SCOPE_RECIPIENT, post_inbox_snooze, "Hide a card for a while", "token" },
    { "POST", "/v1/inbox/{id}/read", SCOPE_RECIPIENT, post_inbox_read, "Mark a card read", "token" },
    { "POST", "/v1/inbox/{id}/seen", SCOPE_RECIPIENT, post_inbox_seen, "Mark a card seen", "token" },
    { "POST", "/v1/inbox/{id}/answer", SCOPE_RECIPIENT, post_inbox_answer, "Answer a card that asks", "token" },
    { "POST", "/v1/inbox/{id}/archive", SCOPE_RECIPIENT, post_inbox_archive, "Archive a card", "token" },
    { "POST", "/v1/stops", SCOPE_MANAGE, post_stops,
      "Halt messages by one property, in force when it answers; with dry_run only counts", NULL },
    { "GET", "/v1/stops", SCOPE_READ, get_stops, "Stops that stand", NULL },
    { "DELETE", "/v1/stops/{id}", SCOPE_MANAGE, delete_stop, "Lift a stop; what it held goes on", NULL },
    { "POST", "/v1/cancellations", SCOPE_MANAGE, post_cancellations,
      "Cancel what waits and has a property: counted first, done with \"confirm\": that count", NULL },
    { "GET", "/v1/queue", SCOPE_READ, get_queue, "Depth and lag of the queue", NULL },
    { "GET", "/u/{token}", SCOPE_PUBLIC, get_unsubscribe, "The unsubscribe page; changes nothing", "*" },
    { "POST", "/u/{token}", SCOPE_PUBLIC, post_unsubscribe, "Unsubscribe (RFC 8058 one-click)", "*" },
    { "GET", "/p/{token}", SCOPE_PUBLIC, get_preferences, "The preference page; changes nothing", "*" },
    { "POST", "/p/{token}", SCOPE_PUBLIC, post_preferences, "Change preferences", "*" },
    { "GET", "/c/{token}", SCOPE_PUBLIC, get_confirm, "The page that asks to confirm a consent; changes nothing", "*" },
    { "POST", "/c/{token}", SCOPE_PUBLIC, post_confirm, "Confirm a consent (double opt-in)", "*" },
    { "GET", "/inbox.js", SCOPE_PUBLIC, get_component, "The web component <tidings-inbox>", "*" },
    { "GET", "/inbox.{hash}.js", SCOPE_PUBLIC, get_component_of, "The same, of one version for ever", NULL },
    { "GET", "/demo", SCOPE_PUBLIC, get_demo, "A page with an inbox, where no keys are configured", NULL },
    { "GET", "/demo.js", SCOPE_PUBLIC, get_demo_script, "Its script", NULL },
    { "GET", "/demo.css", SCOPE_PUBLIC, get_demo_style, "Its style", NULL },
    { "GET", "/healthz", SCOPE_PUBLIC, get_healthz, "The process is alive", "*" },
    { "GET", "/readyz", SCOPE_PUBLIC, get_readyz, "The service can accept and send", "*" },
    { "GET", "/metrics", SCOPE_PUBLIC, get_metrics, "Prometheus metrics", "*" },
    { "GET", "/openapi.json", SCOPE_PUBLIC, get_openapi, "This interface, as OpenAPI", NULL },
    { NULL, NULL, 0, NULL, NULL, NULL },
};

/* ---------------------------------------------------------------- matching */

/* "{id}", or one between fixed words: "inbox.{hash}.js".  What stands for it; NULL when it does not fit, or is empty.
 */
static char *part_of(const char *want, const char *have)
{
    size_t before = strcspn(want, "{"), after = strlen(strchr(want, '}') + 1), len = strlen(have);
    g_autofree char *raw = NULL;

    if (len <= before + after || strncmp(want, have, before) != 0 ||
        strcmp(want + strlen(want) - after, have + len - after) != 0)
        return NULL;
    raw = g_strndup(have + before, len - before - after);
    return g_uri_unescape_segment(raw, NULL, NULL);
}

/* Parts are compared raw and decoded singly, so "%2f" never becomes a slash of the path. */
static bool path_matches(const char *pattern, const char *path, char *param[4])
{
    g_auto(GStrv) want = g_strsplit(pattern, "/", 0), have = g_strsplit(path, "/", 0);
    int n = 0, i;

    for (i = 0; want[i] && have[i]; i++) {
        if (!strchr(want[i], '{')) {
            if (strcmp(want[i], have[i]) != 0)
                break;
        } else if (!(param[n] = part_of(want[i], have[i])) || !*param[n++]) {
            break;
        }
    }
    if (!want[i] && !have[i])
        return true;
    for (int p = 0; p < 4; p++)
        g_clear_pointer(&param[p], g_free);
    return false;
}

/* ---------------------------------------------------------------- who calls */

static const char *bearer(struct request *r)
{
    const char *value = request_header(r, "Authorization");
    return value && g_ascii_strncasecmp(value, "Bearer ", 7) == 0 ? value + 7 : NULL;
}

/* True when the caller may; else the answer is given. */
static bool check_key(struct request *r, int scope)
{
    const struct keys *keys = http_keys(r->server);
    const struct key *key = keys_find(keys, bearer(r));

    r->scopes = key ? key->scopes : keys_any(keys) ? 0 : SCOPE_ENQUEUE | SCOPE_READ | SCOPE_MANAGE;
    if (!keys_any(keys))
        return true;
    if (key && !(key->scopes & scope)) {
        answer_problem(r, 403, "this key's scopes do not cover this call");
        return false;
    }
    if (key) {
        r->caller = key->name;
        return true;
    }
    answer_header(r, "WWW-Authenticate", "Bearer");
    answer_problem(r, 401, "send Authorization: Bearer with a key of http.keys");
    return false;
}

static void refuse_token(struct request *r, bool over)
{
    json_auto_t *problem = problem_make(401,
                                        over ? "this token is over; ask for another one"
                                             : "send Authorization: Bearer with a recipient's inbox token",
                                        NULL);

    if (over)
        json_object_set_new(problem, "code", json_string("token_expired"));
    answer_header(r, "WWW-Authenticate", "Bearer");
    answer_json(r, 401, problem);
}

static bool check_recipient(struct request *r)
{
    const char *text = bearer(r), *secret = r->service->store->secret;
    struct token t;

    if (!text)
        text = request_query(r, "token", NULL); /* an EventSource cannot send headers */
    if (text && secret && token_read(secret, TOKEN_INBOX, text, clock_now(), &t)) {
        g_strlcpy(r->recipient, t.recipient, sizeof r->recipient);
        r->expires_ms = t.expires_ms;
        return true;
    }
    refuse_token(r, text && secret && token_read(secret, TOKEN_INBOX, text, 0, &t));
    return false;
}

/* ---------------------------------------------------------------- from which page */

static bool is_inbox(const struct request *r)
{
    return strcmp(r->path, "/v1/inbox") == 0 || g_str_has_prefix(r->path, "/v1/inbox/");
}

/* Pages of this service itself, of its public name, and of the origins that are listed. */
static bool origin_may(struct request *r, const char *origin)
{
    const char *host = request_header(r, "Host"), *bare = strstr(origin, "://");
    const json_t *listed = setting_json(r->service->config->root, "in_app.origins");
    const char *public = r->service->public_url;
    json_t *one;
    size_t i;

    if (host && bare && strcmp(bare + 3, host) == 0)
        return true;
    if (public && g_str_has_prefix(public, origin) && (public[strlen(origin)] == '\0' || public[strlen(origin)] == '/'))
        return true;
    json_array_foreach ((json_t *)listed, i, one)
        if (strcmp(json_string_value(one), origin) == 0)
            return true;
    return false;
}

/* Inboxes alone may be read from pages elsewhere (https://fetch.spec.whatwg.org/#http-cors-protocol).  False: the
 * answer is given. */
static bool check_origin(struct request *r)
{
    const char *origin = request_header(r, "Origin");

    if (!origin || !is_inbox(r))
        return true;
    answer_header(r, "Vary", "Origin");
    if (origin_may(r, origin)) {
        answer_header(r, "Access-Control-Allow-Origin", origin);
        answer_header(r, "Access-Control-Expose-Headers", "ETag, Retry-After");
        return true;
    }
    json_auto_t *problem = problem_make(403, "pages of this origin are not listed in in_app.origins", NULL);
    json_object_set_new(problem, "code", json_string("origin"));
    answer_json(r, 403, problem);
    return false;
}

static bool is_preflight(struct request *r)
{
    return strcmp(r->method, "OPTIONS") == 0 && is_inbox(r) && request_header(r, "Access-Control-Request-Method");
}

static void answer_preflight(struct request *r)
{
    answer_header(r, "Access-Control-Allow-Methods", "GET, POST");
    answer_header(r, "Access-Control-Allow-Headers", "Authorization, Content-Type, If-None-Match, Last-Event-ID");
    answer_header(r, "Access-Control-Max-Age", "7200");
    answer_text(r, 204, "text/plain", "", 0);
}

/* How many letters two words differ by, at most `most`. */
static size_t distance(const char *a, const char *b)
{
    size_t n = strlen(b), row[64], before, old;

    if (n + 1 > G_N_ELEMENTS(row))
        return n;
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (; *a; a++) {
        before = row[0]++;
        for (size_t j = 1; j <= n; j++) {
            old = row[j];
            row[j] = MIN(MIN(row[j], row[j - 1]) + 1, before + (*a != b[j - 1]));
            before = old;
        }
    }
    return row[n];
}

/* A parameter that nobody reads would be ignored in silence, and list everybody. */
static bool check_query(struct request *r, const char *known)
{
    g_auto(GStrv) names = g_strsplit(known ? known : "", " ", 0);
    GHashTableIter i;
    const char *name;

    if (known && strcmp(known, "*") == 0)
        return true;
    g_hash_table_iter_init(&i, r->query);
    while (g_hash_table_iter_next(&i, (void **)&name, NULL)) {
        const char *nearest = NULL;
        if (g_strv_contains((const char *const *)names, name))
            continue;
        for (char **n = names; *n && **n; n++)
            if (!nearest || distance(name, *n) < distance(name, nearest))
                nearest = *n;
        g_autofree char *list = known ? g_strjoinv(", ", names) : NULL;
        g_autofree char *detail =
            nearest ? g_strdup_printf("the parameter \"%s\" is unknown; did you mean \"%s\"? There are %s", name,
                                      nearest, list)
                    : g_strdup_printf("the parameter \"%s\" is unknown; this address takes none", name);
        answer_problem(r, 400, detail);
        return false;
    }
    return true;
}

/* Beyond this host figures need a key, or an address of their own. */
static int scope_of(const struct request *r, const struct route *route)
{
    bool guarded = route->fn == get_metrics && !http_is_local(r->server) && !http_has_figures_only(r->server);
    return guarded ? SCOPE_ENQUEUE | SCOPE_READ | SCOPE_MANAGE : route->scope;
}

static bool is_figure(const struct route *route)
{
    return route->fn == get_healthz || route->fn == get_readyz || route->fn == get_metrics;
}

static void run(struct request *r, const struct route *route)
{
    if (check_query(r, route->query))
        route->fn(r);
}

struct taking {
    struct request *request;
    const struct route *route;
};

static void on_ticket(void *arg, bool ok, json_t *owner)
{
    struct taking *t = arg;
    const char *recipient = json_string_value(json_object_get(owner, "recipient"));

    if (recipient)
        g_strlcpy(t->request->recipient, recipient, sizeof t->request->recipient);
    t->request->expires_ms = json_integer_value(json_object_get(owner, "expires"));
    if (!answer_unless_gone(t->request, ok))
        ;
    else if (recipient)
        run(t->request, t->route);
    else
        refuse_token(t->request, true);
    g_free(t);
}

/* A ticket opens one request, and is spent. */
static void take_ticket(struct request *r, const struct route *route)
{
    struct taking *t = g_new0(struct taking, 1);

    *t = (struct taking){ r, route };
    store_ticket_take(r->service->store, request_query(r, "ticket", ""), on_ticket, t);
}

static void find_route(struct request *r)
{
    GString *allowed = g_string_new(NULL);
    const struct route *found = NULL;

    for (const struct route *route = routes; route->method && !found; route++) {
        if (http_has_figures_only(r->server) && !is_figure(route))
            continue;
        if (!path_matches(route->path, r->path, r->param))
            continue;
        if (strcmp(route->method, r->method) == 0 ||
            (strcmp(route->method, "GET") == 0 && strcmp(r->method, "HEAD") == 0)) {
            found = route;
            break;
        }
        g_string_append_printf(allowed, "%s%s", allowed->len ? ", " : "", route->method);
        for (int p = 0; p < 4; p++)
            g_clear_pointer(&r->param[p], g_free);
    }
    if (!found && allowed->len) {
        answer_header(r, "Allow", allowed->str);
        answer_problem(r, 405, "this address knows other methods");
    } else if (!found) {
        answer_problem(r, 404, "there is nothing at this address; /openapi.json lists what there is");
    } else if (found->scope == SCOPE_RECIPIENT && g_hash_table_contains(r->query, "ticket")) {
        take_ticket(r, found);
    } else if (scope_of(r, found) == SCOPE_PUBLIC ||
               (found->scope == SCOPE_RECIPIENT ? check_recipient(r) : check_key(r, scope_of(r, found)))) {
        run(r, found);
    }
    g_string_free(allowed, TRUE);
}

void http_dispatch(struct request *r)
{
    if (!check_origin(r))
        return;
    if (is_preflight(r))
        answer_preflight(r);
    else
        find_route(r);
}
