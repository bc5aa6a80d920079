/*
 * What every door, step and command works with: the configuration as values.
 * Made once, reloaded as a whole or not at all.
 */
#ifndef DISPATCHER_SERVICE_H
#define DISPATCHER_SERVICE_H

#include <ev.h>

#include "channels/rehearsal.h"
#include "dispatcher/config/config.h"
#include "dispatcher/policy/policy.h"
#include "dispatcher/policy/stops.h"
#include "dispatcher/store/store.h"
#include "templates/library.h"

/* Whoever rehearses (simulator/stage.c) says what providers answer, and hears what was sent. */
struct rehearsal_of {
    rehearsal_outcome_fn *outcome;
    void (*sent)(void *arg, const char *recipient, const char *template, const char *message, const char *channel);
    void *arg;
};

struct service {
    struct ev_loop *loop;
    struct config *config;
    struct policy *policy;
    const struct library_hooks *hooks; /* borrowed: how a library reads YAML, prepares mail, finds built-in pages */
    struct library *library;
    struct library *built_in; /* the pages that never fail */
    struct store *store;
    const struct rehearsal_of *rehearsal;    /* nothing leaves the process, and time jumps; NULL: in earnest */
    bool takes_over;                         /* what an earlier version wrote */
    struct batches *accepts, *looks, *steps; /* asked of the store together: store/messages.h, journeys.h */
    GHashTable *turns;                       /* of people: people/turn.c */
    GHashTable *moved;           /* who is somebody else now, as far as is known: journeys/actor.c; NULL: nobody */
    struct sequences *sequences; /* journeys/sequences.c, which sets it; NULL: nothing goes on with runs here */
    struct stops *stops;         /* as far as this process knows; NULL: it has not read them */
    char *public_url;
    char *from_name, *from;      /* name may be NULL */
    const char *feedback_sender; /* NULL: no Feedback-ID */
    char *default_locale;
    const struct zone *default_zone;
    size_t max_attachments; /* bytes of a message */
};

/* service_open: without a store.  NULL with *why (to be freed).  need_templates: a missing folder is a fault. */
struct service *service_open(struct ev_loop *, const char *config_file, const struct library_hooks *,
                             bool need_templates, char **why);
/* service_library: the templates of the configuration, to be read on (library_go_on). */
struct library *service_library(const struct service *, char **why);
/* service_connect: opens the store and waits until it is ready. */
bool service_connect(struct service *, double clock_rate, double timeout_s, char **why);
/* service_disconnect: whatever still waits is told that it must; nothing is asked of the store after it. */
void service_disconnect(struct service *);
void service_close(struct service *);

/* service_zone: a recipient's zone, else their account's, else the default.  A name that is none counts as none. */
const struct zone *service_zone(const struct service *, const json_t *profile);
/* service_account_zone: of the person's account, else the default. */
const struct zone *service_account_zone(const struct service *, const json_t *profile);
/* service_region: whose holidays hold for a recipient: attributes.region, or NULL. */
const char *service_region(const json_t *profile);

#endif
