/*
 * The policy: what the configuration says about categories, caps, quiet hours
 * and retries, as values.  Nothing here waits, stores or reads a clock.
 */
#ifndef DISPATCHER_POLICY_POLICY_H
#define DISPATCHER_POLICY_POLICY_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "dispatcher/base/vocab.h"
#include "dispatcher/config/config.h"
#include "dispatcher/config/settings.h"
#include "dispatcher/config/values.h"
#include "schedules/quiet.h"
#include "schedules/span.h"
#include "schedules/window.h"

enum consent_rule { CONSENT_NONE, CONSENT_OPT_OUT, CONSENT_OPT_IN, CONSENT_DOUBLE_OPT_IN };
enum quiet_action { QUIET_IGNORE, QUIET_DEFER, QUIET_DROP };
enum late { LATE_SEND, LATE_DROP, LATE_NEXT_WINDOW };
enum over { OVER_DROP, OVER_DEFER, OVER_NEXT_CHANNEL };

struct category {
    char *name;
    enum kind kind;
    enum consent_rule consent;
    enum quiet_action quiet;
    bool resend_unknown;
    int64_t confirm_within_ms; /* double opt-in */
    int64_t max_lateness_ms;   /* 0: any */
    enum late late;            /* what becomes of one that is later */
    int sms_max_segments;
    bool sms_cut, sms_transliterate;
};

/* Which sends are meant.  Bits by enum; a list that is NULL stands for all. */
struct cap_selector {
    unsigned kinds, channels, lanes;
    char **categories, **sources, **roles;
};

#define CAPS_MAX   31
#define CAP_OWN    "own" /* what people choose for themselves, as cap:own */
#define CAP_OWN_MS (7 * INT64_C(86400000))

struct cap {
    char *name;
    bool account;             /* counts the sends to all people of an account together */
    struct cap_selector held; /* what it counts and holds back */
    struct cap_selector also; /* what it counts only: any of its three lists, each empty when NULL */
    struct cap_selector free; /* what it leaves out, likewise */
    int keep[LANES];          /* places that lower priorities than this cannot take */
    int max;
    struct span per;
    enum over over;
};

struct window_rule {
    unsigned kinds, channels; /* bits by enum */
    struct window window;
};

struct retry {
    int max_attempts;
    int64_t first_ms, max_ms;
    int64_t give_up_ms; /* since its time, though no attempt was burnt */
    double factor, jitter;
};

/* Mails that failed because of the recipient, though only for a while each time. */
struct soft_bounces {
    char **codes; /* as in policy.suppress */
    int max;      /* suppress the address; 0: not counted */
    int64_t within_ms, suppress_ms;
};

struct policy {
    int holds;
    char version[9];        /* short hash of the rules, for traces */
    GHashTable *categories; /* name → struct category */
    struct cap *caps;       /* n_caps of the configuration, and CAP_OWN behind them */
    int n_caps;
    bool has_quiet;
    struct quiet quiet;
    unsigned quiet_channels;
    GHashTable *holidays; /* region → GPtrArray of sorted dates */
    GPtrArray *blackout;
    int64_t spread_ms;
    struct window_rule *windows;
    int n_windows;
    GHashTable *accounts; /* account → const struct zone */
    struct retry retry;
    char **suppress; /* codes of refusals, NULL for none: "550", or "5.1.1" or "5.1" (RFC 3463) */
    struct soft_bounces soft;
    int64_t inbox_keep_ms;
    int inbox_max;
};

/* policy_hold: one more who calls policy_free, which frees when the last one has: verdicts name rules by number, so a
 * question and its answer are about the same policy, whatever is reloaded in between. */
struct policy *policy_hold(struct policy *);
void policy_free(struct policy *);

const struct category *policy_category(const struct policy *, const char *name);

/* policy_category_free: for the hash table. */
void policy_category_free(void *category);

/* A delivery as caps see it: kind and lane as it was accepted, by which the history knows it. */
struct cap_subject {
    const char *category;
    enum kind kind;
    enum channel channel;
    enum lane lane;
    const char *source, *role; /* "" for none */
    bool account;              /* the person belongs to one */
};

/* cap_selects: whether a cap holds such a delivery back when it is full. */
bool cap_selects(const struct cap *, const struct cap_subject *);

/* cap_counts: whether it counts such a delivery, be it without holding it back. */
bool cap_counts(const struct cap *, const struct cap_subject *);

/* cap_room: how many places a priority may take; 0 and less: none. */
int cap_room(const struct cap *, enum lane);

/* cap_window: the window that holds `now` for a person (or an account) in `zone`: sends since *since count, and for
 * calendar windows the next one begins at *next (0 for rolling ones). */
void cap_window(const struct cap *, const struct zone *, int64_t now, int64_t *since, int64_t *next);

/* policy_suppresses: whether a relay's final refusal ("550 5.1.1 nobody of this name") speaks against the address. */
bool policy_suppresses(const struct policy *, const char *reply);

/* policy_soft_bounce: whether a refusal for a while ("452 4.2.2 mailbox full") is one that counts. */
bool policy_soft_bounce(const struct policy *, const char *reply);

/* retry_wait: milliseconds before the next attempt after `attempts` of them; chance lies in [0, 1). */
int64_t retry_wait(const struct retry *, int attempts, double chance);

const char *consent_rule_name(enum consent_rule);
/* consent_rule_of: CONSENT_NONE for no rule. */
enum consent_rule consent_rule_of(const char *name);

#endif
