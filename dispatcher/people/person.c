#include "dispatcher/people/person.h"

#include <string.h>

#include "dispatcher/base/vocab.h"
#include "dispatcher/people/preferences.h"
#include "schedules/run.h"

void person_fill(struct question *q, const struct service *s, const json_t *profile)
{
    q->who.zone = service_zone(s, profile);
    q->who.region = service_region(profile);
    q->wanted = preferences_want(json_object_get(profile, "channels"), channel_letters[q->who.channel]);
    q->pause_until = q->who.category->kind == KIND_TRANSACTIONAL ? 0 : preferences_pause(profile);
}

const char *person_role(const json_t *profile)
{
    const char *role = kept_text(profile, "role");
    return strpbrk(role, "|,\n") ? "" : role;
}

const char *person_account(const json_t *profile)
{
    return kept_text(profile, "account");
}

int person_limit(const json_t *profile)
{
    const json_t *limit = json_object_get(json_object_get(profile, "preferences"), "max_per_week");
    return json_is_integer(limit) ? (int)json_integer_value(limit) : -1;
}
