#include "dispatcher/render.h"

#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "channels/gsm.h"
#include "channels/in_app.h"
#include "channels/mime.h"
#include "dispatcher/base/clock.h"
#include "dispatcher/base/settings.h"
#include "dispatcher/base/token.h"
#include "dispatcher/base/yaml.h"
#include "schedules/instant.h"

int render_offset(void *zone, int64_t ms)
{
    return zone_offset(zone, ms);
}

static char *link_to(const struct service *s, enum token_purpose purpose, const char *path, const char *recipient,
                     const char *category)
{
    struct token t = { .expires_ms = 0 };

    g_strlcpy(t.recipient, recipient, sizeof t.recipient);
    g_strlcpy(t.category, category, sizeof t.category);
    g_autofree char *token = token_make(s->store && s->store->secret ? s->store->secret : "preview", purpose, &t);
    return g_strdup_printf("%s/%s/%s", s->public_url, path, token);
}

json_t *render_context(const struct service *s, const char *id, const json_t *body, const json_t *profile,
                       const char *category)
{
    const json_t *data = json_object_get(body, "data");
    const char *recipient = json_string_value(json_object_get(body, "recipient"));
    json_t *context = json_is_object(data) ? json_copy((json_t *)data) : json_object();
    g_autofree char *unsubscribe = link_to(s, TOKEN_UNSUBSCRIBE, "u", recipient ? recipient : "", category);
    g_autofree char *preferences = link_to(s, TOKEN_PREFERENCES, "p", recipient ? recipient : "", category);

    json_object_set_new(context, "recipient", json_is_object(profile) ? json_copy((json_t *)profile) : json_object());
    json_object_set_new(context, "message",
                        json_pack("{s:s, s:s, s:s}", "id", id, "category", category, "template",
                                  json_string_value(json_object_get(body, "template")) ?: ""));
    json_object_set_new(context, "links",
                        json_pack("{s:s, s:s}", "unsubscribe", unsubscribe, "preferences", preferences));
    return context;
}

/* ---------------------------------------------------------------- mail */

static void *prepare_mail_text(const char *text, size_t len)
{
    return qp_literal_new(text, len);
}

static void release_mail_text(void *literal)
{
    qp_literal_free(literal);
}

const struct library_hooks render_hooks = { .yaml = yaml_read,
                                            .mail = { prepare_mail_text, release_mail_text },
                                            .pages = page_files };

/* What belongs to one delivery while it is rendered. */
struct making {
    struct service *service;
    const char *id;
    const json_t *body, *profile;
    const struct category *category;
    const struct zone *zone;
    GArray *spans[4]; /* by part: struct qp_span */
    struct rendered rendered;
    struct rendered_delivery *out;
};

static void on_literal(void *arg, int part, size_t at, const void *prepared)
{
    struct making *m = arg;
    struct qp_span span = { at, prepared };

    if (!m->spans[part])
        m->spans[part] = g_array_new(FALSE, FALSE, sizeof span);
    g_array_append_val(m->spans[part], span);
}

static int on_offset(void *arg, int64_t ms)
{
    return zone_offset(((struct making *)arg)->zone, ms);
}

static struct mime_text mime_text_of(const struct making *m, int part)
{
    const GString *text = m->rendered.part[part];
    const GArray *spans = m->spans[part];

    if (!text)
        return (struct mime_text){ .text = NULL };
    return (struct mime_text){ text->str, text->len, spans ? (const struct qp_span *)(void *)spans->data : NULL,
                               spans ? spans->len : 0 };
}

/* Mails of one thread refer to a common ancestor that was never sent, so that none of them must be the first. */
static char *thread_of(const struct making *m, const char *domain)
{
    const char *thread = json_string_value(json_object_get(m->body, "thread"));
    const char *recipient = json_string_value(json_object_get(m->body, "recipient"));

    if (!thread)
        return NULL;
    if (*thread == '<')
        return g_strndup(thread + 1, strlen(thread) - 2);
    g_autofree char *key = g_strconcat(recipient ? recipient : "", "\n", thread, NULL);
    g_autofree char *hash = g_compute_checksum_for_string(G_CHECKSUM_SHA256, key, -1);
    return g_strdup_printf("t-%.32s@%s", hash, domain);
}

/* Letters, digits and a few signs: what the parts of a Feedback-ID may hold. */
static void append_feedback(GString *out, const char *word)
{
    for (const char *p = word; *p && p < word + 40; p++)
        g_string_append_c(out, g_ascii_isalnum(*p) || strchr("._-", *p) ? *p : '-');
}

static char *feedback_id(const struct making *m)
{
    const char *campaign = json_string_value(json_object_get(json_object_get(m->body, "tags"), "campaign"));
    const char *template = json_string_value(json_object_get(m->body, "template"));
    const char *sender = setting_text(m->service->config->root, "email.feedback_id");
    GString *id;

    if (!sender)
        return NULL;
    id = g_string_new(NULL);
    append_feedback(id, campaign ? campaign : "");
    g_string_append_c(id, ':');
    append_feedback(id, template ? template : "");
    g_string_append_c(id, ':');
    append_feedback(id, m->category->name);
    g_string_append_c(id, ':');
    g_string_append(id, sender);
    return g_string_free(id, FALSE);
}

/* The contents were checked at intake (attachment.h); `held` keeps the decoded bytes. */
static size_t take_attachments(const json_t *list, struct mime_attachment *out, GPtrArray *held)
{
    json_t *item;
    size_t i;

    json_array_foreach ((json_t *)list, i, item) {
        const char *type = json_string_value(json_object_get(item, "content_type"));
        if (i == MIME_MAX_ATTACHMENTS)
            break;
        out[i] = (struct mime_attachment){
            .filename = json_string_value(json_object_get(item, "filename")),
            .content_type = type ? type : "application/octet-stream",
            .cid = json_string_value(json_object_get(item, "cid")),
        };
        const char *content = json_string_value(json_object_get(item, "content"));
        out[i].bytes = g_base64_decode(content ? content : "", &out[i].len);
        g_ptr_array_add(held, (void *)out[i].bytes);
    }
    return MIN(json_array_size(list), MIME_MAX_ATTACHMENTS);
}

static char *compose_email(struct making *m)
{
    const struct service *s = m->service;
    const char *domain = strrchr(s->from, '@') + 1, *recipient = json_string_value(json_object_get(m->profile, "id"));
    g_autofree char *message_id = g_strdup_printf("%s-e@%s", m->id, domain), *thread = thread_of(m, domain),
                    *feedback = feedback_id(m);
    g_autofree char *unsubscribe =
        m->category->kind == KIND_TRANSACTIONAL
            ? NULL
            : link_to(s, TOKEN_UNSUBSCRIBE, "u", recipient ? recipient : "", m->category->name);
    g_autoptr(GPtrArray) held = g_ptr_array_new_with_free_func(g_free);
    struct mime_attachment attachments[MIME_MAX_ATTACHMENTS];
    struct mail mail = {
        .from_name = s->from_name,
        .from = s->from,
        .to_name = json_string_value(json_object_get(json_object_get(m->profile, "attributes"), "name")),
        .to = json_string_value(json_object_get(m->profile, "email")),
        .subject = m->rendered.part[0]->str,
        .html = mime_text_of(m, 1),
        .text = mime_text_of(m, 2),
        .message_id = message_id,
        .in_reply_to = thread,
        .list_unsubscribe = unsubscribe,
        .feedback_id = feedback,
        .language = m->rendered.locale,
        .date_ms = clock_now(),
        .attachments = attachments,
        .attachment_count = take_attachments(json_object_get(m->body, "attachments"), attachments, held),
    };
    const char *why = mime_compose(&mail, m->out->bytes);
    return why ? g_strdup(why) : NULL;
}

/* ---------------------------------------------------------------- the other channels */

/* Blanks that ICU puts into numbers have no place in GSM 03.38 and would double the price of the message. */
static void plain_blanks(GString *text)
{
    g_string_replace(text, "\xe2\x80\xaf", " ", 0);
    g_string_replace(text, "\xc2\xa0", " ", 0);
}

static char *compose_sms(struct making *m)
{
    GString *out = m->out->bytes;
    const struct category *c = m->category;

    g_string_append(out, g_strstrip(m->rendered.part[0]->str));
    plain_blanks(out);
    if (out->len == 0)
        return g_strdup("the text is empty");
    if (c->sms_transliterate)
        sms_transliterate(out);
    if (c->sms_cut)
        sms_cut(out, c->sms_max_segments);
    m->out->segments = sms_measure(out->str).segments;
    return m->out->segments > c->sms_max_segments ? g_strdup_printf("sms_too_long: %d segments, at most %d are sent",
                                                                    m->out->segments, c->sms_max_segments)
                                                  : NULL;
}

static char *compose_card(struct making *m)
{
    GString *const *part = m->rendered.part;
    const char *why = NULL;
    char *card;

    for (int i = 0; i < 3; i++)
        if (part[i])
            g_string_truncate(part[i], strlen(g_strchomp(part[i]->str)));
    card = in_app_card(part[0]->str, part[1] ? part[1]->str : NULL, part[2] ? part[2]->str : NULL, &why);
    g_string_append(m->out->bytes, card ? card : "");
    free(card);
    return why ? g_strdup(why) : NULL;
}

/* ---------------------------------------------------------------- a delivery */

static char *make(struct making *m, struct template *t, char letter)
{
    json_auto_t *context = render_context(m->service, m->id, m->body, m->profile, m->category->name);
    struct render_request request = {
        .channel = channel_name(letter),
        .locale = json_string_value(json_object_get(m->profile, "locale")),
        .context = context,
        .arg = m,
        .offset = on_offset,
        .instant = instant_parse,
        .literal = letter == 'e' ? on_literal : NULL,
    };

    if (!template_render(t, &request, &m->rendered))
        return g_strdup(m->rendered.why);
    g_strlcpy(m->out->locale, m->rendered.locale, sizeof m->out->locale);
    return letter == 'e' ? compose_email(m) : letter == 's' ? compose_sms(m) : compose_card(m);
}

bool render_delivery(struct service *s, const char *id, char letter, const json_t *body, const json_t *profile,
                     const struct category *category, struct rendered_delivery *out)
{
    const char *name = json_string_value(json_object_get(body, "template"));
    struct template *t = name && s->library ? library_find(s->library, name) : NULL;
    struct making m = { .service = s, .id = id, .body = body, .profile = profile, .category = category, .out = out };

    *out = (struct rendered_delivery){ .bytes = g_string_sized_new(4096) };
    if (!t) {
        out->why = g_strdup_printf("the template \"%s\" does not exist any more", name ? name : "");
        return false;
    }
    m.zone = service_zone(s, profile);
    g_strlcpy(out->version, template_version(t), sizeof out->version);
    out->why = make(&m, t, letter);
    rendered_clear(&m.rendered);
    for (size_t i = 0; i < G_N_ELEMENTS(m.spans); i++)
        if (m.spans[i])
            g_array_free(m.spans[i], TRUE);
    return out->why == NULL;
}

void rendered_delivery_clear(struct rendered_delivery *r)
{
    if (r->bytes)
        g_string_free(r->bytes, TRUE);
    g_free(r->why);
    memset(r, 0, sizeof *r);
}
