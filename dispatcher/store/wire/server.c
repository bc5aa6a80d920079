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
};

static bool answers(const struct server *s)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_strlcpy(at.sun_path, s->socket, sizeof at.sun_path);
    bool up = fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof at) == 0;
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
        for (int fd = 3; fd < 256; fd++)
            close(fd);
        run_redis(s);
    }
    return s->pid > 0;
}

/* Two processes that find no server at once must not both start one. */
static int take_lock(const struct server *s)
{
    g_autofree char *path = g_build_filename(s->dir, "starting.lock", NULL);
    int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);

    if (fd >= 0)
        flock(fd, LOCK_EX);
    return fd;
}

static const char *start(struct server *s)
{
    const char *why = NULL;
    int lock = take_lock(s), status;

    if (!answers(s)) {
        if (!spawn(s))
            why = "no process could be started";
        for (int i = 0; !why && i < 600 && !answers(s); i++) {
            if (waitpid(s->pid, &status, WNOHANG) == s->pid) {
                why = WIFEXITED(status) && WEXITSTATUS(status) == 127
                          ? "redis-server is not installed (Debian: apt-get install redis-server), or set redis.url"
                          : "redis-server ended at once; see redis/redis.log below data_dir";
                s->pid = 0;
            }
            g_usleep(20000);
        }
        if (!why && !answers(s))
            why = "redis-server does not open its socket; see redis/redis.log below data_dir";
    }
    if (lock >= 0)
        close(lock);
    return why;
}

struct server *server_open(const char *data_dir, char **why)
{
    struct server *s = g_new0(struct server, 1);
    g_autofree char *dir = g_build_filename(data_dir, "redis", NULL);

    s->dir_fd = -1;
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
    if (s->pid > 0 && waitpid(s->pid, NULL, WNOHANG) == s->pid)
        s->pid = 0;
    if (answers(s))
        return;
    const char *fault = start(s);
    if (fault)
        log_error("redis.private", "{s:s}", "fault", fault);
    else
        log_warn("redis.private", "{s:s}", "action", "started again");
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
    if (s->dir_fd >= 0)
        close(s->dir_fd);
    g_free(s->dir);
    g_free(s);
}
