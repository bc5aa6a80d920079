/*
 * What a mail provider and its agent process share in memory: for each of the
 * agent's sessions some mails, how far they are, and one question with its answer.
 *
 *   provider                          session
 *   FREE ── board_put ──▶ PUT ── board_take ──▶ TAKEN ── board_tell ──▶ DONE ── board_result ──▶ FREE
 *             └─ board_retract ─▶ FREE
 *
 * Mails of a session are numbered from 1 in the order in which they were put;
 * number n lies at place n % BOARD_PLACES.  Nothing is copied through sockets, and whoever
 * wakes the other side does so once for all that has happened meanwhile: a session
 * sleeps on a futex of its own, the provider on an eventfd for all of them.
 *
 * The memory is a sparse file (memfd): a mail takes the pages that it fills.
 */
#ifndef CHANNELS_MAIL_BOARD_H
#define CHANNELS_MAIL_BOARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "channels/channel.h"

enum smtp_stage { STAGE_CONNECT, STAGE_GREETING, STAGE_MAIL };

#define BOARD_PLACES    4
#define BOARD_MAIL_MOST ((size_t)8 << 20) /* bytes of a mail with its envelope */

struct board;

/* board_new: for as many sessions.  NULL: no memory.  bell: an eventfd, borrowed, written when there is news.
 * board_open: the agent's view of it.  Both ends close theirs. */
struct board *board_new(int sessions, int bell);
struct board *board_open(int fd, int sessions, int bell);
int board_fd(const struct board *);
void board_close(struct board *);

/* ---- the provider's end ---- */

/* board_put: from NUL to NUL mail; false while that place is taken.  board_retract: false: the session has it.
 * board_wake: after them, and after an answer, once for all. */
bool board_put(struct board *, int session, uint64_t number, const struct parcel *);
bool board_retract(struct board *, int session, uint64_t number);
void board_answer(struct board *, int session, uint64_t number, bool go);
void board_wake(struct board *, int session);
/* board_listen: before looking at the news, or the bell would not ring again. */
void board_listen(struct board *);
enum smtp_stage board_stage(const struct board *, int session);
/* board_asked: the mail whose final dot waits for an answer, 0 for none so far. */
uint64_t board_asked(const struct board *, int session);
enum board_news { BOARD_NOTHING, BOARD_RESULT, BOARD_NONSENSE };
/* board_result: what has become of a mail; its place is free then.  NONSENSE: no agent says such a thing. */
enum board_news board_result(struct board *, int session, uint64_t number, struct outcome *);
/* board_forbid: the final dot of a mail is not to be sent any more; false: it is, or has been. */
bool board_forbid(struct board *, int session, uint64_t number);
/* board_dotted: the final dot of this mail is sent, or has been. */
bool board_dotted(const struct board *, int session, uint64_t number);

/* ---- a session's end ---- */

struct board_mail {
    const char *from, *to, *bytes; /* in the board, until board_tell */
    size_t len;
    bool committed;
};
/* board_take: waits for this number; ms < 0: for ever.  False when the time is over. */
bool board_take(struct board *, int session, uint64_t number, int ms, struct board_mail *);
/* board_ask: waits for the answer, unless it is committed already; true: the final dot is sent now. */
bool board_ask(struct board *, int session, uint64_t number, bool committed);
void board_set_stage(struct board *, int session, enum smtp_stage);
void board_tell(struct board *, int session, uint64_t number, const struct outcome *);

#endif
