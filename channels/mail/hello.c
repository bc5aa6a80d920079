#include "channels/mail/hello.h"

#include <arpa/inet.h>
#include <glib.h>
#include <netdb.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The address that faces the server, as RFC 5321, 4.1.3, writes it. */
static char *own_literal(const char *server)
{
    struct addrinfo hints = { .ai_socktype = SOCK_DGRAM }, *list = NULL;
    struct sockaddr_storage own;
    socklen_t len = sizeof own;
    char text[INET6_ADDRSTRLEN] = "127.0.0.1";
    bool v6 = false;

    if (getaddrinfo(server, "25", &hints, &list) == 0) {
        int fd = socket(list->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd >= 0 && connect(fd, list->ai_addr, list->ai_addrlen) == 0 &&
            getsockname(fd, (struct sockaddr *)&own, &len) == 0) {
            getnameinfo((struct sockaddr *)&own, len, text, sizeof text, NULL, 0, NI_NUMERICHOST);
            v6 = own.ss_family == AF_INET6;
        }
        if (fd >= 0)
            close(fd);
        freeaddrinfo(list);
    }
    text[strcspn(text, "%")] = '\0';
    return g_strdup_printf(v6 ? "[IPv6:%s]" : "[%s]", text);
}

/* The name for EHLO: the host's full one, else an address literal; a bare host name is refused by strict servers. */
char *hello_name(const char *server)
{
    char host[256] = "";
    struct addrinfo hints = { .ai_flags = AI_CANONNAME }, *list = NULL;
    char *full = NULL;

    gethostname(host, sizeof host - 1);
    if (getaddrinfo(host, NULL, &hints, &list) == 0 && list->ai_canonname && strchr(list->ai_canonname, '.') &&
        g_ascii_strncasecmp(list->ai_canonname, "localhost", 9) != 0)
        full = g_strdup(list->ai_canonname);
    if (list)
        freeaddrinfo(list);
    return full ? full : own_literal(server);
}
