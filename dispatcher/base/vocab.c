#include "dispatcher/base/vocab.h"

#include <assert.h>
#include <string.h>

#define ROW_OF(id, name, letter, address, rings)    { name, letter, address, rings },
#define LETTER_OF(id, name, letter, address, rings) letter,
#define NAME_OF(id, name, letter, address, rings)   name,
const struct channel_row channel_rows[] = { CHANNEL_TABLE(ROW_OF) };
const char channel_letters[] = { CHANNEL_TABLE(LETTER_OF) '\0' };
const char *const channel_names[] = { CHANNEL_TABLE(NAME_OF) NULL };

static const struct {
    char letter;
    const char *name;
    int rank;
} status_rows[] = {
#define STATUS_ROW(id, letter, name, rank) { letter, name, rank },
    STATUS_TABLE(STATUS_ROW)
};

#define REASON_ROW(id, name, status, next_channel, by_gate) { name, STATUS_##status, next_channel, by_gate },
const struct reason_row reason_rows[] = { REASON_TABLE(REASON_ROW) };

const char *const kind_names[] = { "transactional", "service", "marketing", NULL };
const char *const lane_names[] = { "high", "normal", "low", NULL };

const char *channel_name(char letter)
{
    for (int c = 0; c < CHANNEL_COUNT; c++)
        if (channel_rows[c].letter == letter)
            return channel_rows[c].name;
    return NULL;
}

char channel_letter(const char *name)
{
    unsigned c = word_index(channel_names, name);
    return c < CHANNEL_COUNT ? channel_rows[c].letter : 0;
}

unsigned channels_ringing(void)
{
    unsigned bits = 0;

    for (int c = 0; c < CHANNEL_COUNT; c++)
        bits |= channel_rows[c].rings ? 1u << c : 0;
    return bits;
}

enum channel channel_of(char letter)
{
    const char *at = letter ? strchr(channel_letters, letter) : NULL;

    assert(at);
    return (enum channel)(at - channel_letters);
}

bool reason_by_gate(const char *name)
{
    for (int r = 0; *name && r < REASON_COUNT; r++)
        if (strcmp(reason_rows[r].name, name) == 0)
            return reason_rows[r].by_gate;
    return strncmp(name, "cap:", 4) == 0;
}

#define STATUS_COUNT (int)(sizeof status_rows / sizeof *status_rows)

static int status_index(char letter)
{
    for (int i = 0; i < STATUS_COUNT; i++)
        if (status_rows[i].letter == letter)
            return i;
    return 0;
}

const char *status_name(char letter)
{
    return status_rows[status_index(letter)].name;
}

int status_rank(char letter)
{
    return status_rows[status_index(letter)].rank;
}

bool status_is_final(char letter)
{
    return status_rank(letter) > 0;
}

bool status_known(const char *name)
{
    for (int i = 0; i < STATUS_COUNT; i++)
        if (strcmp(status_rows[i].name, name) == 0)
            return true;
    return false;
}

unsigned word_index(const char *const *names, const char *name)
{
    unsigned i = 0;

    while (names[i] && strcmp(names[i], name) != 0)
        i++;
    return i;
}

unsigned word_bits(const char *const *names, const json_t *list, unsigned fallback)
{
    unsigned bits = 0;
    json_t *item;
    size_t i;

    if (!list)
        return fallback;
    json_array_foreach ((json_t *)list, i, item)
        bits |= 1u << word_index(names, json_string_value(item));
    return bits;
}
