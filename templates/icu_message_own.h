/*
 * What a message is made of: for icu_parse.cc, which makes it, icu_style.cc,
 * which knows languages and styles, icu_message.cc, which formats it, and
 * icu_inspect.cc, which looks into it for the checks.  Everybody else sees
 * icu_message.h.
 *
 *   "{n, plural, one{# parcel} other{# parcels}} on {day, date, long}"
 *
 *   ICU's parser ──▶ Plural n ─┬ "one"   ▶ Pound, Text " parcel"
 *                              └ "other" ▶ Pound, Text " parcels"
 *                    Text " on "    Date day, "long"
 *
 * Joining words is ours, in UTF-8; every number, date and plural is ICU's.
 * What belongs to a language (plural rules, plain numbers) is shared by all
 * messages; a style such as ::currency/EUR belongs to a message and a language.
 */
#ifndef TEMPLATES_ICU_MESSAGE_OWN_H
#define TEMPLATES_ICU_MESSAGE_OWN_H

#include "templates/icu_message.h"

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <unicode/calendar.h>
#include <unicode/datefmt.h>
#include <unicode/numberformatter.h>
#include <unicode/numfmt.h>
#include <unicode/plurrule.h>

namespace message
{
constexpr int max_decimals = 6;

enum class Kind { Text, Plain, Number, Date, Plural, Ordinal, Select, Pound };

struct Node;
using Nodes = std::vector<Node>;

struct Branch {
    std::string selector;
    icu::UnicodeString keyword;
    bool exact = false; /* =n */
    double number = 0;
    const Nodes *body = nullptr;
};

struct Node {
    Kind kind;
    std::string text;         /* Text: itself; otherwise the argument's name */
    std::string simple;       /* Number and Date: "number", "date", "time", "spellout" … */
    icu::UnicodeString style; /* and its style */
    size_t slot = 0;          /* where a face keeps the formatter for it */
    double offset = 0;        /* Plural */
    std::vector<Branch> branches;
};

struct Language {
    icu::Locale locale;
    std::unique_ptr<icu::PluralRules> cardinal, ordinal;
    std::array<icu::number::LocalizedNumberFormatter, max_decimals + 1>
        plain; /* [n] shows n decimals; [0] up to three */
    bool ascii_digits = false;
};

/* A styled number or date of one message in one language. */
struct Styled {
    std::optional<icu::number::LocalizedNumberFormatter> skeleton;
    std::unique_ptr<icu::NumberFormat> number;
    std::unique_ptr<icu::DateFormat> date;
    std::unique_ptr<icu::Calendar>
        calendar;           /* the format's, in the zone of the last date; without it each use copies one */
    int offset = INT32_MIN; /* seconds, of that zone */
};

struct Face {
    std::shared_ptr<Language> language;
    std::vector<Styled> styled;
};

inline std::string utf8(const icu::UnicodeString &text)
{
    std::string out;
    return text.toUTF8String(out);
}

/* language_of: NULL for a tag that ICU cannot read. */
std::shared_ptr<Language> language_of(const char *tag, UErrorCode &);
/* face_for: what the message needs in a language, made when it is first asked for; NULL with a status. */
Face *face_for(icu_message *, const char *locale, UErrorCode &);
/* styles_try: every style is made and used once, in English, so that a wrong one is found when the catalog is loaded.
 * NULL when content, else a sentence to be freed. */
char *styles_try(icu_message *);
} // namespace message

struct icu_message {
    std::vector<std::unique_ptr<message::Nodes>> bodies; /* [0] is the message, the others are branches */
    std::vector<const message::Node *> styled;           /* by slot; set when all nodes have their place */
    size_t slots = 0;
    std::map<std::string, message::Face> faces;

    icu_message();
    ~icu_message();
};

#endif
