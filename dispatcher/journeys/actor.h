/*
 * A person as an actor: facts in, the next state of all their runs out, as one
 * step of the store.
 *
 *   look ──▶ machine (schedules/machine.h) ──▶ messages through intake's checks ──▶ step
 *     ▲                                                                             │
 *     └────────────────────── race: somebody else has moved them ───────────────────┘
 *
 * Within a process people take turns (people/turn.h); between processes the
 * version of what was looked at decides.
 *
 * Who has moved (two people were one) does nothing here any more: what they still
 * have goes along with their next turn, and what happens to them is handed on.
 *
 *   claim, of who stays ──▶ move: frozen, open messages cancelled ──▶ absorb, of who stays ──▶ nothing is left here
 *
 * Whoever is claimed does not move until whoever claims has arrived, or a minute is
 * over: so nobody ever becomes themselves, by whatever ways and processes.
 */
#ifndef DISPATCHER_JOURNEYS_ACTOR_H
#define DISPATCHER_JOURNEYS_ACTOR_H

#include "dispatcher/journeys/sequences.h"
#include "dispatcher/store/journeys.h"

enum act_kind {
    ACT_EVENT,   /* it has happened */
    ACT_KEEP,    /* an event of the past: kept, and wakes nothing */
    ACT_ENROLL,  /* the event enrols in one sequence */
    ACT_LEAVE,   /* the runs of one sequence end */
    ACT_MIGRATE, /* runs of a sequence go on with its current version */
    ACT_REPLAN,  /* definitions that runs follow, or the clocks, may be others */
    ACT_TURN,    /* time has passed, or something has changed */
    ACT_CLAIM,   /* somebody is about to become them */
    ACT_MOVE,    /* they are somebody else from now on */
    ACT_ABSORB,  /* the runs of who they were before become theirs */
    ACT_FORGET,  /* they never were somebody */
};
struct act {
    enum act_kind kind;
    const char *recipient;
    json_t *event;                 /* as kept (schedules/run.h); taken; NULL for LEAVE and TURN */
    json_t *profile;               /* the recipient's fields, written first; taken; NULL for none */
    const char *sequence;          /* of ENROLL and LEAVE */
    const char *reason;            /* of LEAVE */
    const char *other;             /* of MOVE: who they are now; of CLAIM and FORGET: who they were */
    int hops;                      /* how often it has been handed on */
    const char *version;           /* of MIGRATE: only runs of this one; NULL: of any */
    const json_t *map;             /* of MIGRATE: old step → new step; NULL */
    const struct condition *where; /* only when it holds for the profile, else nothing is done; must stay; NULL */
    bool dry;                      /* nothing is written */
    bool existing;                 /* only of somebody who is there: they may have been erased meanwhile */
    bool again;                    /* of ENROLL: re-entry is not asked */
};
/* BUSY: other processes move this person all the time; FAILED: the store threw an error over it. */
enum act_result { ACT_DONE, ACT_KNOWN, ACT_GONE, ACT_BUSY, ACT_FAILED };
/* did: [{"sequence","run","what","why","message",…}], borrowed, NULL unless ACT_DONE. */
typedef void acted_fn(void *arg, enum act_result, const json_t *did);

/* actor_act: answers once, from the loop.  seen: what a turn has claimed; NULL: it is looked at first. */
void actor_act(struct service *, const struct act *, const struct seen_person *seen, acted_fn *, void *arg);

#endif
