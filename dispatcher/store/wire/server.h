/*
 * The private redis-server of the embedded default: unix socket below data_dir,
 * append-only file, no eviction.  Whoever finds none running starts one, and
 * stops it when it ends; everybody else on this host just uses it.
 */
#ifndef DISPATCHER_STORE_WIRE_SERVER_H
#define DISPATCHER_STORE_WIRE_SERVER_H

struct server;

/* server_open: `data_dir` is made when missing.  NULL with *why (to be freed) when no server can be had. */
struct server *server_open(const char *data_dir, char **why);

/* server_socket: the path to connect to; borrowed. */
const char *server_socket(const struct server *);

/* server_ensure: starts it again when it is gone, and does not wait for it; called whenever a connection was lost or
 * did not come about. */
void server_ensure(struct server *);

/* server_is_up: a connection has come about. */
void server_is_up(struct server *);

/* server_close: stops it when this process started it, and waits until it has. */
void server_close(struct server *);

#endif
