/*
 * A person being seen to, from one end to the other:
 *
 *   actor.c    the way through the store, and round again
 *   view.c     what was looked at
 *   asked.c    what the machine asks besides: definitions, consent, places
 *   thought.c  facts into the machine
 *   effects.c  its effects into one step of the store, and into the answer
 */
#ifndef DISPATCHER_JOURNEYS_ACTOR_OWN_H
#define DISPATCHER_JOURNEYS_ACTOR_OWN_H

#include "dispatcher/journeys/sequences.h"
#include "dispatcher/store/journeys.h"
#include "schedules/machine.h"

/* What was looked at, kept while definitions are fetched. */
struct view {
    bool taken;
    char *version, *runs, *profile;
    char *moved;                                   /* who they are now; NULL; known with view_unknown_version */
    json_t *merged;                                /* likewise: who they were */
    json_t *kept, *unheard, *consents, *standings; /* consents: field → entry; standings: sequence → text */
};
void view_take(struct view *, const struct seen_person *);
void view_clear(struct view *);
/* view_account: whose events count, too; NULL for none.  g_free.  view_add_company: adds them to what is kept, those
 * that the person has been told of already but once. */
char *view_account(const struct view *);
void view_add_company(struct view *, const json_t *events);
/* event_is_kept: it is among those that are kept. */
bool event_is_kept(const json_t *kept, const char *id);
/* view_unknown_version: of a run whose definition has not been looked for yet; NULL for none.  g_free. */
char *view_unknown_version(struct view *, const struct sequences *);

/* What the machine made of it. */
struct thought {
    struct service *service;
    const char *recipient, *profile_text;
    const char *other; /* who they were before, of absorbing; borrowed */
    json_t *profile;
    const json_t *consents;
    json_t *standings; /* sequence → {…} */
    struct almanac almanac;
    struct person_runs *person;
    struct situation situation;
    GPtrArray *effects;   /* struct effect */
    GPtrArray *sends;     /* struct sending */
    const json_t *places; /* by name: whether it is theirs; NULL: nobody is asked */
    struct place wanted;  /* what must be asked first; name NULL: nothing */
    int64_t again;        /* when a place is worth asking for once more; -1 */
    json_t *did;
    json_t *cancelling; /* message → what is said of its run in `did` */
    char *runs;         /* as they become; free() */
    int hops;
    struct step_of step;
};
/* places: what is known of them (struct thought); what is not, is wanted, and then all is to be thought again. */
bool thought_begin(struct thought *, struct service *, const char *recipient, const struct view *,
                   const json_t *places);
/* thought_answers: whom the machine asks. */
void thought_answers(struct thought *, struct situation *);
/* Into the lists of a step: step_list makes one when it is not there, and counts; step_json takes the value;
 * step_count: of the figures; step_door: who stands there, since when; -1: nobody of this run. */
struct args *step_list(struct args **list, int *count);
void step_json(struct args **list, int *count, json_t *value);
void step_count(struct thought *, const char *field, int more);
void step_door(struct thought *, const char *sequence, const char *wave, const char *run, int64_t since);
/* thought_meets: a condition on the person. */
bool thought_meets(const struct thought *, const struct condition *);
/* thought_hear: what they have not heard yet, in its order. */
void thought_hear(struct thought *, const struct view *);
void thought_event(struct thought *, json_t *event);
void thought_keep(struct thought *, json_t *event);
void thought_enroll(struct thought *, const char *sequence, const json_t *event, bool again);
void thought_leave(struct thought *, const char *sequence, const char *reason);
void thought_migrate(struct thought *, const char *sequence, const char *from, const json_t *map);
void thought_look(struct thought *);
void thought_replan(struct thought *);
/* Two people are one: thought_move: of the one who goes; thought_absorb: of the one who stays:
 * {"from","runs","unheard", "kept","trace"} of the other; how much of what they had not heard has been taken over;
 * thought_moved: of the one who has gone, when so much has been; thought_forget: that they ever were somebody. */
/* thought_claim: somebody is about to become this one; thought_is_claimed: somebody is, and has not arrived. */
void thought_claim(struct thought *, const char *other);
bool thought_is_claimed(const struct thought *);
void thought_move(struct thought *, const char *into);
void thought_absorb(struct thought *, const json_t *other);
void thought_moved(struct thought *, size_t taken);
void thought_forget(struct thought *, const char *other);
/* thought_end: messages are checked, and what is refused is heard of at once. */
void thought_end(struct thought *);
/* thought_tell_line: a place (struct place) is free, and the next one must hear of it. */
void thought_tell_line(struct thought *, const char *place);
/* thought_step: for the store; borrows. */
struct step_of thought_step(struct thought *, const struct view *);
/* thought_cancelled: what became of messages that were to be cancelled, for `did`. */
void thought_cancelled(struct thought *, const redisReply *cancelled, const redisReply *flying);
void thought_clear(struct thought *);

#endif
