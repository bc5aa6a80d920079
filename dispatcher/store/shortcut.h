/*
 * What the state of a delivery becomes at each step when nothing is special about
 * it, so that a script which finds it as its worker believes only has to write,
 * and takes nothing apart (swap() in common.lua).
 *
 * Each takes the state as text (wire/state.h) and gives the next one, g_free; or
 * NULL when there is more to look at, which is the scripts' matter.
 */
#ifndef DISPATCHER_STORE_SHORTCUT_H
#define DISPATCHER_STORE_SHORTCUT_H

#include "dispatcher/store/pipeline.h"

/* shortcut_admitted: on_lost 'r' or 'h' when it is committed with it, else 0.  shortcut_committed: not once it has
 * expired. */
char *shortcut_admitted(const char *state, char letter, char on_lost);
char *shortcut_committed(const char *state, char letter, char on_lost, int64_t now);
/* shortcut_sent: at `ended`, as the settlement says; *closes: it was the last one of its message. */
char *shortcut_sent(const char *state, const struct settlement *, int64_t ended, bool *closes);

#endif
