#include "templates/check_own.h"

#include <string.h>

#include "templates/html_check.h"

#define MAIL_MAX_BYTES    (102 * 1024) /* beyond this, large providers clip a mail */
#define MAX_HTML_FINDINGS 50           /* of one part */

struct origin {
    size_t at;
    const char *file;
    int line;
};

struct sampling {
    struct checking *c;
    const char *channel, *locale, *about; /* about: "" or "without what is not required: " */
    bool error;                           /* what is lacking is one */
    int told;                             /* about the HTML */
    GArray *origins[4];                   /* by part */
    struct rendered out;
};

static void on_place(void *arg, int part, size_t at, const char *file, int line)
{
    struct sampling *s = arg;
    struct origin origin = { at, file, line };

    if (!s->origins[part])
        s->origins[part] = g_array_new(FALSE, FALSE, sizeof origin);
    g_array_append_val(s->origins[part], origin);
}

static int on_offset(void *arg, int64_t ms)
{
    const struct check_options *o = ((struct sampling *)arg)->c->o;
    return o->offset(o->arg, ms);
}

/* Something is missing; what has been told of the same line says it already. */
static void on_lack(void *arg, const char *fault)
{
    struct sampling *s = arg;
    const char *what = strstr(fault, ": ");
    g_autofree char *place = g_strndup(fault, what ? (gsize)(what - fault) : 0);

    if (!g_hash_table_contains(s->c->places, place))
        check_fault(s->c, s->error, fault, s->about);
    else if (s->error)
        check_mark(s->c, fault);
}

static void on_borrowed(void *arg, const char *key, const char *locale)
{
    struct sampling *s = arg;
    check_key(s->c, s->locale, key);
}

static struct render_request request_of(struct sampling *s, const json_t *context)
{
    return (struct render_request){ .channel = s->channel,
                                    .locale = s->locale,
                                    .context = context,
                                    .offset = on_offset,
                                    .instant = s->c->o->instant,
                                    .lack = on_lack,
                                    .arg = s };
}

/* A line of the HTML, where it stands in the templates. */
static void on_html(void *arg, bool error, int line, const char *what)
{
    struct sampling *s = arg;
    const char *html = s->out.part[1]->str, *at = html;

    struct origin here = { 0, s->c->dir, 1 };

    if (++s->told > MAX_HTML_FINDINGS)
        return;
    for (int n = 1; n < line && at; n++)
        at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL;
    size_t offset = at ? (size_t)(at - html) : s->out.part[1]->len;
    for (guint i = 0; s->origins[1] && i < s->origins[1]->len; i++)
        if (g_array_index(s->origins[1], struct origin, i).at <= offset)
            here = g_array_index(s->origins[1], struct origin, i);
    for (size_t i = here.at; i < offset; i++)
        here.line += html[i] == '\n';
    check_found(s->c, error, here.file, here.line, g_strdup(what));
}

static char *part_file(const struct sampling *s, const char *part)
{
    return g_strdup_printf("%s/%s.%s.mustache", s->c->dir, s->channel, part);
}

static bool one_line(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ')
            return false;
    return true;
}

static void check_mail(struct sampling *s)
{
    const GString *subject = s->out.part[0], *html = s->out.part[1], *text = s->out.part[2];
    g_autofree char *subject_file = part_file(s, "subject"), *html_file = part_file(s, html ? "html" : "text");
    const char *body = html ? html->str : text ? text->str : "", *category = template_category(s->c->t);

    bool empty = subject->str[strspn(subject->str, " \t")] == '\0';
    if (empty || !one_line(subject->str))
        check_found(s->c, true, subject_file, 1,
                    g_strdup_printf("the subject in %s is %s", s->locale, empty ? "empty" : "not one line"));
    if (html && html->len > MAIL_MAX_BYTES)
        check_found(s->c, false, html_file, 1,
                    g_strdup_printf("the mail in %s has %zu kB; mail services clip what is over 102 kB", s->locale,
                                    html->len / 1024));
    if (category && s->c->o->marketing(s->c->o->arg, category) && !strstr(body, "https://example.com/u/sample") &&
        !strstr(body, "https://example.com/p/sample"))
        check_found(s->c, true, html_file, 1,
                    g_strdup("marketing mail needs {{links.unsubscribe}} or {{links.preferences}} in its text"));
    if (html)
        html_check(html->str, html->len, on_html, s);
}

static void check_sms(struct sampling *s)
{
    const char *category = template_category(s->c->t);
    char *why = s->c->o->sms(s->c->o->arg, category ? category : "", s->out.part[0]->str);
    g_autofree char *file = part_file(s, "text");

    if (why)
        check_found(s->c, true, file, 1, g_strdup_printf("the SMS in %s %s", s->locale, why));
    g_free(why);
}

/* What may be left out is left out: optional data, which must never break a text, and what a person may not have. */
static void check_without(struct checking *c, const char *channel, const char *locale, json_t *context, bool error,
                          const char *about)
{
    struct sampling s = { .c = c, .channel = channel, .locale = locale, .error = error, .about = about };
    struct render_request request = request_of(&s, context);

    if (!template_render(c->t, &request, &s.out))
        check_fault(c, error, s.out.why, about);
    rendered_clear(&s.out);
}

static void check_least(struct checking *c, const char *channel, const char *locale)
{
    json_auto_t *least = template_given(c->t), *bare = json_copy(c->sample);
    const char *name;
    json_t *spec;

    json_object_foreach ((json_t *)template_data(c->t), name, spec)
        if (json_is_true(json_object_get(spec, "required")))
            json_object_set(least, name, json_object_get(c->sample, name));
    check_without(c, channel, locale, least, true, "without what is not required: ");
    json_object_set_new(bare, "recipient", json_pack("{s:s}", "id", "cus_1"));
    check_without(c, channel, locale, bare, false, "for a person of whom only the id is known: ");
}

static void check_card(struct sampling *s)
{
    const GString *title = s->out.part[0], *body = s->out.part[1], *url = s->out.part[2];
    g_autofree char *file = part_file(s, "title");
    char *why = s->c->o->card(s->c->o->arg, title->str, body ? body->str : NULL, url ? url->str : NULL);

    if (why)
        check_found(s->c, true, file, 1, g_strdup_printf("the card in %s: %s", s->locale, why));
    g_free(why);
}

void check_sample(struct checking *c, const char *channel, const char *locale)
{
    struct sampling s = { .c = c, .channel = channel, .locale = locale, .error = true, .about = "" };
    struct render_request request = request_of(&s, c->sample);

    request.place = on_place;
    request.borrowed = on_borrowed;
    if (!template_render(c->t, &request, &s.out)) {
        check_fault(c, true, s.out.why, "");
    } else {
        check_least(c, channel, locale);
        if (strcmp(channel, "email") == 0)
            check_mail(&s);
        else if (strcmp(channel, "sms") == 0)
            check_sms(&s);
        else if (strcmp(channel, "in_app") == 0)
            check_card(&s);
        else
            check_found(c, true, c->dir, 1, g_strdup_printf("nobody knows how to check the channel %s", channel));
    }
    rendered_clear(&s.out);
    for (size_t i = 0; i < G_N_ELEMENTS(s.origins); i++)
        if (s.origins[i])
            g_array_free(s.origins[i], TRUE);
}

void check_bad_sample(void *arg, const char *pointer, const char *detail)
{
    struct checking *c = arg;
    g_autofree char *file = g_build_filename(c->dir, "template.yaml", NULL);
    check_found(c, true, file, 1, g_strdup_printf("the sample of %s %s", strrchr(pointer, '/') + 1, detail));
}
