#include "channels/mail/wire.h"

#include <errno.h>
#include <glib.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

int wire_put(int fd, enum smtp_frame type, const void *bytes, size_t len)
{
    struct smtp_head head = { type, (uint32_t)len };
    struct iovec parts[] = { { &head, sizeof head }, { (void *)bytes, len } };
    struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };

    return sendmsg(fd, &message, MSG_NOSIGNAL) == (ssize_t)(sizeof head + len) ? 0 : -1;
}

static bool read_all(int fd, void *to, size_t len)
{
    for (char *p = to; len;) {
        ssize_t n = read(fd, p, len);
        if (n <= 0 && !(n < 0 && errno == EINTR))
            return false;
        if (n > 0)
            p += n, len -= (size_t)n;
    }
    return true;
}

char *wire_get(int fd, struct smtp_head *head)
{
    char *bytes;

    if (!read_all(fd, head, sizeof *head))
        _exit(0);
    bytes = g_malloc((size_t)head->len + 1);
    if (!read_all(fd, bytes, head->len))
        _exit(0);
    bytes[head->len] = '\0';
    return bytes;
}
