/*
 * Identities.
 *
 * A message id is 22 characters of Crockford's base 32 in lower case: two for the
 * partition its recipient lives in, twenty (100 bits) of chance.  A delivery is
 * a message on one channel; its id is the message's, a dash and the channel's
 * letter: e, s, i.  Both are safe in keys, headers and addresses.
 */
#ifndef DISPATCHER_BASE_IDENT_H
#define DISPATCHER_BASE_IDENT_H

#include <stdbool.h>
#include <stddef.h>

#define MESSAGE_ID_LEN  22
#define MESSAGE_ID_SIZE (MESSAGE_ID_LEN + 1)
#define MAX_PARTITIONS  1024

/* partition_of: FNV-1a (64 bit) of a recipient id, a suppression address or an idempotency key, modulo the count. */
int partition_of(const char *name, int partitions);

/* ident_make: by chance, or from a seed so that the same origin always gets the same id. */
void ident_make(char id[static MESSAGE_ID_SIZE], int partition, const char *seed, size_t seed_len);

/* ident_partition: the partition of a message id, or -1 when it is none. */
int ident_partition(const char *id);

/* ident_delivery: splits "…-e" into the message id and the letter.  False when it is no delivery id. */
bool ident_delivery(const char *delivery, char message[static MESSAGE_ID_SIZE], char *letter);

/* ident_good: an id from outside (recipient, …): 1 to 128 of letters, digits and . _ ~ @ + - */
bool ident_good(const char *id);

#endif
