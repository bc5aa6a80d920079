/*
 * Looking for what would go wrong before a message does: `tidings template check`.
 *
 * Every locale, channel and part is rendered with the samples of template.yaml.
 * A finding names a file, a line and what to do; each is told once.  An error
 * would become a render error, an unlawful mail or a broken page; a warning
 * would only be poor.
 */
#ifndef TEMPLATES_CHECK_H
#define TEMPLATES_CHECK_H

#include "templates/library.h"

#define CHECK_SHARED "_shared" /* layouts and pages alone */

struct check_options {
    const char *only; /* the name of one template, CHECK_SHARED; NULL: all of it */
    bool (*marketing)(void *arg, const char *category);
    int (*offset)(void *arg, int64_t ms);
    const char *(*instant)(int64_t *ms, const char *text);
    /* What is wrong with an SMS of a category; NULL when content, else a sentence to be freed. */
    char *(*sms)(void *arg, const char *category, const char *text);
    /* The same of a card. */
    char *(*card)(void *arg, const char *title, const char *body, const char *url);
    void (*finding)(void *arg, bool error, const char *place, const char *what);
    void *arg;
};
/* library_check: templates with an error are marked as flawed (template_flaw). */
void library_check(const struct library *, const struct check_options *);

/* template_sample: the samples that template.yaml declares, and template_given: a recipient, a message and links, which
 * the first holds too. */
json_t *template_sample(const struct template *);
json_t *template_given(const struct template *);

/* template_locales: all that it has texts for, and the default one; sorted.  g_strfreev. */
char **template_locales(const struct template *);

#endif
