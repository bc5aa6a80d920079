#include "templates/check_own.h"

#include <string.h>

#include "templates/html_check.h"

#define MAX_INCLUDES 8

struct part_job {
    struct checking *c;
    const char *file, *channel, *part, *locale; /* locale NULL: the general part */
    int includes;
};

/* A message that a part of the template's own mentions must be there for every reader who gets this part. */
static void check_keys(struct part_job *job, const char *key)
{
    struct locale_chain own;

    for (char **l = job->c->locales; *l; l++) {
        locale_chain_make(&own, *l, *l);
        if (template_part_is_for(job->c->t, job->channel, job->part, job->locale, &own))
            check_key(job->c, *l, key);
    }
}

static void walk_partial(struct part_job *, const char *name, int line);

static void on_quotes(void *arg, bool error, int line, const char *what)
{
    const struct part_job *job = arg;
    check_found(job->c, error, job->file, line, g_strdup(what));
}

/* Of what is HTML, as it stands in its file; what is built in was checked before. */
static void check_quotes(struct part_job *job)
{
    g_autofree char *source = NULL;

    if (strcmp(job->part, "html") == 0 && g_file_get_contents(job->file, &source, NULL, NULL))
        html_check_quotes(source, on_quotes, job);
}

/* In the template's own parts names are judged; what partials and parents say is judged by rendering, because blocks of
 * theirs may be replaced. */
static void on_mention(void *arg, char kind, const char *name, int line, const struct mustache_scope *scope)
{
    struct part_job *job = arg;
    bool own = job->includes == 0;

    if (kind == 'p') {
        walk_partial(job, name, line);
    } else if (g_str_has_prefix(name, "t.")) {
        g_hash_table_add(job->c->used, g_strdup(name + 2));
        if (own) {
            check_use(job->c, name + 2, scope);
            check_keys(job, name + 2);
        }
    } else if (own && kind != 's' && check_name(job->c, scope, name) == UNKNOWN) {
        check_found(job->c, true, job->file, line,
                    g_strdup_printf("the variable \"%s\" is not declared in template.yaml", name));
    }
    if (kind == '&' && strcmp(job->part, "html") == 0)
        check_found(job->c, false, job->file, line,
                    g_strdup_printf("{{{%s}}} goes into the HTML without escaping", name));
}

static const struct mustache *any_partial(const struct part_job *job, const char *name, char **why)
{
    const char *folder = template_is_pages(job->c->t) ? "_pages" : "_layouts";
    const struct mustache *m = NULL;
    struct locale_chain chain;

    for (char **l = job->c->locales; *l && !m && !*why; l++) {
        locale_chain_make(&chain, *l, library_view(job->c->library).default_locale);
        m = library_partial(job->c->library, folder, name, job->part, &chain, "", why);
    }
    return m;
}

static void walk_partial(struct part_job *job, const char *name, int line)
{
    char *why = NULL;
    const struct mustache *m = any_partial(job, name, &why);

    if (!m) {
        check_found(job->c, true, job->file, line,
                    why ? why : g_strdup_printf("there is no partial _layouts/%s.%s.mustache", name, job->part));
    } else if (job->includes < MAX_INCLUDES) {
        struct part_job inner = *job;
        inner.file = mustache_name(m);
        inner.includes++;
        check_quotes(&inner);
        mustache_mentions(m, on_mention, &inner, NULL);
    }
}

void check_part(void *arg, const char *file, const char *channel, const char *part, const char *locale,
                const struct mustache *m)
{
    struct part_job job = { arg, file, channel, part, locale, 0 };

    check_quotes(&job);
    mustache_mentions(m, on_mention, &job, NULL);
}
