/*
 * The head of a request (RFC 9110, RFC 9112), as far as libmicrohttpd lets pass
 * what should not: pure, without a connection.
 */
#ifndef DISPATCHER_HTTP_HEAD_H
#define DISPATCHER_HTTP_HEAD_H

#include <glib.h>
#include <stdbool.h>

struct head {
    int lengths, encodings, hosts, keys; /* how often such headers stand */
    bool bad;
};

/* head_count: for each header.  head_fault: what is wrong with all of them together, NULL when content: two lengths are
 * how requests are smuggled. */
void head_count(struct head *, const char *name, const char *value);
const char *head_fault(const struct head *);

/* head_split: a raw URI into its path, still escaped, and its query, decoded (at most 64 fields; of two of one name the
 * last).  False, with nothing to free, when it is none or longer than 8 KB. */
bool head_split(const char *uri, char **path, GHashTable **query);

/* head_is_type: a Content-Type is this media type, and its charset, if it says one, UTF-8. */
bool head_is_type(const char *value, const char *type);

#endif
