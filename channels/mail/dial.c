/*
 * libesmtp hides its socket, and blocks on it.  So connect() is ours in this
 * program: it does what the C library's does, and a session remembers a duplicate
 * of what it connects, which another thread can shut down, and whose number nobody
 * else gets meanwhile.
 */
#include "channels/mail/agent_own.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

struct dialled {
    pthread_mutex_t lock;
    int socket;
    uint64_t number;
    bool ended; /* that mail has had its time */
};

struct dialled *dial_new(void)
{
    struct dialled *d = g_new0(struct dialled, 1);

    pthread_mutex_init(&d->lock, NULL);
    d->socket = -1;
    return d;
}

static void forget(struct dialled *d)
{
    if (d->socket >= 0)
        close(d->socket);
    d->socket = -1;
}

void dial_begin(struct dialled *d, uint64_t number)
{
    pthread_mutex_lock(&d->lock);
    d->number = number;
    d->ended = false;
    pthread_mutex_unlock(&d->lock);
}

void dial_over(struct dialled *d)
{
    pthread_mutex_lock(&d->lock);
    forget(d);
    pthread_mutex_unlock(&d->lock);
}

int dial_socket(struct dialled *d)
{
    return d->socket; /* changed by this thread alone */
}

void dial_hang_up(struct dialled *d)
{
    pthread_mutex_lock(&d->lock);
    if (d->socket >= 0)
        shutdown(d->socket, SHUT_RDWR);
    pthread_mutex_unlock(&d->lock);
}

void dial_end(struct dialled *d, uint64_t number)
{
    pthread_mutex_lock(&d->lock);
    if (d->number == number) {
        d->ended = true;
        if (d->socket >= 0)
            shutdown(d->socket, SHUT_RDWR);
    }
    pthread_mutex_unlock(&d->lock);
}

/* False: its mail has had its time, or nobody could end it. */
static bool remember(struct dialled *d, int fd)
{
    pthread_mutex_lock(&d->lock);
    bool ended = d->ended;
    forget(d);
    d->socket = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    bool known = d->socket >= 0;
    pthread_mutex_unlock(&d->lock);
    return known && !ended;
}

int connect(int fd, const struct sockaddr *to, socklen_t len)
{
    if (agent.dialled && !remember(agent.dialled, fd)) {
        errno = ECANCELED;
        return -1;
    }
    return (int)syscall(SYS_connect, fd, to, len);
}
