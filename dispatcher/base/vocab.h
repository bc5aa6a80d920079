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
#define KINDS_ALL    ((1u << KINDS) - 1)
#define KIND_LETTERS "tsm"

enum lane { LANE_HIGH, LANE_NORMAL, LANE_LOW, LANES };
#define LANES_ALL    ((1u << LANES) - 1)
#define LANE_LETTERS "012"

/* Every channel there is: id, name, letter, the field of a profile that holds its address (NULL: it needs none),
 * whether it rings (what reaches people in their sleep; an inbox waits).  Enum, settings, scripts and sentences follow
 * from the row.  Its way out has a row in outlets/drivers.c, its parts in templates/library.c; the compiler names the
 * places where it is composed (content/render.c) and shown (content/preview.c). */
#define CHANNEL_TABLE(ROW)                                                                                             \
    ROW(EMAIL, "email", 'e', "email", true)                                                                            \
    ROW(SMS, "sms", 's', "phone", true)                                                                                \
    ROW(IN_APP, "in_app", 'i', NULL, false)

#define CHANNEL_ID(id, name, letter, address, rings)   CHANNEL_##id,
#define CHANNEL_WORD(id, name, letter, address, rings) "|" name
enum channel { CHANNEL_TABLE(CHANNEL_ID) CHANNEL_COUNT };
#define CHANNEL_ITEM(id, name, letter, address, rings) ", " name
#define CHANNEL_LIST                                   (&(CHANNEL_TABLE(CHANNEL_ITEM))[2]) /* "email, sms, in_app", for people */
#define CHANNEL_WORDS                                  (&(CHANNEL_TABLE(CHANNEL_WORD))[1]) /* "email|sms|in_app" */
#define CHANNELS_ALL                                   ((1u << CHANNEL_COUNT) - 1)

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

/* Every status of a delivery: id, letter, name outside, rank.  A message has the status of its delivery with the
 * highest rank; those without one are not final.  Scripts and store/messages.c list by name which of them are open and
 * which have arrived: grep IS_SENT, IS_COMMITTING. */
#define STATUS_TABLE(ROW)                                                                                              \
    ROW(SCHEDULED, 's', "scheduled", 0)                                                                                \
    ROW(ADMITTED, 'a', "sending", 0)                                                                                   \
    ROW(COMMITTING, 'k', "sending", 0)                                                                                 \
    ROW(CANCELLED, 'X', "cancelled", 1)                                                                                \
    ROW(EXPIRED, 'E', "expired", 2)                                                                                    \
    ROW(SUPPRESSED, 'P', "suppressed", 3)                                                                              \
    ROW(FAILED, 'F', "failed", 4)                                                                                      \
    ROW(BOUNCED, 'B', "bounced", 5)                                                                                    \
    ROW(COMPLAINED, 'M', "complained", 6)                                                                              \
    ROW(UNKNOWN, 'U', "unknown", 7)                                                                                    \
    ROW(SENT, 'T', "sent", 8)                                                                                          \
    ROW(DELIVERED, 'D', "delivered", 9)

#define STATUS_ID(id, letter, name, rank) STATUS_##id = (letter),
enum status { STATUS_TABLE(STATUS_ID) };

/* By letter; what is none is taken for SCHEDULED. */
const char *status_name(char letter);
int status_rank(char letter);
bool status_is_final(char letter);
bool status_known(const char *name);

/* Every reason that a delivery may have, besides cap:<name>: id, name, how it ends for it, whether another channel may
 * try with strategy first, and whether it waits for a gate: then it is looked at again when person, rules or templates
 * change. */
#define REASON_TABLE(ROW)                                                                                              \
    ROW(EXPIRED, "expired", EXPIRED, false, false)                                                                     \
    ROW(NO_ADDRESS, "no_address", SUPPRESSED, true, false)                                                             \
    ROW(SUPPRESSED_ADDRESS, "suppressed_address", SUPPRESSED, true, false)                                             \
    ROW(NO_CONSENT, "no_consent", SUPPRESSED, true, false)                                                             \
    ROW(OPTED_OUT, "opted_out", SUPPRESSED, true, false)                                                               \
    ROW(PREFERENCE, "preference", SUPPRESSED, true, true)                                                              \
    ROW(QUIET_HOURS, "quiet_hours", SUPPRESSED, false, true)                                                           \
    ROW(HALTED, "halted", SUPPRESSED, false, true)                                                                     \
    ROW(TEMPLATE_UNKNOWN, "template_unknown", FAILED, true, true)                                                      \
    ROW(RENDER_ERROR, "render_error", FAILED, true, false)                                                             \
    ROW(PROVIDER_UNAVAILABLE, "provider_unavailable", FAILED, true, false)                                             \
    ROW(UNDECIDABLE, "provider_unavailable", FAILED, false, false)                                                     \
    ROW(PROVIDER_REJECTED, "provider_rejected", FAILED, true, false)                                                   \
    ROW(OUTCOME_UNKNOWN, "outcome_unknown", UNKNOWN, false, false)

#define REASON_ID(id, name, status, next_channel, by_gate) REASON_##id,
enum reason { REASON_TABLE(REASON_ID) REASON_COUNT };

struct reason_row {
    const char *name;
    enum status status;
    bool next_channel, by_gate;
};
extern const struct reason_row reason_rows[REASON_COUNT];
/* reason_by_gate: by its name, also of a cap, "cap:NAME". */
bool reason_by_gate(const char *name);

/* word_index: where a name stands in a list (NULL at the end), its length when nowhere. */
unsigned word_index(const char *const *names, const char *name);
/* word_bits: those of a JSON list of names; a missing list gives the fallback. */
unsigned word_bits(const char *const *names, const json_t *list, unsigned fallback);

#endif
