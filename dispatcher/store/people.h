/*
 * People: profiles, consent with its ledger, whose address it is, and messages that
 * follow their local time.
 */
#ifndef DISPATCHER_STORE_PEOPLE_H
#define DISPATCHER_STORE_PEOPLE_H

#include "dispatcher/store/store.h"

/* The profile as text, "" for none, NULL when Redis is gone. */
typedef void profile_fn(void *arg, const char *profile);
void store_profile(struct store *, const char *recipient, profile_fn *, void *arg);
/* Answers "ok", "race" or NULL; now "" deletes; import: it comes with many others. */
void store_profile_put(struct store *, const char *recipient, const char *was, const char *now, bool import,
                       accept_fn *, void *arg);
void store_erase(struct store *, const char *recipient, json_fn *, void *arg);

struct consent_entry {
    const char *recipient, *category; /* category may be "*" */
    char letter;                      /* or '*' */
    char state;                       /* g granted, w withdrawn, p pending until it is confirmed */
    int64_t at;                       /* ms; -1: now */
    bool history;                     /* an import: a withdrawal holds from its own instant, not from its arrival */
    const char *exempt;               /* ",account," */
    const json_t *entry;              /* what the ledger keeps */
};
/* The receipt of contract 6 for a withdrawal, {"granted":true} for a grant, {"pending":true} for one to be confirmed.
 */
void store_consent(struct store *, const struct consent_entry *, json_fn *, void *arg);
void store_consents(struct store *, const char *recipient, json_fn *, void *arg);

/* Whose address it is, for those who must know whether somebody else has it: more may be named than have it now. */
void store_address_claim(struct store *, const char *address, const char *recipient);
void store_address_leave(struct store *, const char *address, const char *recipient);
/* Who belongs to an account; likewise. */
void store_account_join(struct store *, const char *account, const char *recipient);
void store_account_leave(struct store *, const char *account, const char *recipient);
/* [recipient, …] */
void store_address_holders(struct store *, const char *address, json_fn *, void *arg);

/* store_civil: a person's pending messages whose time was given in local time: [{"id","local","at"}]. */
void store_civil(struct store *, const char *recipient, json_fn *, void *arg);
/* store_replan: [{"id","was","at"}]: what still waits for `was` goes at `at` instead. */
void store_replan(struct store *, const char *recipient, const json_t *moves, json_fn *, void *arg);

#endif
