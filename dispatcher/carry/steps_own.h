/*
 * A delivery is a step machine: the step that it stands at is a row, which runs
 * and says how it goes on.
 *
 *   GO_ON  delivery->step is the next one, and runs now
 *   WAIT   delivery->step is the one that reads the answer; nothing touches the delivery any more in this turn
 *   END    the delivery is freed, here and nowhere else
 *
 * prepare.c has the steps until it may go, handover.c those until the provider
 * has it, outcome.c what the provider said, endings.c how it is written down.
 */
#ifndef DISPATCHER_CARRY_STEPS_OWN_H
#define DISPATCHER_CARRY_STEPS_OWN_H

#include "dispatcher/carry/delivery.h"

enum flow { GO_ON, WAIT, END };

struct step {
    const char *name;
    enum flow (*run)(struct delivery *);
};

extern const struct step step_start, step_looked_up, step_admit, step_looked_again, step_decide, step_decide_account,
    step_send, step_commit, step_return, step_wait, step_outcome, step_settled;

/* delivery_run: from the step that it stands at. */
void delivery_run(struct delivery *);

/* Ways to wait: for an outlet, then admit; for the answer of a batch, then `next`; for the list of suppressed
 * addresses, which live in partitions of their own: answers are counted in delivery->answers, and the last one runs the
 * step. */
enum flow delivery_wait_for_outlet(struct delivery *);
enum flow delivery_ask(struct delivery *, enum batch_of, const struct step *next);
void delivery_ask_suppression(struct delivery *);

/* delivery_answer_came: one of the answers that it waits for, the last of which runs the step; ok: not lost. */
void delivery_answer_came(struct delivery *, bool ok);

/* Ways to end: all settle, and the delivery is freed behind that.  delivery_end: final, without having been sent.
 * delivery_end_over_cap: the same; reason: "cap:<name>".  delivery_end_tried: final, an attempt is burnt; keep_cap: it
 * may have arrived.  delivery_put_off: until `due`; delivery_put_off_as: the same, for a cap or the reason it had.
 * delivery_try_again: the same with an attempt burnt; perhaps: it may have arrived. */
enum flow delivery_settle(struct delivery *);
enum flow delivery_end(struct delivery *, enum reason);
enum flow delivery_end_over_cap(struct delivery *, const char *reason, bool next_channel);
enum flow delivery_end_tried(struct delivery *, enum reason, bool keep_cap);
enum flow delivery_put_off(struct delivery *, enum reason, int64_t due);
enum flow delivery_put_off_as(struct delivery *, const char *reason, int64_t due);
enum flow delivery_try_again(struct delivery *, enum reason, int64_t due, bool perhaps);
enum flow delivery_settle_sent(struct delivery *, const struct outcome *);

/* delivery_begin: GO_ON when it is neither expired nor too late, else it is settled.  The trace begins here, and all
 * gates see the time of this moment. */
enum flow delivery_begin(struct delivery *);
/* delivery_not_now: preference or quiet hours stand against it: which, and until when. */
enum flow delivery_not_now(struct delivery *);
/* delivery_transmit: admitted, it goes to its outlet. */
enum flow delivery_transmit(struct delivery *);

struct service *delivery_service(const struct delivery *);
const char *delivery_address(const struct delivery *); /* NULL for none */
void delivery_leave_outlet(struct delivery *);
/* delivery_at_once: its provider hands over as soon as it is given the message.  delivery_undo_commit: Redis did not
 * say whether it is committed: had that been written down, it is undone. */
bool delivery_at_once(const struct delivery *);
enum flow delivery_undo_commit(struct delivery *);
/* delivery_into_store: the outlet that it has taken is the store's own. */
bool delivery_into_store(const struct delivery *);
/* delivery_fault_wait: ms, as long as the pause of its provider, unless another one can take it now. */
int64_t delivery_fault_wait(const struct delivery *);
double delivery_chance(void);

#endif
