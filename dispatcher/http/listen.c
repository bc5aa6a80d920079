#include "dispatcher/http/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

struct place {
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
    } at;
    socklen_t len;
};

static void place_path(struct place *p, const char *path)
{
    p->at.un.sun_family = AF_UNIX;
    g_strlcpy(p->at.un.sun_path, path, sizeof p->at.un.sun_path);
    p->len = sizeof p->at.un;
}

/* A socket that nobody listens on any more is in the way; what is none, or alive, is not ours to remove. */
static void clear_path(const struct place *p)
{
    struct stat what;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); /* a full backlog is alive, too */

    if (lstat(p->at.un.sun_path, &what) == 0 && S_ISSOCK(what.st_mode) && fd >= 0 &&
        connect(fd, &p->at.any, p->len) < 0 && errno == ECONNREFUSED)
        unlink(p->at.un.sun_path);
    if (fd >= 0)
        close(fd);
}

/* False when the host is none in numbers. */
static bool place_host(struct place *p, const char *host, int port)
{
    if (inet_pton(AF_INET, host, &p->at.in.sin_addr) == 1) {
        p->at.in.sin_family = AF_INET;
        p->at.in.sin_port = htons((uint16_t)port);
        p->len = sizeof p->at.in;
        return true;
    }
    if (inet_pton(AF_INET6, host, &p->at.in6.sin6_addr) == 1) {
        p->at.in6.sin6_family = AF_INET6;
        p->at.in6.sin6_port = htons((uint16_t)port);
        p->len = sizeof p->at.in6;
        return true;
    }
    return false;
}

static bool place_of(struct place *p, const char *address)
{
    if (g_str_has_prefix(address, "unix:")) {
        place_path(p, address + 5);
        return true;
    }
    const char *colon = strrchr(address, ':');
    g_autofree char *host = g_strndup(address, (gsize)(colon - address));
    size_t len = strlen(host);

    if (len > 2 && *host == '[' && host[len - 1] == ']') {
        host[len - 1] = '\0';
        return place_host(p, host + 1, atoi(colon + 1));
    }
    return place_host(p, strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, atoi(colon + 1));
}

static int port_of(int fd)
{
    struct place p = { .len = sizeof p.at };

    if (getsockname(fd, &p.at.any, &p.len) != 0)
        return 0;
    return p.at.any.sa_family == AF_INET    ? ntohs(p.at.in.sin_port)
           : p.at.any.sa_family == AF_INET6 ? ntohs(p.at.in6.sin6_port)
                                            : 0;
}

static int inherited(void)
{
    int fd = sd_listen_fds(1) > 0 ? SD_LISTEN_FDS_START : -1;

    if (fd < 0 || sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) <= 0)
        return -1;
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    return fd;
}

static int bound(const struct place *p)
{
    int fd = socket(p->at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
    if (bind(fd, &p->at.any, p->len) == 0 && listen(fd, 1024) == 0)
        return fd;
    close(fd);
    return -1;
}

bool listener_open(struct listener *l, const char *setting, const char *address, bool inherit, char **why)
{
    struct place p = { .len = 0 };

    *l = (struct listener){ .fd = inherit ? inherited() : -1 };
    if (l->fd < 0 && !place_of(&p, address)) {
        *why = g_strdup_printf("%s: \"%s\" is no address of this host; write it like 127.0.0.1:8080", setting, address);
        return false;
    }
    if (l->fd < 0) {
        if (p.at.any.sa_family == AF_UNIX)
            clear_path(&p);
        l->fd = bound(&p);
        if (l->fd < 0) {
            *why = g_strdup_printf("%s %s: %s", setting, address, g_strerror(errno));
            return false;
        }
        l->path = p.at.any.sa_family == AF_UNIX ? g_strdup(p.at.un.sun_path) : NULL;
    }
    l->port = port_of(l->fd);
    return true;
}

void listener_gone(struct listener *l)
{
    if (l->path)
        unlink(l->path);
    g_clear_pointer(&l->path, g_free);
}

bool listen_is_local(const char *address)
{
    return g_str_has_prefix(address, "127.") || g_str_has_prefix(address, "localhost:") ||
           g_str_has_prefix(address, "[::1]:") || g_str_has_prefix(address, "unix:");
}
