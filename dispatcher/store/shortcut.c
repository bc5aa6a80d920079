#include "dispatcher/store/shortcut.h"

#include <glib.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/base/vocab.h"
#include "dispatcher/store/wire/state.h"

#define ADMISSIONS_MOST 30 /* admit.lua: then it is what kills workers */

static int number(const char *text)
{
    return atoi(text);
}

/* The row of a delivery that still is what `status` says. */
static const char **row_of(struct state *s, char letter, enum status status)
{
    const char **d = s->on[channel_of(letter)];
    return *d[DELIVERY_STATUS] == (char)status && !*s->of[STATE_ERASED] ? d : NULL;
}

static char *written(struct state *s, bool plain)
{
    char *next = plain ? state_text(s) : NULL;
    state_clear(s);
    return next;
}

char *shortcut_admitted(const char *state, char letter, char on_lost)
{
    struct state s;
    char admissions[16], lost[2] = { on_lost, '\0' };
    char status[2] = { on_lost ? STATUS_COMMITTING : STATUS_ADMITTED, '\0' };

    state_read(&s, state);
    const char **d = row_of(&s, letter, STATUS_SCHEDULED);
    bool plain = d && !*d[DELIVERY_HOLDER] && !reason_by_gate(d[DELIVERY_REASON]) &&
                 number(d[DELIVERY_ADMISSIONS]) < ADMISSIONS_MOST;
    if (plain) {
        g_snprintf(admissions, sizeof admissions, "%d", number(d[DELIVERY_ADMISSIONS]) + 1);
        d[DELIVERY_ADMISSIONS] = admissions;
        d[DELIVERY_STATUS] = status;
        d[DELIVERY_ON_LOST] = on_lost ? lost : d[DELIVERY_ON_LOST];
    }
    return written(&s, plain);
}

char *shortcut_committed(const char *state, char letter, char on_lost, int64_t now)
{
    struct state s;
    char lost[2] = { on_lost, '\0' }, status[2] = { STATUS_COMMITTING, '\0' };

    state_read(&s, state);
    const char **d = row_of(&s, letter, STATUS_ADMITTED);
    int64_t expires = g_ascii_strtoll(s.of[STATE_EXPIRES], NULL, 10);
    bool plain = d && (expires == 0 || expires > now);
    if (plain) {
        d[DELIVERY_STATUS] = status;
        d[DELIVERY_ON_LOST] = lost;
    }
    return written(&s, plain);
}

static bool ends_plainly(const struct state *s, const char *const *d, const struct settlement *t)
{
    return d && t->final && t->code == STATUS_SENT && !t->denied && *t->trace && !*s->of[STATE_TRACED] &&
           !*s->of[STATE_SUPERSEDE] && !*s->of[STATE_JOURNEY] && !*d[DELIVERY_HOLDER] &&
           !reason_by_gate(d[DELIVERY_REASON]);
}

char *shortcut_sent(const char *state, const struct settlement *t, int64_t ended, bool *closes)
{
    struct state s;
    char status[2] = { t->code, '\0' }, attempts[16], open[16], at[24], sent_at[24];

    state_read(&s, state);
    const char **d = row_of(&s, t->letter, *t->card ? STATUS_ADMITTED : STATUS_COMMITTING);
    bool plain = ends_plainly(&s, d, t);
    if (plain) {
        g_snprintf(attempts, sizeof attempts, "%d", number(d[DELIVERY_ATTEMPTS]) + t->burn);
        g_snprintf(open, sizeof open, "%d", number(s.of[STATE_OPEN]) - 1);
        g_snprintf(at, sizeof at, "%" PRId64, ended);
        g_snprintf(sent_at, sizeof sent_at, "%" PRId64, t->sent_at);
        *closes = number(open) <= 0;
        d[DELIVERY_STATUS] = status;
        d[DELIVERY_ATTEMPTS] = attempts;
        d[DELIVERY_REASON] = "";
        d[DELIVERY_PROVIDER] = t->provider;
        d[DELIVERY_SENT_AT] = sent_at;
        d[DELIVERY_REFERENCE] = t->ref;
        d[DELIVERY_ADMISSIONS] = "0";
        s.of[STATE_OPEN] = open;
        s.of[STATE_ENDED] = at;
        s.of[STATE_TRACED] = "1";
    }
    return written(&s, plain);
}
