#include "templates/check_own.h"

#include <string.h>
/* Each template that a layout breaks is flawed, whether that is told again or not. */
void check_mark(struct checking *c, const char *fault)
{
    if (c->t && !template_flaw(c->t))
        template_set_flaw(c->t, fault);
}

void check_tell(struct checking *c, bool error, const char *place, const char *what)
{
    char *note = g_strconcat(place, ": ", what, NULL);

    if (error) {
        check_mark(c, note);
        g_hash_table_add(c->places, g_strdup(place));
    }
    if (g_hash_table_add(c->told, note))
        c->o->finding(c->o->arg, error, place, what);
}

/* Takes `what`. */
void check_found(struct checking *c, bool error, const char *file, int line, char *what)
{
    g_autofree char *place = g_strdup_printf("%s:%d", file, line);
    check_tell(c, error, place, what);
    g_free(what);
}

/* "FILE:LINE: what" comes apart. */
void check_fault(struct checking *c, bool error, const char *fault, const char *about)
{
    const char *what = strstr(fault, ": ");
    bool placed = what && strchr(fault, ':') < what;
    g_autofree char *place = placed ? g_strndup(fault, (gsize)(what - fault)) : g_strdup_printf("%s:1", c->dir);
    g_autofree char *text = g_strconcat(about, placed ? what + 2 : fault, NULL);

    check_tell(c, error, place, text);
}

/* ---------------------------------------------------------------- pages */

static int page_offset(void *arg, int64_t ms)
{
    const struct check_options *o = arg;
    return o->offset(o->arg, ms);
}

/* What the pages are given, as far as a sample can tell. */
static void check_page(void *arg, const char *file, const char *page, const char *part, const char *locale,
                       const struct mustache *m)
{
    struct checking *c = arg;
    json_auto_t *context =
        json_pack("{s:s, s:[{s:s, s:b}], s:[{s:s, s:b}], s:[{s:i, s:b}], s:s, s:b, s:[{s:s, s:s}], s:[]}", "category",
                  "marketing", "categories", "category", "marketing", "on", 1, "channels", "channel", "email", "on", 1,
                  "limits", "limit", 1, "chosen", 1, "pause", "2026-12-01", "any_planned", 1, "planned", "category",
                  "marketing", "at", "2026-12-01T09:00:00Z", "templates");
    struct render_request request = {
        .context = context, .offset = page_offset, .instant = c->o->instant, .arg = (void *)c->o
    };

    for (char **l = c->locales; *l; l++) {
        g_autoptr(GString) out = g_string_new(NULL);
        request.locale = *l;
        g_autofree char *why = template_page(c->t, page, &request, out, NULL);
        if (why)
            check_fault(c, true, why, "");
    }
}

/* ---------------------------------------------------------------- all of it */

static void check_texts(struct checking *c)
{
    template_each_part(c->t, check_part, c);
    check_catalogs(c, c->dir, template_catalogs(c->t), c->used);
    template_check_data(c->t, c->sample, check_bad_sample, c);
}

static void check_channels(struct checking *c)
{
    for (const struct channel_parts *p = channel_parts; p->channel; p++)
        for (char **locale = c->locales; *locale && template_has_channel(c->t, p->channel); locale++)
            check_sample(c, p->channel, *locale);
}

static void with_template(struct checking *c, struct template *t)
{
    c->t = t;
    c->dir = g_build_filename(library_view(c->library).dir, template_name(t), NULL);
    c->sample = template_sample(t);
    c->used = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    c->locales = template_locales(t);
    if (template_fault(t)) {
        check_fault(c, true, template_fault(t), "");
    } else {
        check_texts(c);
        if (template_is_pages(t))
            template_each_part(t, check_page, c);
        else
            check_channels(c);
    }
    g_strfreev(c->locales);
    g_hash_table_unref(c->used);
    json_decref(c->sample);
    g_free(c->dir);
    c->t = NULL;
}

static void on_template(void *arg, struct template *t)
{
    struct checking *c = arg;

    if (!c->o->only || strcmp(c->o->only, template_name(t)) == 0)
        with_template(c, t);
}

void library_check(const struct library *l, const struct check_options *o)
{
    g_autoptr(GHashTable) told = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
                          places = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autofree char *layouts = g_build_filename(library_view(l).dir, "_layouts", NULL);
    struct checking c = { .o = o, .library = l, .told = told, .places = places };

    library_each(l, on_template, &c);
    if (o->only && strcmp(o->only, CHECK_SHARED) != 0)
        return;
    check_catalogs(&c, layouts, library_shared_catalogs(l), NULL);
    with_template(&c, library_pages(l));
}
