#include "dispatcher/intake/message.h"

#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "channels/mime.h"
#include "dispatcher/base/text.h"
#include "dispatcher/base/vocab.h"
#include "dispatcher/base/problem.h"
#include "dispatcher/intake/attachment.h"
#include "dispatcher/people/recipient.h"
#include "schedules/duration.h"

#define FARTHEST_MS (3653 * DAY_MS)

/* ---------------------------------------------------------------- text to JSON */

json_t *message_parse(const char *text, size_t len, json_t *errors)
{
    json_error_t error;
    json_t *message;

    if (len > MESSAGE_MAX_WHOLE) {
        problem_add(errors, "", "is larger than 4 MB");
        return NULL;
    }
    if (text_too_deep(text, len)) {
        problem_add(errors, "", "is nested deeper than 32 levels");
        return NULL;
    }
    message = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
    if (!message)
        problem_add(errors, "", "is no JSON: %s at line %d, column %d", error.text, error.line, error.column);
    else if (!json_is_object(message))
        problem_add(errors, "", "must be a JSON object");
    else if (len - attachments_text_bytes(json_object_get(message, "attachments")) > MESSAGE_MAX_BYTES)
        problem_add(errors, "", "is larger than 256 kB without its attachments");
    else
        return message;
    json_decref(message);
    return NULL;
}

/* ---------------------------------------------------------------- fields */

struct checking {
    const struct service *s;
    const json_t *in;
    struct draft *d;
    json_t *errors;
    struct template *template; /* borrowed for the check alone */
    const struct category *category;
};

static const char *const known[] = { "idempotency_key", "recipient",  "template", "category",
                                     "channels",        "strategy",   "send_at",  "send_at_local",
                                     "delay",           "expires_at", "ttl",      "supersede",
                                     "priority",        "source",     "data",     "tags",
                                     "attachments",     "thread",     "answer",   NULL };

bool message_text_good(const char *text, size_t max)
{
    bool control = false;

    for (const char *p = text; *p; p++)
        control |= (unsigned char)*p < ' ' || *p == 0x7f;
    return *text && strlen(text) <= max && !control && g_utf8_validate(text, -1, NULL);
}

/* A text field, or NULL: missing, or complained about. */
static const char *text_field(struct checking *c, const char *key, size_t max)
{
    const json_t *value = json_object_get(c->in, key);
    g_autofree char *pointer = g_strconcat("/", key, NULL);

    if (!value || json_is_null(value))
        return NULL;
    if (!json_is_string(value)) {
        problem_add(c->errors, pointer, "must be a text");
        return NULL;
    }
    const char *text = json_string_value(value);
    if (!message_text_good(text, max)) {
        problem_add(c->errors, pointer, "must have 1 to %zu characters and no control characters", max);
        return NULL;
    }
    return text;
}

static void check_recipient(struct checking *c)
{
    const json_t *recipient = json_object_get(c->in, "recipient");
    const char *id = NULL;

    if (json_is_string(recipient)) {
        id = json_string_value(recipient);
        if (!ident_good(id)) {
            problem_add(c->errors, "/recipient", "must be 1 to 128 letters, digits and . _ ~ @ + -");
            return;
        }
    } else if (json_is_object(recipient)) {
        c->d->profile = recipient_check(recipient, "/recipient", c->errors);
        id = json_string_value(json_object_get(c->d->profile, "id"));
        if (!json_object_get(recipient, "id"))
            problem_add(c->errors, "/recipient/id", "is required");
    } else {
        problem_add(c->errors, "/recipient",
                    recipient ? "must be a recipient's id, or an object with an id" : "is required");
    }
    g_strlcpy(c->d->recipient, id ? id : "", sizeof c->d->recipient);
}

static void on_data_complaint(void *arg, const char *pointer, const char *detail)
{
    problem_add(((struct checking *)arg)->errors, pointer, "%s", detail);
}

static void check_template(struct checking *c)
{
    const char *name = text_field(c, "template", 128);
    const json_t *data = json_object_get(c->in, "data");
    json_auto_t *none = json_object();

    if (!json_object_get(c->in, "template") || json_is_null(json_object_get(c->in, "template")))
        problem_add(c->errors, "/template", "is required");
    if (data && !json_is_object(data))
        problem_add(c->errors, "/data", "must be an object");
    c->template = name && c->s->library ? library_find(c->s->library, name) : NULL;
    if (name && !c->template)
        problem_add(c->errors, "/template", "names no template that exists");
    if (c->template && template_fault(c->template)) {
        problem_add(c->errors, "/template", "is broken: %s", template_fault(c->template));
        c->template = NULL;
    }
    if (c->template && (!data || json_is_object(data)))
        template_check_data(c->template, data ? data : none, on_data_complaint, c);
}

static void check_category(struct checking *c)
{
    const char *name = text_field(c, "category", 64);

    if (!name && json_object_get(c->in, "category") && !json_is_null(json_object_get(c->in, "category")))
        return; /* complained about already */
    if (!name)
        name = c->template ? template_category(c->template) : NULL;
    if (!name) {
        if (c->template)
            problem_add(c->errors, "/category", "is required: the template names none");
        return;
    }
    c->category = policy_category(c->s->policy, name);
    if (!c->category) {
        problem_add(c->errors, "/category", "names no category of the configuration");
        return;
    }
    c->d->consent = c->category->consent;
    g_strlcpy(c->d->category, c->category->name, sizeof c->d->category);
    c->d->kind = "tsm"[c->category->kind];
}

static void add_channel(struct checking *c, const char *name, const char *pointer)
{
    char letter = channel_letter(name);
    size_t n = strlen(c->d->channels);

    if (!letter)
        problem_add(c->errors, pointer, "must be one of %s", CHANNEL_LIST);
    else if (strchr(c->d->channels, letter))
        problem_add(c->errors, pointer, "stands in the list already");
    else if (c->template && !template_has_channel(c->template, name))
        problem_add(c->errors, pointer, "has no part in this template");
    else
        c->d->channels[n] = letter;
}

static void check_channels(struct checking *c)
{
    const json_t *list = json_object_get(c->in, "channels");
    json_t *item;
    size_t i;

    if (!list) {
        for (const char *const *name = c->template ? template_channels(c->template) : NULL; name && *name; name++)
            add_channel(c, *name, "/channels");
        return;
    }
    if (!json_is_array(list) || json_array_size(list) == 0) {
        problem_add(c->errors, "/channels", "must be a list of %s", CHANNEL_LIST);
        return;
    }
    json_array_foreach ((json_t *)list, i, item) {
        g_autofree char *pointer = g_strdup_printf("/channels/%zu", i);
        add_channel(c, json_is_string(item) ? json_string_value(item) : "", pointer);
    }
}

static int choice_field(struct checking *c, const char *key, const char *const *choices, int fallback)
{
    const json_t *value = json_object_get(c->in, key);
    g_autofree char *pointer = g_strconcat("/", key, NULL);

    if (!value)
        return fallback;
    for (int i = 0; choices[i]; i++)
        if (json_is_string(value) && strcmp(json_string_value(value), choices[i]) == 0)
            return i;
    g_autofree char *list = g_strjoinv(", ", (char **)choices);
    problem_add(c->errors, pointer, "must be one of %s", list);
    return fallback;
}

static void check_attachments(struct checking *c)
{
    const json_t *list = json_object_get(c->in, "attachments");
    size_t max = c->s->max_attachments;

    if (!list)
        return;
    attachments_check(list, max, c->errors);
    if (!strchr(c->d->channels, 'e') && json_array_size(list))
        problem_add(c->errors, "/attachments", "travel by email, and this message does not");
}

/* A name that the producer gives to a conversation, or the Message-ID of a mail that this one answers. */
static void check_thread(struct checking *c)
{
    const char *thread = text_field(c, "thread", 255);
    size_t len = thread ? strlen(thread) : 0;
    g_autofree char *id = len > 2 && *thread == '<' && thread[len - 1] == '>' ? g_strndup(thread + 1, len - 2) : NULL;

    if (thread && *thread == '<' && !(id && mime_id_good(id)))
        problem_add(c->errors, "/thread", "must be a name, or a Message-ID like <id@host>");
}

/* ---------------------------------------------------------------- times */

static void check_when(struct checking *c)
{
    const char *at = text_field(c, "send_at", 64), *local = text_field(c, "send_at_local", 64),
               *delay = text_field(c, "delay", 64);
    const char *why = NULL;

    if (!!json_object_get(c->in, "send_at") + !!json_object_get(c->in, "send_at_local") +
            !!json_object_get(c->in, "delay") >
        1) {
        problem_add(c->errors, local ? "/send_at_local" : "/delay",
                    "stands beside another time; give one of send_at, send_at_local and delay");
        return;
    }
    if (at) {
        c->d->when = WHEN_AT;
        if ((why = instant_parse(&c->d->at, at)))
            problem_add(c->errors, "/send_at", "%s", why);
    } else if (local) {
        c->d->when = WHEN_LOCAL;
        g_strlcpy(c->d->local_text, local, sizeof c->d->local_text);
        if ((why = civil_parse(&c->d->local, local)))
            problem_add(c->errors, "/send_at_local", "%s", why);
    } else if (delay) {
        c->d->when = WHEN_DELAY;
        if ((why = duration_parse(&c->d->at, delay)))
            problem_add(c->errors, "/delay", "%s", why);
    }
}

static void check_expiry(struct checking *c)
{
    const char *at = text_field(c, "expires_at", 64), *ttl = text_field(c, "ttl", 64), *why;

    if (at && ttl)
        problem_add(c->errors, "/ttl", "stands beside expires_at; give one of them");
    if (at && (why = instant_parse(&c->d->expires_at, at)))
        problem_add(c->errors, "/expires_at", "%s", why);
    if (ttl && (why = duration_parse(&c->d->ttl, ttl)))
        problem_add(c->errors, "/ttl", "%s", why);
    else if (ttl && c->d->ttl < 1)
        problem_add(c->errors, "/ttl", "must be longer than nothing");
}

void draft_place(const struct draft *d, const struct zone *zone, int64_t now, int64_t *send_at, int64_t *expires_at,
                 json_t *errors)
{
    const char *where = d->when == WHEN_AT ? "/send_at" : d->when == WHEN_LOCAL ? "/send_at_local" : "/delay";

    *send_at = d->when == WHEN_AT      ? d->at
               : d->when == WHEN_LOCAL ? zone_instant(zone, &d->local)
               : d->when == WHEN_DELAY ? now + d->at
                                       : now;
    *expires_at = d->expires_at ? d->expires_at : d->ttl ? *send_at + d->ttl : 0;
    if (*send_at > now + FARTHEST_MS || *send_at < 0)
        problem_add(errors, where, "lies more than ten years ahead or before 1970");
    else if (*expires_at && *expires_at <= *send_at)
        problem_add(errors, "/expires_at", "lies before the send time");
}

/* ---------------------------------------------------------------- what a card asks */

/* {"event": NAME, "choices": [4, "later"]}: an answer is that event. */
static void check_answer(struct checking *c)
{
    const json_t *answer = json_object_get(c->in, "answer"), *choices = json_object_get(answer, "choices");
    const char *event = json_string_value(json_object_get(answer, "event")), *key;
    json_t *one;
    size_t i;

    if (!answer)
        return;
    if (!json_is_object(answer)) {
        problem_add(c->errors, "/answer",
                    "must be an object like {\"event\": \"survey.answered\", \"choices\": [1, 2, 3]}");
        return;
    }
    json_object_foreach ((json_t *)answer, key, one)
        if (strcmp(key, "event") != 0 && strcmp(key, "choices") != 0)
            problem_add(c->errors, "/answer", "%s is unknown here", key);
    if (!event || !message_text_good(event, 64) || strchr(event, ' '))
        problem_add(c->errors, "/answer/event", "must be the name of an event, without blanks");
    if (!json_is_array(choices) || json_array_size(choices) == 0 || json_array_size(choices) > 20)
        problem_add(c->errors, "/answer/choices", "must be a list of 1 to 20 texts or numbers");
    json_array_foreach ((json_t *)choices, i, one)
        if (!json_is_string(one) && !json_is_number(one))
            problem_add(c->errors, "/answer/choices", "must be a list of texts or numbers");
}

/* ---------------------------------------------------------------- all of it */

static json_t *body_of(struct checking *c, const char *door, const char *source)
{
    static const char *const copied[] = { "data",     "tags",        "supersede", "idempotency_key",
                                          "priority", "attachments", "thread",    "answer" };
    json_t *body = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "recipient", c->d->recipient, "template",
                             c->template ? template_name(c->template) : "", "category", c->d->category, "door", door,
                             "template_version", c->template ? template_version(c->template) : "", "strategy",
                             c->d->strategy == 'f' ? "first" : "all");
    json_t *channels = json_array();

    json_object_set_new(body, "consent", json_string(consent_rule_name(c->d->consent)));
    for (const char *l = c->d->channels; *l; l++)
        json_array_append_new(channels, json_string(channel_name(*l)));
    json_object_set_new(body, "channels", channels);
    for (size_t i = 0; i < G_N_ELEMENTS(copied); i++)
        if (json_object_get(c->in, copied[i]))
            json_object_set(body, copied[i], json_object_get(c->in, copied[i]));
    const char *own = text_field(c, "source", 128);
    if (own || *source)
        json_object_set_new(body, "source", json_string(own ? own : source));
    return body;
}

void message_check(const struct service *s, const json_t *message, const char *door, const char *source,
                   struct draft *d, json_t *errors)
{
    static const char *const strategies[] = { "all", "first", NULL }, *const priorities[] = { "high", "normal", "low",
                                                                                              NULL };
    struct checking c = { .s = s, .in = message, .d = d, .errors = errors };
    const char *text;

    memset(d, 0, sizeof *d);
    problem_unknown(c.errors, c.in, known, "is no field of a message");
    check_recipient(&c);
    check_template(&c);
    check_category(&c);
    check_channels(&c);
    check_attachments(&c);
    check_thread(&c);
    check_answer(&c);
    check_when(&c);
    check_expiry(&c);
    d->strategy = choice_field(&c, "strategy", strategies, 0) ? 'f' : 'a';
    d->lane = (enum lane)choice_field(&c, "priority", priorities, LANE_NORMAL);
    if (d->kind == 't')
        d->lane = LANE_HIGH; /* it never waits behind bulk */
    if ((text = text_field(&c, "supersede", 128)))
        g_strlcpy(d->supersede, text, sizeof d->supersede);
    if ((text = text_field(&c, "idempotency_key", 255)))
        g_strlcpy(d->idempotency_key, text, sizeof d->idempotency_key);
    if (json_object_get(message, "tags") && !json_is_object(json_object_get(message, "tags")))
        problem_add(errors, "/tags", "must be an object");
    d->body = body_of(&c, door, source);
}

void draft_clear(struct draft *d)
{
    json_decref(d->body);
    json_decref(d->profile);
    memset(d, 0, sizeof *d);
}
