/*
 * Hash slots of a Redis Cluster, as its specification has them.
 */
#ifndef DISPATCHER_STORE_WIRE_SLOT_H
#define DISPATCHER_STORE_WIRE_SLOT_H

#define SLOTS 16384

/* slot_of: CRC-16/XMODEM modulo 16384 of a key, or of what stands between its first { and the next }, unless that is
 * nothing. */
int slot_of(const char *key);

#endif
