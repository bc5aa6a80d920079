#include "dispatcher/feedback/refusals.h"

#include <glib.h>

#include "channels/address.h"
#include "dispatcher/base/clock.h"
#include "dispatcher/people/suppression.h"
#include "dispatcher/store/suppressions.h"
#include "schedules/instant.h"

static void on_suppressed(void *arg, bool ok, json_t *result)
{
}

void refusal_final(struct service *s, const char *address, const char *line)
{
    char key[ADDRESS_SIZE];
    json_auto_t *entry = json_pack("{s:s, s:s}", "reason", "hard_bounce", "source", "smtp"), *errors = json_array();

    if (policy_suppresses(s->policy, line) && address_key(key, address) == NULL)
        suppression_add(s, key, entry, "worker", errors, on_suppressed, NULL);
}

void refusal_for_a_while(struct service *s, const char *address, const char *line)
{
    const struct soft_bounces *soft = &s->policy->soft;
    char key[ADDRESS_SIZE], at[32], until[32];
    int64_t now = clock_now();

    if (!policy_soft_bounce(s->policy, line) || address_key(key, address) != NULL)
        return;
    json_auto_t *entry =
        json_pack("{s:s, s:s, s:s, s:s}", "reason", "soft_bounces", "source", "smtp", "at", instant_format(at, now),
                  "expires_at", instant_format(until, now + soft->suppress_ms));
    store_soft_bounce(s->store, key, entry, (int64_t)((double)soft->suppress_ms / clock_rate()) + 1,
                      (int64_t)((double)soft->within_ms / clock_rate()) + 1, soft->max);
}

void refusal_forgotten(struct service *s, const char *address)
{
    char key[ADDRESS_SIZE];

    if (address_key(key, address) == NULL)
        store_arrived(s->store, key);
}
