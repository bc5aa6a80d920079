/*
 * Enrolling or taking out everybody whom a condition meets (S3): counted first,
 * and done only with the token of that count, for those who were counted; whoever
 * came since is told apart.
 */
#ifndef DISPATCHER_JOURNEYS_BULK_H
#define DISPATCHER_JOURNEYS_BULK_H

#include "dispatcher/journeys/standing.h"

/* bulk_enroll: {"where": COND, "confirm": token or nothing, "again": false}
 *   → {"matching","would_enroll","already","refused":{why:n},"confirm": token}
 *   → {"matching","enrolled","already","refused","newcomers"}
 * bulk_exit: the same with "would_exit" and "exited", of runs.
 * A token holds for an hour, and for this sequence and condition. */
standing_fn bulk_enroll, bulk_exit;

/* What is said when the answer is {"stale": true}. */
#define BULK_STALE "this token is of no count of the last hour with this condition: count again"

#endif
