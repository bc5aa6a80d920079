#include "dispatcher/content/render.h"

#include <assert.h>
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "channels/gsm.h"
#include "channels/in_app.h"
#include "channels/header.h"
#include "channels/mime.h"
#include "dispatcher/base/vocab.h"
#include "dispatcher/base/clock.h"
#include "dispatcher/base/token.h"
#include "dispatcher/config/yaml.h"
#include "schedules/duration.h"
#include "schedules/instant.h"

int render_offset(void *zone, int64_t ms)
{
    return zone_offset(zone, ms);
}

static char *link_to(const struct service *s, enum token_purpose purpose, const char *path, const char *message,
                     const char *recipient, const char *category)
{
    struct token t = { .expires_ms = 0 };

    g_strlcpy(t.message, message, sizeof t.message);
    g_strlcpy(t.recipient, recipient, sizeof t.recipient);
    g_strlcpy(t.category, category, sizeof t.category);
    g_autofree char *token = token_make(s->store && s->store->secret ? s->store->secret : "preview", purpose, &t);
    return g_strdup_printf("%s/%s/%s", s->public_url, path, token);
}

json_t *render_links(const struct service *s, const char *message, const char *recipient, const char *category)
{
    g_autofree char *unsubscribe = link_to(s, TOKEN_UNSUBSCRIBE, "u", "", recipient, category);
    g_autofree char *preferences = link_to(s, TOKEN_PREFERENCES, "p", message, recipient, category);

    return json_pack("{s:s, s:s}", "unsubscribe", unsubscribe, "preferences", preferences);
}

json_t *render_about(const char *id, const json_t *body, const char *category)
{
    const json_t *template = json_object_get(body, "template");
    json_t *about = json_object();

    json_object_set_new(about, "id", json_string(id));
    json_object_set_new(about, "category", json_string(category));
    json_object_set_new(about, "template", template ? json_incref((json_t *)template) : json_string(""));
    return about;
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
                                            .instant = instant_parse,
                                            .span = duration_parse,
                                            .mail = { prepare_mail_text, release_mail_text },
                                            .pages = page_files };

/* What belongs to one delivery while it is rendered. */
struct making {
    struct service *service;
    const char *id;
    const json_t *body, *profile;
    const struct category *category;
    const struct zone *zone;
    json_t *links, *about;
    GArray *spans[4]; /* by part: struct qp_span */
    struct rendered rendered;
    struct rendered_delivery *out;
};

static void on_literal(void *arg, int part, size_t at, const void *prepared)
{
    struct making *m = arg;
    struct qp_span span = { at, prepared };

    if (!m->spans[part])
        m->spans[part] = g_array_sized_new(FALSE, FALSE, sizeof span, 64);
    g_array_append_val(m->spans[part], span);
}

static json_t *links_of(struct making *m)
{
    const char *recipient = json_string_value(json_object_get(m->profile, "id"));

    if (!m->links)
        m->links = render_links(m->service, m->id, recipient ? recipient : "", m->category->name);
    return m->links;
}

/* What templates name besides the data; made when it is first asked for. */
static json_t *on_given(void *arg, const char *name)
{
    struct making *m = arg;

    if (strcmp(name, "recipient") == 0)
        return (json_t *)m->profile;
    if (strcmp(name, "links") == 0)
        return links_of(m);
    if (strcmp(name, "message") != 0)
        return NULL;
    if (!m->about)
        m->about = render_about(m->id, m->body, m->category->name);
    return m->about;
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
    const char *sender = m->service->feedback_sender;
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

/* A Content-ID has a domain (RFC 2045, 7), so what the HTML calls by a bare name gets one too. */
static void complete_cids(struct making *m, const char *domain)
{
    GString *html = m->rendered.part[1];
    json_t *file;
    size_t i;
    guint replaced = 0;

    json_array_foreach (json_object_get(m->body, "attachments"), i, file) {
        const char *cid = json_string_value(json_object_get(file, "cid"));
        for (const char *end = "\"') "; html && cid && !strchr(cid, '@') && *end; end++) {
            g_autofree char *bare = g_strdup_printf("cid:%s%c", cid, *end),
                            *whole = g_strdup_printf("cid:%s@%s%c", cid, domain, *end);
            replaced += g_string_replace(html, bare, whole, 0);
        }
    }
    if (replaced && m->spans[1])
        g_array_set_size(m->spans[1], 0); /* where they stood, others stand now */
}

static char *compose_email(struct making *m)
{
    const struct service *s = m->service;
    const char *domain = strrchr(s->from, '@') + 1;
    g_autofree char *message_id = g_strdup_printf("%s-e@%s", m->id, domain), *thread = thread_of(m, domain),
                    *feedback = feedback_id(m);
    g_autoptr(GPtrArray) held = g_ptr_array_new_with_free_func(g_free);
    struct mime_attachment attachments[MIME_MAX_ATTACHMENTS];
    const char *name = json_string_value(json_object_get(json_object_get(m->profile, "attributes"), "name"));
    g_autoptr(GString) to_name = g_string_new(name);
    complete_cids(m, domain);
    header_tidy(m->rendered.part[0]);
    header_tidy(to_name);
    struct mail mail = {
        .from_name = s->from_name,
        .from = s->from,
        .to_name = to_name->len ? to_name->str : NULL,
        .to = json_string_value(json_object_get(m->profile, "email")),
        .subject = m->rendered.part[0]->str,
        .html = mime_text_of(m, 1),
        .text = mime_text_of(m, 2),
        .message_id = message_id,
        .in_reply_to = thread,
        .list_unsubscribe = m->category->kind == KIND_TRANSACTIONAL
                                ? NULL
                                : json_string_value(json_object_get(links_of(m), "unsubscribe")),
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

static char *compose_sms(struct making *m)
{
    GString *out = m->out->bytes;
    const struct category *c = m->category;

    g_string_append_len(out, m->rendered.part[0]->str, (gssize)m->rendered.part[0]->len);
    sms_prepare(out, c->sms_transliterate, c->sms_cut ? c->sms_max_segments : 0);
    if (out->len == 0)
        return g_strdup("the text is empty");
    m->out->segments = sms_measure(out->str).segments;
    return m->out->segments > c->sms_max_segments ? g_strdup_printf("sms_too_long: %d segments, at most %d are sent",
                                                                    m->out->segments, c->sms_max_segments)
                                                  : NULL;
}

static char *compose_card(struct making *m, const struct card_terms *terms)
{
    GString *const *part = m->rendered.part;
    const char *why = NULL;
    char *card;

    for (int i = 0; i < 3; i++)
        if (part[i])
            g_string_truncate(part[i], strlen(g_strchomp(part[i]->str)));
    card = in_app_card(&(struct card){ .title = part[0]->str,
                                       .body = part[1] ? part[1]->str : NULL,
                                       .url = part[2] ? part[2]->str : NULL,
                                       .lang = m->rendered.locale,
                                       .rtl = locale_is_rtl(m->rendered.locale),
                                       .expires_ms = terms->expires_ms ? clock_now() + terms->expires_ms : 0,
                                       .pinned = terms->pinned,
                                       .high = terms->high,
                                       .answer = json_object_get(m->body, "answer") },
                       &why);
    g_string_append(m->out->bytes, card ? card : "");
    free(card);
    return why ? g_strdup(why) : NULL;
}

/* ---------------------------------------------------------------- a delivery */

static char *compose(struct making *m, const struct template *t, enum channel channel)
{
    switch (channel) {
    case CHANNEL_EMAIL: return compose_email(m);
    case CHANNEL_SMS: return compose_sms(m);
    case CHANNEL_IN_APP: return compose_card(m, template_card(t));
    case CHANNEL_COUNT: break;
    }
    assert(!"every channel is composed");
    return NULL;
}

static char *make(struct making *m, struct template *t, char letter)
{
    struct render_request request = {
        .channel = channel_name(letter),
        .locale = json_string_value(json_object_get(m->profile, "locale")),
        .context = json_object_get(m->body, "data"),
        .arg = m,
        .offset = on_offset,
        .instant = instant_parse,
        .given = on_given,
        .literal = channel_of(letter) == CHANNEL_EMAIL ? on_literal : NULL,
    };

    if (!template_render(t, &request, &m->rendered))
        return g_strdup(m->rendered.why);
    g_strlcpy(m->out->locale, m->rendered.locale, sizeof m->out->locale);
    return compose(m, t, channel_of(letter));
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
    json_decref(m.links);
    json_decref(m.about);
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
