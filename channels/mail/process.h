/*
 * The agent as a process: this binary once more, with three descriptors (wire.h)
 * and of the environment only what a client of TLS and of names needs.
 */
#ifndef CHANNELS_MAIL_PROCESS_H
#define CHANNELS_MAIL_PROCESS_H

#include <sys/types.h>

/* agent_process_start: 0 when there is none; *its_socket: our end, closed by agent_process_kill, which waits for its
 * end.
 */
pid_t agent_process_start(int board, int bell, int *its_socket);
void agent_process_kill(pid_t pid, int its_socket);

#endif
