/*
 * One delivery: what is known of it.  What its steps ask of the worker that
 * carries it stands at the end; worker.c answers.
 */
#ifndef DISPATCHER_CARRY_DELIVERY_H
#define DISPATCHER_CARRY_DELIVERY_H

#include "channels/address.h"
#include "dispatcher/carry/report.h"
#include "dispatcher/content/render.h"
#include "dispatcher/outlets/outbox.h"
#include "dispatcher/policy/gates.h"
#include "dispatcher/policy/stops.h"
#include "dispatcher/service.h"
#include "dispatcher/store/pipeline.h"

#define COMMIT_ASK_AGAIN (-2)

struct worker;
struct step;
struct delivery;

enum batch_of { BATCH_LOOK, BATCH_ADMIT, BATCH_ACCOUNT, BATCH_COMMIT, BATCH_SENT, BATCH_SETTLE, BATCH_KINDS };

/* A delivery waits for exactly one thing at a time: its answers (`answers` of them), a place, an outcome. */
struct delivery {
    struct worker *worker;
    char message[MESSAGE_ID_SIZE], letter;
    enum channel channel;
    enum lane lane, accepted_lane; /* what the store calls it by: the policy may have changed since */
    char accepted_kind;
    int partition, attempts;
    int64_t fence, send_at, expires_at, due;
    int64_t planned;    /* when a gate let it go, 0 for none */
    char *state, *next; /* as Redis has it, and as the step makes it that is being asked for; NULL: not known */
    int64_t now;        /* of its gates, and of what the trace says of them */
    json_t *body, *profile;
    char held_reason[64];  /* why it has waited, "" if it has not */
    int64_t unknown_since; /* since when nobody has known its template or category, 0: not so */
    bool category_known;
    const char *recipient;         /* in body */
    char *sequence;                /* whose run sent it, "" for none */
    int64_t judged_by;             /* number of the list of stops */
    struct category category;      /* a copy: the policy may be reloaded meanwhile; name borrowed from body */
    struct rendered_delivery made; /* what is carried */
    struct report report;
    struct outlet *outlet;
    unsigned unable; /* bits of outlets that cannot carry it */
    struct ticket *ticket;
    /* what the answers of a step said */
    const struct step *step; /* where it stands: steps_own.h */
    int answers;             /* that have not come yet */
    bool lost, suppressed, poison;
    int64_t looked_at; /* when it was last known not to be suppressed */
    struct look {      /* for one entry of the list of suppressed addresses */
        struct delivery *delivery;
        char address[ADDRESS_SIZE];
    } looks[2];
    char suppressed_why[64];
    int soft_bounces;
    struct policy *policy; /* held: what verdict is about */
    const char *account;   /* in profile; whose caps are asked behind the person's, "" for none */
    struct admitted verdict;
    GString *counted; /* what caps had counted, as JSON; may be NULL */
    bool committed;   /* by its admission, or it was to be */
    bool recommit;    /* it has been committed for a provider that could not carry it */
    bool just_looked; /* at the suppressed, before an admission that may commit it */
    int commit;       /* 1 go, 0 stop, -1 expired, COMMIT_ASK_AGAIN: there are other stops */
    struct outcome outcome;
    /* what is being settled */
    struct settlement settlement;
    struct sent sent; /* the short way */
    char reason[64], ref[200];
    bool has_next;   /* strategy first, and further channels */
    bool denied;     /* by the account: it holds no place for it */
    bool unspoken;   /* nothing has been decided: the trace says nothing */
    bool ended;      /* the provider is done with it */
    bool from_world; /* what is being settled is an outcome, not a verdict of ours */
    GList link;      /* among all of the worker's */
};

/* delivery_take_policy: its gates ask the policy of this moment from here on.  delivery_question: what they ask, at
 * delivery->now. */
void delivery_take_policy(struct delivery *);
struct question delivery_question(const struct delivery *);
/* delivery_stop: what halts it now, by the list that this worker has; NULL for nothing.  By that it has been judged. */
const struct stop *delivery_stop(struct delivery *);
/* delivery_on_lost: 'r' or 'h', what is to be done when its outcome is lost: sent again, or held. */
char delivery_on_lost(const struct delivery *);

/* delivery_expect: the step that is asked for makes its state `next` (given; NULL: that is the scripts' matter).
 * delivery_stepped: it has been made; as_expected: and is `next` now. */
void delivery_expect(struct delivery *, char *next);
/* delivery_believed, delivery_next: what a script is told of that, "" when nothing is expected. */
const char *delivery_believed(const struct delivery *);
const char *delivery_next(const struct delivery *);
void delivery_stepped(struct delivery *, bool as_expected);

struct delivery *delivery_new(struct worker *, int partition, const struct claimed *);
/* delivery_free: from wherever it stands; half-made ones too. */
void delivery_free(struct delivery *);

struct service *worker_service(struct worker *);
struct outbox *worker_outbox(struct worker *);
/* worker_forget: it is about to be freed. */
void worker_forget(struct worker *, struct delivery *);
/* worker_batch: joins the batch of its kind and partition, which is run at the end of this turn of the loop.
 * worker_look: one of its looks does. */
void worker_batch(struct worker *, enum batch_of, struct delivery *);
void worker_look(struct worker *, struct look *);
/* worker_queue: it waits in the outbox for its outlet, or is given back when the worker drains. */
void worker_queue(struct worker *, struct delivery *);
/* worker_place_free: an outlet can take another one. */
void worker_place_free(struct worker *);
/* worker_read_stops: the list of stops is a newer one, of this number at least, 0 for unknown. */
void worker_read_stops(struct worker *, int64_t least);
/* worker_yield: other workers are the first to take what this one does not know. */
void worker_yield(struct worker *);
/* worker_journal: keeps a settlement that Redis did not take. */
void worker_journal(struct worker *, const struct settlement *);

#endif
