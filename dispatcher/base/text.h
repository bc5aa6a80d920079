/*
 * Text from outside: bounded, valid, and cut between characters.
 */
#ifndef DISPATCHER_BASE_TEXT_H
#define DISPATCHER_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#define TEXT_MAX_DEPTH 32 /* of JSON that a door takes: the readers behind it bear more, none of them all */

/* text_cut: copies what fits into size bytes with the NUL, made valid UTF-8 and ending with a whole character;
 * most: at most so many characters. */
void text_cut(char *to, size_t size, const char *from, size_t most);

/* text_too_deep: JSON that is nested deeper than TEXT_MAX_DEPTH. */
bool text_too_deep(const char *text, size_t len);

#endif
