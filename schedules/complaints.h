/*
 * What is wrong with a definition, and where: the path of the value in its file
 * ("steps[3].wait_for.any[0].where"), from which whoever read the file finds the line.
 */
#ifndef SCHEDULES_COMPLAINTS_H
#define SCHEDULES_COMPLAINTS_H

#include <stdbool.h>
#include <jansson.h>

struct complaints {
    void (*fn)(void *arg, bool error, const char *at, const char *detail); /* error false: a warning */
    void *arg;
    int errors;
};

/* complain: an error at `at`, or at its member `key`, which may be NULL.  complain_item: at its index.  warn: what
 * works, but hardly as meant. */
void complain(struct complaints *, const char *at, const char *key, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void warn(struct complaints *, const char *at, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* path_to: of a member or an item; g_free. */
char *path_to(const char *at, const char *key);
char *path_item(const char *at, const char *key, size_t index);

/* complain_unknown: keys of an object that are none of `known` (NULL at the end), with the nearest one. */
void complain_unknown(struct complaints *, const char *at, const json_t *object, const char *const *known);

/* complain_nearest: a name that is none of `names` (NULL at the end), with the nearest one; what: "is no template".
 * warn_nearest: likewise, as a warning. */
void complain_nearest(struct complaints *, const char *at, const char *key, const char *name, const char *what,
                      const char *const *names);
void warn_nearest(struct complaints *, const char *at, const char *name, const char *what, const char *const *names);

/* text_of: a member that is a text, NULL when it is not there; complains when it is something else. */
const char *text_of(struct complaints *, const char *at, const json_t *object, const char *key);
/* duration_of: milliseconds of a member; `otherwise` when it is not there. */
int64_t duration_of(struct complaints *, const char *at, const json_t *object, const char *key, int64_t otherwise);
/* choice_of: the index of a member's word in the list (NULL at the end); `otherwise` when it is not there. */
int choice_of(struct complaints *, const char *at, const json_t *object, const char *key, const char *const *words,
              int otherwise);
/* count_of: a whole number from least to most; `otherwise` when it is not there. */
int count_of(struct complaints *, const char *at, const json_t *object, const char *key, int least, int most,
             int otherwise);
/* percent_of: "5%" or 5, the value of member `key`, as a share of one; -1 after a complaint. */
double percent_of(struct complaints *, const char *at, const char *key, const json_t *value);
/* truth_of: a member that is true or false. */
bool truth_of(struct complaints *, const char *at, const json_t *object, const char *key, bool otherwise);

#endif
