/*
 * Characters that nobody sees, or that turn the direction of what stands behind
 * them: controls, soft hyphen, zero-width space, marks, embeddings, isolates.
 */
#ifndef CHANNELS_UNSEEN_H
#define CHANNELS_UNSEEN_H

#include <glib.h>
#include <stdbool.h>

/* char_unseen: joiners (U+200C, U+200D) are seen in what they join. */
bool char_unseen(gunichar c);

#endif
