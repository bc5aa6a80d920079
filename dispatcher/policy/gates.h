/*
 * The gates that can be decided from values alone: expiry, preference and quiet
 * hours, in the order of the contract.
 *
 * A question holds all that they look at.  A delivery fills it from its message
 * and its person, a replay from what the trace has recorded; so both get the
 * same answer.  Consent, caps and suppression are the store's to decide.
 *
 * A gate is asked in carry/prepare.c and once more before sending in
 * carry/handover.c; carry/facts.c records it for the trace, carry/replay.c asks it
 * again, its reason is a row in base/vocab.h, and tests/flow/model.py says it a
 * second time.  What it looks at is filled in by carry/delivery.c and
 * people/person.c; where it stands in the order is said in dispatcher/README.md;
 * lifting it by a reload wakes who waits when its settings are among
 * settings_reloaded.
 */
#ifndef DISPATCHER_POLICY_GATES_H
#define DISPATCHER_POLICY_GATES_H

#include "dispatcher/policy/reach.h"

/* All instants in ms of service time. */
struct question {
    const struct policy *policy;
    struct reach who;
    enum lane lane;
    const char *recipient; /* spreads those who wait for the same opening */
    int64_t now;
    int64_t planned;         /* when it was to go: send_at, or when a gate let it go */
    int64_t expires_at;      /* 0: never */
    int64_t max_lateness_ms; /* 0: any */
    enum late late;
    bool wanted;         /* the person's own list of channels, when there is one, names this one */
    int64_t pause_until; /* until when the person wants to hear nothing that can wait, 0 for now */
};

enum gate_verdict { GATE_PASS, GATE_DEFERRED, GATE_SUPPRESSED, GATE_EXPIRED };

struct answer {
    enum gate_verdict verdict;
    int64_t until;     /* GATE_DEFERRED: when it may go */
    const char *cause; /* in a word, a literal: "expires_at", "lateness", "pause", as policy_reach() … */
};

/* gate_verdict_name: "pass", "deferred", "suppressed", "expired": as a trace says it. */
const char *gate_verdict_name(enum gate_verdict);

struct answer gate_expiry(const struct question *);
struct answer gate_preference(const struct question *);
struct answer gate_quiet_hours(const struct question *);

/* gate_spread: when after an opening it goes. */
int64_t gate_spread(const struct question *, int64_t opening);

#endif
