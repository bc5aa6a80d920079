/*
 * What sequence.c (the definition), sequence_door.c (who gets in) and
 * sequence_steps.c (its steps) share.
 */
#ifndef SCHEDULES_SEQUENCE_OWN_H
#define SCHEDULES_SEQUENCE_OWN_H

#include "schedules/sequence.h"

struct reader {
    struct complaints *c;
    struct sequence *s;
};

/* sequence_door.c: what lets people in.  read_event: the member "event"; take_key: a path that tells runs apart. */
void read_door(struct reader *, const json_t *root);
/* read_waves: behind the goal. */
void read_waves(struct reader *, const json_t *root);
void door_free(struct sequence *);
void trigger_free(void *trigger);
char *read_event(struct reader *, const char *at, const json_t *from);
void take_key(struct reader *, const char *at, const char *key, const char *path);

/* read_steps: a list of steps; the first of them, NULL for none. */
struct step *read_steps(struct reader *, const char *at, const json_t *, struct step *up, int depth);
/* check_steps: what can be said when all are read: names, ways. */
void check_steps(struct reader *);
void step_free(struct step *);

/* read_where: a condition that is a member; NULL when it is not there. */
struct condition *read_where(struct reader *, const char *at, const json_t *from, const char *key);
/* look_through: what a condition asks for; sees_event: there is an event at hand. */
void look_through(struct reader *, const char *at, const struct condition *, bool sees_event);
/* looks_at: a path that the definition asks for; looks_for: an event. */
void looks_at(struct reader *, const char *at, const char *key, const char *path);
void looks_for(struct reader *, const char *event);

#endif
