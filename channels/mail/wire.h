/*
 * What a mail provider and its agent processes say to each other, over a
 * socket pair: frames of a type, a length and bytes.  Both ends are this binary,
 * so numbers are in the machine's own order.  Every write wakes the other side,
 * which costs more than what it says: so a JOB goes ahead, behind the GO of the
 * one before, and a session that is open reports only ASK and RESULT.
 *
 *   provider → agent                       agent → provider
 *   SETTINGS once, JSON                    STAGE   how far a new session is (enum smtp_stage)
 *   JOB      from NUL to NUL mail          ASK     all but the final dot is out: go on?
 *   GO, STOP the answer to ASK             RESULT  struct smtp_result
 */
#ifndef CHANNELS_MAIL_WIRE_H
#define CHANNELS_MAIL_WIRE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum smtp_frame { FRAME_SETTINGS = 1, FRAME_JOB, FRAME_GO, FRAME_STOP, FRAME_STAGE, FRAME_ASK, FRAME_RESULT };

struct smtp_head {
    uint32_t type, len;
};

enum smtp_stage { STAGE_CONNECT, STAGE_GREETING, STAGE_MAIL };

struct smtp_result {
    int32_t kind; /* enum outcome_kind */
    int32_t code;
    int32_t crowded;
    char detail[256];
};

#define SMTP_AGENT_FD 3

/* The agent's end waits, and ends the process when the provider has gone.  wire_get: the bytes, with a NUL behind them;
 * g_free. */
void wire_put(int fd, enum smtp_frame type, const void *bytes, size_t len);
char *wire_get(int fd, struct smtp_head *);

/* What an agent may say. */
struct wire_said {
    enum smtp_frame type; /* STAGE, ASK or RESULT */
    enum smtp_stage stage;
    struct smtp_result result;
};

/* wire_read: the first frame of what came: its size, 0 while it is incomplete, -1 when no agent says such a thing. */
ssize_t wire_read(struct wire_said *, const void *bytes, size_t len);

#endif
