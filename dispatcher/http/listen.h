/*
 * The socket that the HTTP interface listens on: an address of this host, a
 * path, or what systemd hands over (sd_listen_fds(3): LISTEN_FDS).
 */
#ifndef DISPATCHER_HTTP_LISTEN_H
#define DISPATCHER_HTTP_LISTEN_H

#include <stdbool.h>

struct listener {
    int fd, port; /* 0 for a path */
    char *path;   /* made by us; NULL for none */
};

/* listener_open: "127.0.0.1:8080", "[::1]:8080", "localhost:0" or "unix:/path"; false with *why (to be freed), which
 * names the setting.  A socket of systemd's goes before when `inherit`. */
bool listener_open(struct listener *, const char *setting, const char *address, bool inherit, char **why);
/* listener_gone: nobody is listened to any more; whoever took the descriptor closes it. */
void listener_gone(struct listener *);

/* listen_is_local: only this host can reach it. */
bool listen_is_local(const char *address);

#endif
