/*
 * What a mail provider says to its agent process, over a socket pair: frames of a
 * type, a length and bytes.  Both ends are this binary, so numbers are in the
 * machine's own order.  The agent says nothing here; mails and what becomes of
 * them go over the board (board.h).
 *
 *   SETTINGS  once, JSON
 *   END       struct smtp_end: this mail has had its time, its socket is to be shut
 */
#ifndef CHANNELS_MAIL_WIRE_H
#define CHANNELS_MAIL_WIRE_H

#include <stddef.h>
#include <stdint.h>

enum smtp_frame { FRAME_SETTINGS = 1, FRAME_END };

struct smtp_head {
    uint32_t type, len;
};

struct smtp_end {
    uint32_t session;
    uint64_t number;
};

/* The agent's descriptors: the socket pair, the board's memory, and the provider's bell. */
#define SMTP_AGENT_FD 3
#define SMTP_BOARD_FD 4
#define SMTP_BELL_FD  5

/* wire_put: -1 when the other end has gone.  wire_get: waits, and ends the process when the provider has gone; the
 * bytes, with a NUL behind them; g_free. */
int wire_put(int fd, enum smtp_frame type, const void *bytes, size_t len);
char *wire_get(int fd, struct smtp_head *);

#endif
