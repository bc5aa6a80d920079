#include "dispatcher/store/wire/server.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dispatcher/base/log.h"

struct server {
    char *dir;
    char socket[108];
    int dir_fd;
    pid_t pid; /* when it is ours */
    int lock;  /* held while it starts: two processes that find no server at once must not both start one; else -1 */
};

static bool answers(const struct server *s)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    g_strlcpy(at.sun_path, s->socket, sizeof at.sun_path);
    /* with a full backlog it is slow, and there */
    bool up = fd >= 0 && (connect(fd, (struct sockaddr *)&at, sizeof at) == 0 || errno == EAGAIN);
    if (fd >= 0)
        close(fd);
    return up;
}

static void run_redis(const struct server *s)
{
    static const char *const args[] = {
        "redis-server",
        "--port",
        "0",
        "--dir",
        NULL,
        "--unixsocket",
        "redis.sock",
        "--unixsocketperm",
        "700",
        "--appendonly",
        "yes",
        "--appendfsync",
        "everysec",
        "--save",
        "",
        "--maxmemory-policy",
        "noeviction",
        "--hash-max-listpack-value",
        "256",
        "--daemonize",
        "no",
        "--logfile",
        "redis.log",
        NULL,
    };
    char *argv[G_N_ELEMENTS(args)];

    for (size_t i = 0; i < G_N_ELEMENTS(args); i++)
        argv[i] = (char *)args[i];
    argv[4] = s->dir;
    execvp(argv[0], argv);
    _exit(127);
}

/* The child dies with us (it then writes its file and leaves), and does not hear the terminal's Ctrl-C. */
static bool spawn(struct server *s)
{
    pid_t parent = getpid();

    s->pid = fork();
    if (s->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != parent)
            _exit(0);
        setsid();
        int null = open("/dev/null", O_RDWR);
        dup2(null, 0);
        dup2(null, 1);
        dup2(null, 2);
        closefrom(3);
        run_redis(s);
    }
    return s->pid > 0;
}

static bool take_lock(struct server *s, bool wait)
{
    g_autofree char *path = g_build_filename(s->dir, "starting.lock", NULL);

    s->lock = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    if (s->lock >= 0 && flock(s->lock, wait ? LOCK_EX : LOCK_EX | LOCK_NB) < 0) {
        close(s->lock);
        s->lock = -1;
    }
    return s->lock >= 0;
}

static void drop_lock(struct server *s)
{
    if (s->lock >= 0)
        close(s->lock);
    s->lock = -1;
}

/* Why ours has ended, NULL while it has not. */
static const char *ended(struct server *s)
{
    int status = 0;
    pid_t got = s->pid > 0 ? waitpid(s->pid, &status, WNOHANG) : 0;

    if (got == 0 || (got < 0 && errno != ECHILD)) /* libev may have fetched it before */
        return NULL;
    s->pid = 0;
    return WIFEXITED(status) && WEXITSTATUS(status) == 127
               ? "redis-server is not installed (Debian: apt-get install redis-server), or set redis.url"
               : "redis-server ended; see redis/redis.log below data_dir";
}

/* At the start of the service there is no loop yet that must not wait. */
static const char *start(struct server *s)
{
    const char *why = NULL;

    take_lock(s, true);
    if (!answers(s)) {
        if (!spawn(s))
            why = "no process could be started";
        for (int i = 0; !why && i < 600 && !answers(s); i++) {
            why = ended(s);
            g_usleep(20000);
        }
        if (!why && !answers(s))
            why = "redis-server does not open its socket; see redis/redis.log below data_dir";
    }
    drop_lock(s);
    return why;
}

struct server *server_open(const char *data_dir, char **why)
{
    struct server *s = g_new0(struct server, 1);
    g_autofree char *dir = g_build_filename(data_dir, "redis", NULL);

    s->dir_fd = s->lock = -1;
    if (g_mkdir_with_parents(dir, 0700) < 0 || !(s->dir = g_canonicalize_filename(dir, NULL)) ||
        (s->dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0) {
        *why = g_strdup_printf("data_dir %s: %s", data_dir, strerror(errno));
        server_close(s);
        return NULL;
    }
    /* a socket's path has room for 107 bytes only, a directory's descriptor always fits */
    if (strlen(s->dir) + sizeof "/redis.sock" <= sizeof s->socket)
        snprintf(s->socket, sizeof s->socket, "%.90s/redis.sock", s->dir);
    if (strlen(s->dir) > 90)
        snprintf(s->socket, sizeof s->socket, "/proc/self/fd/%d/redis.sock", s->dir_fd);
    const char *fault = start(s);
    if (!fault)
        return s;
    *why = g_strdup_printf("the private Redis in %s cannot be used: %s", s->dir, fault);
    server_close(s);
    return NULL;
}

const char *server_socket(const struct server *s)
{
    return s->socket;
}

void server_ensure(struct server *s)
{
    const char *why = ended(s);

    if (why)
        log_error("redis.private", "{s:s}", "fault", why);
    if (answers(s)) {
        drop_lock(s);
        return;
    }
    if (s->pid > 0 || (s->lock < 0 && !take_lock(s, false))) /* it is being started, by us or by somebody else */
        return;
    if (answers(s))
        drop_lock(s);
    else if (spawn(s))
        log_warn("redis.private", "{s:s}", "action", "started again");
}

void server_is_up(struct server *s)
{
    drop_lock(s);
}

void server_close(struct server *s)
{
    if (!s)
        return;
    if (s->pid > 0) {
        kill(s->pid, SIGTERM);
        while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    drop_lock(s);
    if (s->dir_fd >= 0)
        close(s->dir_fd);
    g_free(s->dir);
    g_free(s);
}
