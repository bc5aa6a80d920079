#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/base/vocab.h"
#include "dispatcher/journeys/actor_own.h"

static const struct sequence *find(void *arg, const char *name, const char *version)
{
    const struct thought *t = arg;
    return sequences_find(t->service->sequences, name, version);
}

static void make_id(void *arg, const char *seed, char id[static MACHINE_ID_SIZE])
{
    const struct thought *t = arg;
    char made[MESSAGE_ID_SIZE];

    ident_make(made, store_partition(t->service->store, t->recipient), seed, strlen(seed));
    g_strlcpy(id, made, MACHINE_ID_SIZE);
}

/* The i-th of the four entries that cover a category on a channel, like "w:at:…"; NULL when there is none. */
static const char *covering(const json_t *consents, const char *category, char letter, int i)
{
    g_autofree char *field = g_strdup_printf("%s|%c", i / 2 ? "*" : category, i % 2 ? '*' : letter);
    return json_string_value(json_object_get(consents, field));
}

/* The latest entry that covers a category on a channel; a withdrawal wins a tie, as in the store's own (caps.lua). */
static bool is_withdrawn(const json_t *consents, const char *category, char letter)
{
    int64_t best = -1;
    char state = 0;

    for (int i = 0; i < 4; i++) {
        const char *entry = covering(consents, category, letter, i);
        int64_t at = entry ? g_ascii_strtoll(entry + 2, NULL, 10) : -1;
        if (entry && (at > best || (at == best && *entry == 'w'))) {
            best = at;
            state = *entry;
        }
    }
    return state == 'w';
}

static const struct category *category_of(const struct thought *t, const struct sequence *q, const struct step *step,
                                          const struct template *template)
{
    const char *name = json_string_value(json_object_get(step->message, "category"));

    if (!name)
        name = q->category ? q->category : template ? template_category(template) : NULL;
    return name ? policy_category(t->service->policy, name) : NULL;
}

static bool is_among(const char *channel, const json_t *channels)
{
    bool named = !channels;

    for (size_t i = 0; i < json_array_size(channels); i++)
        named |= g_strcmp0(channel, json_string_value(json_array_get(channels, i))) == 0;
    return named;
}

/* Whether one step may be sent on one of its channels, besides those of another that is lost. */
static bool may_send(const struct thought *t, const struct sequence *q, const struct step *step,
                     const struct step *lost)
{
    const char *name = json_string_value(json_object_get(step->message, "template"));
    const json_t *channels = json_object_get(step->message, "channels");
    struct template *template = t->service->library ? library_find(t->service->library, name) : NULL;
    const struct category *category = category_of(t, q, step, template);

    if (!template || !category || (category->kind == KIND_TRANSACTIONAL && !lost))
        return true;
    for (const char *const *c = template_channels(template); *c; c++)
        if (is_among(*c, channels) && !(lost && is_among(*c, json_object_get(lost->message, "channels"))) &&
            !is_withdrawn(t->consents, category->name, channel_letter(*c)))
            return true;
    return false;
}

static bool may_hear(void *arg, const struct sequence *q, const struct step *lost)
{
    const struct thought *t = arg;
    bool sends = false;

    if (json_object_size(t->consents) == 0 && !lost)
        return true;
    for (guint i = 0; i < q->steps->len; i++) {
        const struct step *step = q->steps->pdata[i];
        if (step->kind == STEP_SEND && may_send(t, q, step, lost))
            return true;
        sends |= step->kind == STEP_SEND;
    }
    return !sends;
}

static const json_t *standing(void *arg, const struct sequence *q)
{
    const struct thought *t = arg;
    return json_object_get(t->standings, q->name);
}

static const char *consent(void *arg, const char *category, const char *channel)
{
    const struct thought *t = arg;
    char letter = channel_letter(channel);
    bool granted = false;

    for (int i = 0; i < 4; i++) {
        const char *entry = covering(t->consents, category, letter, i);
        granted |= entry && *entry == 'g';
    }
    return is_withdrawn(t->consents, category, letter) ? "withdrawn" : granted ? "granted" : NULL;
}

static enum place_answer place(void *arg, const struct place *wanted)
{
    struct thought *t = arg;
    g_autofree char *asked = g_strconcat(wanted->name, "|", wanted->run, NULL);
    const json_t *known = json_object_get(t->places, asked);

    if (!t->places || json_is_true(known))
        return PLACE_HAS;
    if (known)
        return PLACE_NONE;
    if (!t->wanted.name)
        t->wanted = (struct place){ g_strdup(wanted->name), g_strdup(wanted->home), g_strdup(wanted->run), wanted->most,
                                    wanted->waits };
    return PLACE_ASKED;
}

void thought_answers(struct thought *t, struct situation *in)
{
    in->find = find;
    in->make_id = make_id;
    in->may_hear = may_hear;
    in->standing = standing;
    in->place = place;
    in->consent = consent;
    in->arg = t;
}
