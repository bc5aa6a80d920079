/*
 * Looking for what would go wrong before a message does: `tidings template check`.
 *
 * Every finding names a file, a line and what to do.  An error would become a
 * render error or an unlawful mail; a warning would only be poor.
 */
#ifndef TEMPLATES_CHECK_H
#define TEMPLATES_CHECK_H

#include "templates/library.h"

typedef void check_finding_fn(void *arg, bool error, const char *place, const char *what);

/* library_check: all findings of one template (NULL: of all); `marketing` says whether a category needs an unsubscribe
 * link. */
struct check_options {
    const char *only;
    bool (*marketing)(void *arg, const char *category);
    int (*offset)(void *arg, int64_t ms);
    const char *(*instant)(int64_t *ms, const char *text);
    int (*sms_segments)(const char *text);
    check_finding_fn *finding;
    void *arg;
};
void library_check(const struct library *, const struct check_options *);

/* template_sample: the samples that template.yaml declares, and template_given: a recipient, a message and links, which
 * the first holds too. */
json_t *template_sample(const struct template *);
json_t *template_given(const struct template *);

#endif
