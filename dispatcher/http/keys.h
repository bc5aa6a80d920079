/*
 * The keys of programs (http.keys), read once: who they are and what they may do.
 */
#ifndef DISPATCHER_HTTP_KEYS_H
#define DISPATCHER_HTTP_KEYS_H

#include <jansson.h>
#include <stdbool.h>

struct keys;

struct key {
    char *name;      /* becomes the source of what it enqueues */
    int scopes;      /* bits of enum scope */
    char digest[65]; /* of its secret: comparing tells nothing about that, whatever the time it takes */
};

/* keys_read: a list that may be NULL: without any key everybody may. */
struct keys *keys_read(const json_t *list);
void keys_free(struct keys *);
bool keys_any(const struct keys *);
/* keys_find: by what came as the bearer; NULL for no key of ours. */
const struct key *keys_find(const struct keys *, const char *secret);

#endif
