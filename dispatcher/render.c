#include "dispatcher/render.h"

#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "channels/gsm.h"
#include "channels/in_app.h"
#include "channels/mime.h"
#include "dispatcher/base/clock.h"
#include "dispatcher/base/token.h"
#include "schedules/instant.h"

#define SMS_MAX_SEGMENTS 10

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

/* ---------------------------------------------------------------- one channel each */

static char *compose_email(const struct service *s, const char *id, const json_t *profile,
                           const struct category *category, const struct rendered *r, GString *out)
{
    const char *domain = strrchr(s->from, '@') + 1;
    const char *recipient = json_string_value(json_object_get(profile, "id"));
    g_autofree char *message_id = g_strdup_printf("%s-e@%s", id, domain);
    g_autofree char *unsubscribe = category->kind == KIND_TRANSACTIONAL
                                       ? NULL
                                       : link_to(s, TOKEN_UNSUBSCRIBE, "u", recipient ? recipient : "", category->name);
    const json_t *name = json_object_get(json_object_get(profile, "attributes"), "name");
    struct mail m = {
        .from_name = s->from_name,
        .from = s->from,
        .to_name = json_string_value(name),
        .to = json_string_value(json_object_get(profile, "email")),
        .subject = r->part[0]->str,
        .html = r->part[1] ? r->part[1]->str : NULL,
        .text = r->part[2] ? r->part[2]->str : NULL,
        .message_id = message_id,
        .list_unsubscribe = unsubscribe,
        .language = r->locale,
        .date_ms = clock_now(),
        .auto_generated = true,
    };
    const char *why = mime_compose(&m, out);
    return why ? g_strdup(why) : NULL;
}

/* Blanks that ICU puts into numbers have no place in GSM 03.38 and would double the price of the message. */
static void plain_blanks(GString *text)
{
    g_string_replace(text, "\xe2\x80\xaf", " ", 0);
    g_string_replace(text, "\xc2\xa0", " ", 0);
}

static char *compose_sms(const struct rendered *r, GString *out, int *segments)
{
    g_string_append(out, r->part[0]->str);
    plain_blanks(out);
    g_strstrip(out->str);
    g_string_truncate(out, strlen(out->str));
    if (out->len == 0)
        return g_strdup("the text is empty");
    *segments = sms_measure(out->str).segments;
    return *segments > SMS_MAX_SEGMENTS
               ? g_strdup_printf("sms_too_long: %d segments, at most %d are sent", *segments, SMS_MAX_SEGMENTS)
               : NULL;
}

static char *compose_card(const struct rendered *r, GString *out)
{
    const char *why = NULL;
    char *card;

    for (int i = 0; i < 3; i++)
        if (r->part[i])
            g_string_truncate(r->part[i], strlen(g_strchomp(r->part[i]->str)));
    card = in_app_card(r->part[0]->str, r->part[1] ? r->part[1]->str : NULL, r->part[2] ? r->part[2]->str : NULL, &why);
    g_string_append(out, card ? card : "");
    free(card);
    return why ? g_strdup(why) : NULL;
}

bool render_delivery(struct service *s, const char *id, char letter, const json_t *body, const json_t *profile,
                     const struct category *category, struct rendered_delivery *out)
{
    const char *name = json_string_value(json_object_get(body, "template"));
    struct template *t = name && s->library ? library_find(s->library, name) : NULL;
    struct rendered r;

    *out = (struct rendered_delivery){ .bytes = g_string_sized_new(4096) };
    if (!t) {
        out->why = g_strdup_printf("the template \"%s\" does not exist any more", name ? name : "");
        return false;
    }
    g_strlcpy(out->version, template_version(t), sizeof out->version);
    json_auto_t *context = render_context(s, id, body, profile, category->name);
    struct render_request request = {
        .channel = channel_name(letter),
        .locale = json_string_value(json_object_get(profile, "locale")),
        .context = context,
        .arg = (void *)service_zone(s, profile),
        .offset = render_offset,
        .instant = instant_parse,
    };
    if (template_render(t, &request, &r)) {
        g_strlcpy(out->locale, r.locale, sizeof out->locale);
        out->why = letter == 'e'   ? compose_email(s, id, profile, category, &r, out->bytes)
                   : letter == 's' ? compose_sms(&r, out->bytes, &out->segments)
                                   : compose_card(&r, out->bytes);
    } else {
        out->why = g_strdup(r.why);
    }
    rendered_clear(&r);
    return out->why == NULL;
}

void rendered_delivery_clear(struct rendered_delivery *r)
{
    if (r->bytes)
        g_string_free(r->bytes, TRUE);
    g_free(r->why);
    memset(r, 0, sizeof *r);
}
