/*
 * Where the servers are, as redis.url says it:
 *
 *   redis://[user:password@]host[:port][/db]            one server
 *   unix:/path                                          one, on this host
 *   redis-cluster://[user:password@]host:port,host:port any nodes of a cluster; the others are found
 *   redis-sentinel://[user:password@]host:port,…/name   sentinels that know the master called `name`
 *
 * and each with rediss instead of redis over TLS (RFC 8446), checked against the authorities of redis.tls.ca_file.
 */
#ifndef DISPATCHER_STORE_WIRE_ADDRESS_H
#define DISPATCHER_STORE_WIRE_ADDRESS_H

#include <openssl/ssl.h>
#include <stdbool.h>

#include "dispatcher/config/config.h"

struct redis_place {
    char host[256]; /* a name or a number, without brackets */
    int port;
};

enum redis_kind { REDIS_ONE, REDIS_CLUSTER, REDIS_SENTINEL };

struct redis_address {
    enum redis_kind kind;
    char *path; /* a unix socket, instead of places */
    struct redis_place *places;
    int count;
    char *user, *password;
    char *master; /* the name that the sentinels know it by */
    int db;
    SSL_CTX *tls; /* NULL: in the clear */
};

/* address_parse: the URL; and from the configuration, what TLS needs.  NULL when content, else a complaint
 * (to be freed); address_clear either way. */
char *address_parse(struct redis_address *, const char *url, const struct config *);
void address_clear(struct redis_address *);

/* place_parse: "host:port", the port behind the last colon (IPv6 as Redis writes it, without brackets).  False when it
 * is none. */
bool place_parse(struct redis_place *, const char *text);
bool place_is(const struct redis_place *, const struct redis_place *);

#endif
