#include "channels/mail/process.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "channels/mail/wire.h"

/* Of the environment only what a client of TLS and of names needs: the rest may hold secrets. */
static char **agent_environment(void)
{
    static char *kept[16];
    static const char *const names[] = { "PATH",          "LANG",         "LC_ALL",      "TZ",
                                         "SSL_CERT_FILE", "SSL_CERT_DIR", "RES_OPTIONS", "ASAN_OPTIONS",
                                         "UBSAN_OPTIONS", "TSAN_OPTIONS", "LSAN_OPTIONS" };
    size_t n = 0;

    for (size_t i = 0; !kept[0] && i < G_N_ELEMENTS(names); i++)
        if (getenv(names[i]))
            kept[n++] = g_strdup_printf("%s=%s", names[i], getenv(names[i]));
    if (!kept[0])
        kept[0] = g_strdup("PATH=/usr/bin:/bin");
    return kept;
}

/* The descriptors of an agent stand where it expects them; duplicates of them are out of the way of that. */
static pid_t spawn(int socket, int board, int bell)
{
    int from[] = { socket, board, bell }, to[] = { SMTP_AGENT_FD, SMTP_BOARD_FD, SMTP_BELL_FD };
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t none;
    char parent[16];
    pid_t pid = 0;

    snprintf(parent, sizeof parent, "%d", getpid());
    posix_spawn_file_actions_init(&actions);
    for (int i = 0; i < 3; i++) {
        from[i] = fcntl(from[i], F_DUPFD_CLOEXEC, SMTP_BELL_FD + 1);
        posix_spawn_file_actions_adddup2(&actions, from[i], to[i]);
    }
    posix_spawn_file_actions_addclosefrom_np(&actions, SMTP_BELL_FD + 1); /* libraries open without close-on-exec */
    posix_spawnattr_init(&attr);
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
    if (posix_spawn(&pid, "/proc/self/exe", &actions, &attr, (char *[]){ "tidings", "smtp-agent", parent, NULL },
                    agent_environment()) != 0)
        pid = 0;
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attr);
    for (int i = 0; i < 3; i++)
        close(from[i]);
    return pid;
}

pid_t agent_process_start(int board, int bell, int *its_socket)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return 0;
    pid_t pid = spawn(pair[1], board, bell);
    close(pair[1]);
    *its_socket = pid > 0 ? pair[0] : -1;
    if (pid <= 0)
        close(pair[0]);
    return pid;
}

void agent_process_kill(pid_t pid, int its_socket)
{
    close(its_socket);
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}
