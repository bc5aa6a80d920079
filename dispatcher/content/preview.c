#include "dispatcher/content/preview.h"

#include <string.h>

#include "channels/gsm.h"
#include "dispatcher/base/vocab.h"
#include "dispatcher/content/render.h"
#include "schedules/instant.h"
#include "templates/check.h"

#define PAGE_MAX (256 * 1024 * 1024)

struct previewing {
    struct service *s;
    struct template *t;
    json_t *list;
};

static int offset_here(void *arg, int64_t ms)
{
    return render_offset((void *)((const struct previewing *)arg)->s->default_zone, ms);
}

static json_t *text_of(const GString *part)
{
    return part ? json_string(part->str) : json_null();
}

static json_t *mail_of(const struct rendered *r)
{
    return json_pack("{s:o, s:o, s:o}", "subject", text_of(r->part[0]), "html", text_of(r->part[1]), "text",
                     text_of(r->part[2]));
}

static json_t *sms_of(const struct previewing *p, const struct rendered *r)
{
    const char *name = template_category(p->t);
    const struct category *c = policy_category(p->s->policy, name ? name : "");
    g_autoptr(GString) text = g_string_new(r->part[0]->str);

    sms_prepare(text, c && c->sms_transliterate, c && c->sms_cut ? c->sms_max_segments : 0);
    struct sms_size size = sms_measure(text->str);
    return json_pack("{s:s, s:i, s:b, s:i, s:s}", "text", text->str, "segments", size.segments, "one",
                     size.segments == 1, "units", size.units, "encoding",
                     strcmp(size.encoding, "gsm7") == 0 ? "septets of GSM-7" : "units of UCS-2");
}

static json_t *card_of(const struct rendered *r)
{
    return json_pack("{s:o, s:o, s:o}", "title", text_of(r->part[0]), "body", text_of(r->part[1]), "url",
                     text_of(r->part[2]));
}

static void show(const struct previewing *p, const char *channel, const struct rendered *r, json_t *sample)
{
    switch (channel_of(channel_letter(channel))) {
    case CHANNEL_EMAIL: json_object_set_new(sample, "mail", mail_of(r)); break;
    case CHANNEL_SMS: json_object_set_new(sample, "sms", sms_of(p, r)); break;
    case CHANNEL_IN_APP: json_object_set_new(sample, "card", card_of(r)); break;
    case CHANNEL_COUNT: break;
    }
}

static json_t *sample_of(struct previewing *p, const char *channel, const char *locale)
{
    json_auto_t *context = template_sample(p->t);
    struct render_request request = { .channel = channel,
                                      .locale = locale,
                                      .context = context,
                                      .arg = p,
                                      .offset = offset_here,
                                      .instant = instant_parse };
    json_t *sample = json_pack("{s:s, s:s, s:n, s:n, s:n, s:n}", "locale", locale, "dir",
                               locale_is_rtl(locale) ? "rtl" : "ltr", "fault", "mail", "sms", "card");
    struct rendered r;

    if (template_render(p->t, &request, &r))
        show(p, channel, &r, sample);
    else
        json_object_set_new(sample, "fault", json_string(r.why));
    rendered_clear(&r);
    return sample;
}

static json_t *preview_of(struct previewing *p, const char *channel)
{
    g_auto(GStrv) locales = template_locales(p->t);
    json_t *samples = json_array();

    for (char **locale = locales; *locale; locale++)
        json_array_append_new(samples, sample_of(p, channel, *locale));
    return json_pack("{s:s, s:o}", "channel", channel, "samples", samples);
}

static void on_template(void *arg, struct template *t)
{
    struct previewing *p = arg;
    const char *category = template_category(t), *fault = template_fault(t), *description = template_description(t);
    json_t *channels = json_array();

    p->t = t;
    for (const struct channel_parts *c = channel_parts; c->channel && !fault; c++)
        if (template_has_channel(t, c->channel))
            json_array_append_new(channels, preview_of(p, c->channel));
    json_array_append_new(p->list, json_pack("{s:s, s:s, s:s, s:s, s:o, s:o}", "name", template_name(t), "description",
                                             description ? description : "", "category",
                                             category ? category : "no category", "version", template_version(t),
                                             "fault", fault ? json_string(fault) : json_null(), "channels", channels));
}

char *preview_page(struct service *s, GString *out)
{
    struct previewing p = { .s = s, .list = json_array() };
    json_auto_t *context = json_pack("{s:o}", "templates", p.list);
    struct render_request request = {
        .max_output = PAGE_MAX, .context = context, .arg = &p, .offset = offset_here, .instant = instant_parse
    };

    library_each(s->library, on_template, &p);
    return template_page(library_pages(s->library), "preview", &request, out, NULL);
}
