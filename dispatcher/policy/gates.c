#include "dispatcher/policy/gates.h"

const char *gate_verdict_name(enum gate_verdict verdict)
{
    static const char *const names[] = { "pass", "deferred", "suppressed", "expired" };
    return names[verdict];
}

/* Later than its category allows, after an outage say: what then becomes of it. */
static struct answer too_late(const struct question *q)
{
    int64_t opening = q->late == LATE_NEXT_WINDOW ? policy_opening(q->policy, &q->who, q->now, q->planned) : 0;

    return opening ? (struct answer){ GATE_DEFERRED, opening, "lateness" }
                   : (struct answer){ GATE_EXPIRED, 0, "lateness" };
}

struct answer gate_expiry(const struct question *q)
{
    if (q->expires_at && q->expires_at <= q->now)
        return (struct answer){ GATE_EXPIRED, 0, "expires_at" };
    if (q->max_lateness_ms && q->now - q->planned > q->max_lateness_ms)
        return too_late(q);
    return (struct answer){ GATE_PASS, 0, NULL };
}

struct answer gate_preference(const struct question *q)
{
    if (!q->wanted)
        return (struct answer){ GATE_SUPPRESSED, 0, "channels" };
    if (q->pause_until > q->now)
        return (struct answer){ GATE_DEFERRED, q->pause_until, "pause" };
    return (struct answer){ GATE_PASS, 0, NULL };
}

struct answer gate_quiet_hours(const struct question *q)
{
    struct answer a = { GATE_PASS, 0, NULL };

    a.until = policy_reach(q->policy, &q->who, q->now, &a.cause);
    if (!a.until)
        return (struct answer){ GATE_PASS, 0, NULL };
    a.verdict = a.until < 0 || q->who.category->quiet == QUIET_DROP ? GATE_SUPPRESSED : GATE_DEFERRED;
    if (a.verdict == GATE_SUPPRESSED)
        a.until = 0;
    return a;
}

int64_t gate_spread(const struct question *q, int64_t opening)
{
    return policy_spread(q->policy, &q->who, opening, q->lane, q->recipient);
}
