/*
 * Conditions: the query documents that everybody knows, cut down.
 *
 *   {recipient.role: admin, event.amount: {gte: 100}}      all of these
 *   {any: [COND, …]}  {all: [COND, …]}  {not: COND}  always
 *   {happened: {event: NAME, since: run, where: COND, min: 1, max: 3}}
 *
 * A key is a path (sight.h), a value a literal (equal) or a mapping of operators:
 * eq ne in nin lt lte gt gte exists has starts ends contains, and for dates before
 * after within; {path: …} compares with what stands at another path.
 *
 * A missing value makes each comparison false but ne, nin and exists: false.
 * Types are never converted.  Texts compare by bytes; lt to gte want two numbers
 * or two RFC 3339 dates.  An empty mapping is refused, never true.
 */
#ifndef SCHEDULES_CONDITION_H
#define SCHEDULES_CONDITION_H

#include <stdbool.h>

#include "schedules/complaints.h"
#include "schedules/sight.h"

struct condition;

/* condition_read: of a definition; complaints name what is wrong, and it may only be freed then. */
struct condition *condition_read(struct complaints *, const char *at, const json_t *);
void condition_free(struct condition *);

/* condition_holds: inputs: NULL, or a list that gets [path, found, operator, wanted, result] for each comparison made.
 * A condition that is NULL holds. */
bool condition_holds(const struct condition *, const struct sight *, json_t *inputs);

/* condition_is_always: it holds for everybody. */
bool condition_is_always(const struct condition *);

/* condition_again: decides once more, from what such a list recorded; at: how much of it has been used.  *agrees is set
 * to false when a comparison is another one, or comes out otherwise. */
bool condition_again(const struct condition *, const struct sight *, const json_t *inputs, size_t *at, bool *agrees);

/* condition_each: every path that it looks at, and every event that it asks about (path NULL). */
void condition_each(const struct condition *, void (*fn)(void *arg, const char *path, const char *event), void *arg);

/* event_read: the name of an event in a definition, {event: NAME, of: account}: what happens to an account has its own
 * names, ACCOUNT_EVENT before them.  NULL when there is none.  g_free. */
#define ACCOUNT_EVENT "account/"
char *event_read(struct complaints *, const char *at, const json_t *object);

/* since_read: run | step | a duration, back from when the step was entered.  since_from: the instant for a run;
 * enrolled runs begin when their trigger happened. */
enum since_kind { SINCE_RUN, SINCE_STEP, SINCE_BACK };
struct since {
    enum since_kind kind;
    int64_t ms;
};
struct since since_read(struct complaints *, const char *at, const json_t *object);
int64_t since_from(const struct since *, const struct run *);

#endif
