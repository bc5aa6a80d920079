/*
 * The words that the contract fixes and every room uses: kinds of messages,
 * priorities (lanes), channels.  Each is an enum, a name outside and a letter in
 * Redis; here is the one place where they meet.
 */
#ifndef DISPATCHER_BASE_VOCAB_H
#define DISPATCHER_BASE_VOCAB_H

#include <jansson.h>
#include <stdbool.h>

enum kind { KIND_TRANSACTIONAL, KIND_SERVICE, KIND_MARKETING, KINDS };
#define KIND_LETTERS "tsm"

enum lane { LANE_HIGH, LANE_NORMAL, LANE_LOW, LANES };

/* Every channel there is: id, name, letter, the field of a profile that holds its address (NULL: it needs none),
 * whether it rings (what reaches people in their sleep; an inbox waits).  Enum, settings and scripts follow from the
 * row; its driver has a row in outlets/outbox.c, its parts in templates/library.c, what it carries in content/render.c.
 */
#define CHANNEL_TABLE(ROW)                                                                                             \
    ROW(EMAIL, "email", 'e', "email", true)                                                                            \
    ROW(SMS, "sms", 's', "phone", true)                                                                                \
    ROW(IN_APP, "in_app", 'i', NULL, false)

#define CHANNEL_ID(id, name, letter, address, rings)   CHANNEL_##id,
#define CHANNEL_WORD(id, name, letter, address, rings) "|" name
enum channel { CHANNEL_TABLE(CHANNEL_ID) CHANNEL_COUNT };
#define CHANNEL_WORDS (&(CHANNEL_TABLE(CHANNEL_WORD))[1]) /* "email|sms|in_app" */
#define CHANNELS_ALL  ((1u << CHANNEL_COUNT) - 1)

struct channel_row {
    const char *name;
    char letter;
    const char *address;
    bool rings;
};
extern const struct channel_row channel_rows[CHANNEL_COUNT];
extern const char channel_letters[CHANNEL_COUNT + 1]; /* "esi" */

/* Channels by letter and name; NULL and 0 for none. */
const char *channel_name(char letter);
char channel_letter(const char *name);
/* channels_ringing: bits of those that ring. */
unsigned channels_ringing(void);
/* channel_of: the letter must be one. */
enum channel channel_of(char letter);

extern const char *const kind_names[KINDS + 1], *const lane_names[LANES + 1], *const channel_names[CHANNEL_COUNT + 1];

/* word_index: where a name stands in a list (NULL at the end), its length when nowhere. */
unsigned word_index(const char *const *names, const char *name);
/* word_bits: those of a JSON list of names; a missing list gives the fallback. */
unsigned word_bits(const char *const *names, const json_t *list, unsigned fallback);

#endif
