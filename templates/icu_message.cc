#include "templates/icu_message.h"

#include <array>
#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <unicode/calendar.h>
#include <unicode/decimfmt.h>
#include <unicode/dtptngen.h>
#include <unicode/messagepattern.h>
#include <unicode/numberformatter.h>
#include <unicode/plurrule.h>
#include <unicode/rbnf.h>
#include <unicode/simpletz.h>
#include <unicode/smpdtfmt.h>
#include <unicode/strenum.h>
#include <unicode/ustring.h>

using icu::DateFormat;
using icu::Locale;
using icu::MessagePattern;
using icu::NumberFormat;
using icu::PluralRules;
using icu::UnicodeString;
using icu::number::FormattedNumber;
using icu::number::LocalizedNumberFormatter;
using icu::number::NumberFormatter;
using icu::number::Precision;

/*
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
namespace
{
constexpr size_t max_faces = 1024,
                 max_languages = 512; /* locales come from outside: what is kept for them is bounded */
constexpr int max_decimals = 6;
constexpr json_int_t last_second = INT64_C(253402300799); /* of the year 9999 */

enum class Kind { Text, Plain, Number, Date, Plural, Ordinal, Select, Pound };

struct Node;
using Nodes = std::vector<Node>;

struct Branch {
    std::string selector;
    UnicodeString keyword;
    bool exact = false; /* =n */
    double number = 0;
    const Nodes *body = nullptr;
};

struct Node {
    Kind kind;
    std::string text;    /* Text: itself; otherwise the argument's name */
    std::string simple;  /* Number and Date: "number", "date", "time", "spellout" … */
    UnicodeString style; /* and its style */
    size_t slot = 0;     /* where a face keeps the formatter for it */
    double offset = 0;   /* Plural */
    std::vector<Branch> branches;
};

struct Language {
    Locale locale;
    std::unique_ptr<PluralRules> cardinal, ordinal;
    std::array<LocalizedNumberFormatter, max_decimals + 1> plain; /* [n] shows n decimals; [0] up to three */
    bool ascii_digits = false;
};

/* A styled number or date of one message in one language. */
struct Styled {
    std::optional<LocalizedNumberFormatter> skeleton;
    std::unique_ptr<NumberFormat> number;
    std::unique_ptr<DateFormat> date;
    std::unique_ptr<icu::Calendar>
        calendar;           /* the format's, in the zone of the last date; without it each use copies one */
    int offset = INT32_MIN; /* seconds, of that zone */
};

struct Face {
    std::shared_ptr<Language> language;
    std::vector<Styled> styled;
};

/* A number as it came: whole, real, or decimal text, which keeps its zeros ("19.90"). */
struct Number {
    enum { Whole, Real, Decimal } kind = Whole;
    int64_t whole = 0;
    double real = 0;
    std::string decimal;
    int decimals = 0;

    double value() const
    {
        return kind == Whole ? static_cast<double>(whole) : real;
    }
};

std::string utf8(const UnicodeString &text)
{
    std::string out;
    return text.toUTF8String(out);
}

void append(GString *out, const UnicodeString &text)
{
    char bytes[256];
    UErrorCode status = U_ZERO_ERROR;
    int32_t len = 0;

    u_strToUTF8(bytes, sizeof bytes, &len, text.getBuffer(), text.length(), &status);
    if (U_SUCCESS(status)) {
        g_string_append_len(out, bytes, len);
        return;
    }
    std::string more = utf8(text);
    g_string_append_len(out, more.data(), static_cast<gssize>(more.size()));
}
} // namespace

struct icu_message {
    std::vector<std::unique_ptr<Nodes>> bodies; /* [0] is the message, the others are branches */
    std::vector<const Node *> styled;           /* by slot; set when all nodes have their place */
    size_t slots = 0;
    bool quotes_argument = false;
    std::map<std::string, Face> faces;

    icu_message();
    ~icu_message();
};

/* CLDR's minimumGroupingDigits: 1234 in Spanish, but 12.345. */
static NumberFormat *group_as_usual(NumberFormat *format)
{
    if (auto *decimal = dynamic_cast<icu::DecimalFormat *>(format))
        decimal->setMinimumGroupingDigits(UNUM_MINIMUM_GROUPING_DIGITS_AUTO);
    return format;
}

/* All messages there are: what they keep for locales is bounded together, at some 50 kB for a styled one. */
static std::set<icu_message *> all_messages;
static size_t all_faces;

icu_message::icu_message()
{
    all_messages.insert(this);
}

icu_message::~icu_message()
{
    all_faces -= faces.size();
    all_messages.erase(this);
}

/* ---------------------------------------------------------------- parsing */

namespace
{
class Parser
{
  public:
    Parser(icu_message *m, const MessagePattern &parsed, const UnicodeString &text) : m(m), parsed(parsed), text(text)
    {
    }

    /* Reads the message that begins at part `start`.  False with a complaint. */
    bool message(int start, Nodes *out)
    {
        int from = parsed.getPart(start).getLimit();
        for (int i = start + 1;; i++) {
            const MessagePattern::Part &part = parsed.getPart(i);
            literal(out, from, part.getIndex());
            if (part.getType() == UMSGPAT_PART_TYPE_MSG_LIMIT)
                return true;
            from = part.getLimit();
            if (part.getType() == UMSGPAT_PART_TYPE_REPLACE_NUMBER)
                out->push_back(Node{ Kind::Pound, "", "", "", 0, 0, {} });
            if (part.getType() != UMSGPAT_PART_TYPE_ARG_START)
                continue;
            int limit = parsed.getLimitPartIndex(i);
            if (!argument(i, out))
                return false;
            i = limit;
            from = parsed.getPart(limit).getLimit();
        }
    }

    const char *complaint = nullptr;

  private:
    icu_message *m;
    const MessagePattern &parsed;
    const UnicodeString &text;

    void literal(Nodes *out, int from, int to)
    {
        if (from >= to)
            return;
        std::string words = utf8(text.tempSubStringBetween(from, to));
        if (!out->empty() && out->back().kind == Kind::Text)
            out->back().text += words;
        else
            out->push_back(Node{ Kind::Text, words, "", "", 0, 0, {} });
    }

    bool argument(int start, Nodes *out)
    {
        UMessagePatternArgType type = parsed.getPart(start).getArgType();
        Node node{ Kind::Plain, utf8(parsed.getSubstring(parsed.getPart(start + 1))), "", "", 0, 0, {} };
        bool good = true;

        if (type == UMSGPAT_ARG_TYPE_SIMPLE)
            good = simple(start, node);
        else if (type == UMSGPAT_ARG_TYPE_CHOICE)
            good = (complaint = "uses choice, which is obsolete; write plural or select", false);
        else if (type != UMSGPAT_ARG_TYPE_NONE)
            good = branches(start, type, node);
        if (good)
            out->push_back(std::move(node));
        return good;
    }

    bool simple(int start, Node &node)
    {
        static const char *const types[] = { "number", "spellout", "ordinal", "duration", "date", "time" };
        node.simple = utf8(parsed.getSubstring(parsed.getPart(start + 2)));
        if (parsed.getPart(start + 3).getType() == UMSGPAT_PART_TYPE_ARG_STYLE)
            node.style = UnicodeString::fromUTF8(utf8(parsed.getSubstring(parsed.getPart(start + 3)))).trim();
        if (node.simple == "number" && node.style == UnicodeString("currency"))
            return complaint = "does not say which currency; write {price, number, ::currency/EUR}", false;
        for (const char *type : types)
            if (node.simple == type) {
                node.kind = node.simple == "date" || node.simple == "time" ? Kind::Date : Kind::Number;
                node.slot = m->slots++;
                return true;
            }
        complaint = "has an argument of a type that does not exist; there are number, date, time, spellout, ordinal, "
                    "duration, plural, selectordinal and select";
        return false;
    }

    bool branches(int start, UMessagePatternArgType type, Node &node)
    {
        int limit = parsed.getLimitPartIndex(start), i = start + 2;
        node.kind = type == UMSGPAT_ARG_TYPE_SELECT   ? Kind::Select
                    : type == UMSGPAT_ARG_TYPE_PLURAL ? Kind::Plural
                                                      : Kind::Ordinal;
        if (MessagePattern::Part::hasNumericValue(parsed.getPart(i).getType()))
            node.offset = parsed.getNumericValue(parsed.getPart(i++));
        if (std::abs(node.offset) > 1e9 || node.offset != static_cast<int64_t>(node.offset))
            return complaint = "has an offset that is no whole number, or out of reach", false;
        while (i < limit) {
            Branch b;
            b.selector = utf8(parsed.getSubstring(parsed.getPart(i++)));
            b.keyword = UnicodeString::fromUTF8(b.selector);
            b.exact = MessagePattern::Part::hasNumericValue(parsed.getPart(i).getType());
            if (b.exact)
                b.number = parsed.getNumericValue(parsed.getPart(i++));
            m->bodies.push_back(std::make_unique<Nodes>());
            Nodes *body = m->bodies.back().get();
            if (!message(i, body))
                return false;
            b.body = body;
            i = parsed.getLimitPartIndex(i) + 1;
            node.branches.push_back(std::move(b));
        }
        return true;
    }
};

/* ICU recurses: 32,000 nested levels crash it, so they are counted first. */
bool nesting_bearable(const char *pattern)
{
    int depth = 0;
    for (const char *p = pattern; *p; p++) {
        if (*p == '{' && ++depth > 2 * ICU_MAX_NESTING)
            return false;
        if (*p == '}' && depth > 0)
            depth--;
    }
    return true;
}

/* ---------------------------------------------------------------- languages and styles */

std::shared_ptr<Language> language_new(const char *tag, UErrorCode &status)
{
    auto l = std::make_shared<Language>();
    l->locale = Locale::forLanguageTag(tag, status);
    l->cardinal.reset(PluralRules::forLocale(l->locale, UPLURAL_TYPE_CARDINAL, status));
    l->ordinal.reset(PluralRules::forLocale(l->locale, UPLURAL_TYPE_ORDINAL, status));
    for (int n = 0; n <= max_decimals; n++)
        l->plain[static_cast<size_t>(n)] = NumberFormatter::withLocale(l->locale).precision(
            n ? Precision::fixedFraction(n) : Precision::maxFraction(3));
    UnicodeString digits = l->plain[0].formatInt(987, status).toString(status);
    l->ascii_digits = digits == UnicodeString("987");
    return l;
}

std::shared_ptr<Language> language_of(const char *tag, UErrorCode &status)
{
    static std::map<std::string, std::shared_ptr<Language>> languages;
    auto found = languages.find(tag);
    if (found != languages.end())
        return found->second;
    if (languages.size() >= max_languages)
        languages.clear();
    auto made = language_new(tag, status);
    return U_SUCCESS(status) ? languages[tag] = made : nullptr;
}

DateFormat::EStyle date_style(const UnicodeString &style)
{
    static const struct {
        const char *name;
        DateFormat::EStyle style;
    } styles[] = { { "", DateFormat::kDefault },
                   { "short", DateFormat::kShort },
                   { "medium", DateFormat::kMedium },
                   { "long", DateFormat::kLong },
                   { "full", DateFormat::kFull } };
    for (const auto &s : styles)
        if (style == UnicodeString(s.name))
            return s.style;
    return DateFormat::kNone;
}

void style_date(Styled &s, const Node &node, const Locale &locale, UErrorCode &status)
{
    DateFormat::EStyle style = date_style(node.style);
    if (style != DateFormat::kNone) {
        s.date.reset(node.simple == "date" ? DateFormat::createDateInstance(style, locale)
                                           : DateFormat::createTimeInstance(style, locale));
        return;
    }
    if (node.style.startsWith(u"::")) {
        s.date.reset(DateFormat::createInstanceForSkeleton(node.style.tempSubString(2), locale, status));
        return;
    }
    s.date.reset(new icu::SimpleDateFormat(node.style, locale, status));
}

void style_number(Styled &s, const Node &node, const Locale &locale, UErrorCode &status)
{
    if (node.simple != "number") {
        icu::URBNFRuleSetTag tag = node.simple == "spellout"  ? icu::URBNF_SPELLOUT
                                   : node.simple == "ordinal" ? icu::URBNF_ORDINAL
                                                              : icu::URBNF_DURATION;
        s.number.reset(new icu::RuleBasedNumberFormat(tag, locale, status));
    } else if (node.style.startsWith(u"::")) {
        UParseError place;
        s.skeleton = NumberFormatter::forSkeleton(node.style.tempSubString(2).trim(), place, status).locale(locale);
    } else if (node.style == UnicodeString("percent")) {
        s.number.reset(group_as_usual(NumberFormat::createPercentInstance(locale, status)));
    } else {
        s.number.reset(group_as_usual(NumberFormat::createInstance(locale, status)));
        auto decimal = dynamic_cast<icu::DecimalFormat *>(s.number.get());
        if (node.style == UnicodeString("integer"))
            s.number->setMaximumFractionDigits(0);
        else if (!node.style.isEmpty() && decimal)
            decimal->applyPattern(node.style, status);
    }
}

Face *face_for(icu_message *m, const char *locale, UErrorCode &status)
{
    auto found = m->faces.find(locale);
    if (found != m->faces.end())
        return &found->second;

    Face face;
    face.language = language_of(locale, status);
    for (const Node *node : m->styled) {
        Styled s;
        if (U_SUCCESS(status))
            node->kind == Kind::Date ? style_date(s, *node, face.language->locale, status)
                                     : style_number(s, *node, face.language->locale, status);
        if (U_SUCCESS(status) && s.date)
            s.calendar.reset(s.date->getCalendar()->clone());
        face.styled.push_back(std::move(s));
    }
    if (U_FAILURE(status))
        return nullptr;
    if (all_faces >= max_faces) {
        for (icu_message *other : all_messages)
            other->faces.clear();
        all_faces = 0;
    }
    all_faces++;
    return &(m->faces[locale] = std::move(face));
}

/* ---------------------------------------------------------------- values */

/* "19.90", "-3", "1000000": what people send so that no price is rounded on its way. */
bool read_decimal(const char *text, Number &n)
{
    const char *p = text + (*text == '-');
    size_t whole = strspn(p, "0123456789"), decimals = 0;
    bool dot = p[whole] == '.';

    if (dot)
        decimals = strspn(p + whole + 1, "0123456789");
    if (whole == 0 || whole > 18 || decimals > 18 || (dot && !decimals) || p[whole + (dot ? 1 + decimals : 0)])
        return false;
    n.kind = dot ? Number::Decimal : Number::Whole;
    n.real = g_ascii_strtod(text, nullptr);
    n.whole = dot ? 0 : g_ascii_strtoll(text, nullptr, 10);
    n.decimal = text;
    n.decimals = static_cast<int>(decimals);
    return true;
}

bool read_number(const json_t *value, Number &n)
{
    if (json_is_integer(value)) {
        n.kind = Number::Whole;
        n.whole = json_integer_value(value);
        return true;
    }
    if (json_is_real(value)) {
        n.kind = Number::Real;
        n.real = json_real_value(value);
        return true;
    }
    return json_is_string(value) && read_decimal(json_string_value(value), n);
}

FormattedNumber plain_number(const Language &l, const Number &n, UErrorCode &status)
{
    if (n.kind == Number::Decimal)
        return l.plain[static_cast<size_t>(MIN(n.decimals, max_decimals))].formatDecimal(n.decimal, status);
    return n.kind == Number::Whole ? l.plain[0].formatInt(n.whole, status) : l.plain[0].formatDouble(n.real, status);
}

void append_plain(const Language &l, const Number &n, GString *out, UErrorCode &status)
{
    if (l.ascii_digits && n.kind == Number::Whole && n.whole >= 0 && n.whole < 1000)
        g_string_append_printf(out, "%d", static_cast<int>(n.whole)); /* what ICU says too, at a tenth of the cost */
    else
        append(out, plain_number(l, n, status).toString(status));
}

/* ---------------------------------------------------------------- formatting */

class Writer
{
  public:
    Writer(Face *face, const icu_env *env, GString *out) : face(face), env(env), out(out)
    {
    }

    /* NULL when content, else a sentence to be freed. */
    char *run(const Nodes &nodes, const Number *pound)
    {
        char *why = nullptr;
        for (const Node &node : nodes) {
            if (node.kind == Kind::Text)
                g_string_append_len(out, node.text.data(), static_cast<gssize>(node.text.size()));
            else if (node.kind == Kind::Pound)
                append_plain(*face->language, *pound, out, status);
            else
                why = argument(node, pound);
            if (why)
                return why;
        }
        return nullptr;
    }

    UErrorCode status = U_ZERO_ERROR;

  private:
    Face *face;
    const icu_env *env;
    GString *out;

    static char *wrong(const Node &node, const char *what)
    {
        return g_strdup_printf("the argument \"%s\" %s", node.text.c_str(), what);
    }

    char *argument(const Node &node, const Number *pound)
    {
        const json_t *value = env->value(env->arg, node.text.c_str());
        Number n;

        if (!value)
            return wrong(node, "is missing");
        switch (node.kind) {
        case Kind::Date: return date(node, value);
        case Kind::Plain: return plain(node, value);
        case Kind::Select: return select(node, value, pound);
        default: break;
        }
        if (!read_number(value, n))
            return wrong(node, "is no number");
        return node.kind == Kind::Number ? number(node, n) : plural(node, n);
    }

    char *plain(const Node &node, const json_t *value)
    {
        Number n;
        if (json_is_string(value))
            g_string_append_len(out, json_string_value(value), static_cast<gssize>(json_string_length(value)));
        else if (read_number(value, n))
            append_plain(*face->language, n, out, status);
        else if (json_is_boolean(value))
            g_string_append(out, json_is_true(value) ? "true" : "false");
        else if (!json_is_null(value))
            return wrong(node, "is no text and no number");
        return nullptr;
    }

    char *select(const Node &node, const json_t *value, const Number *pound)
    {
        g_autofree char *digits =
            json_is_integer(value) ? g_strdup_printf("%" JSON_INTEGER_FORMAT, json_integer_value(value)) : nullptr;
        const char *wanted = json_is_string(value)    ? json_string_value(value)
                             : json_is_boolean(value) ? (json_is_true(value) ? "true" : "false")
                             : digits                 ? digits
                             : json_is_null(value)    ? "other"
                                                      : nullptr;
        if (!wanted)
            return wrong(node, "is no text and no number");
        const Nodes *body = nullptr;
        for (const Branch &b : node.branches)
            if (b.selector == wanted || (!body && b.selector == "other"))
                body = b.body;
        return run(*body, pound);
    }

    char *number(const Node &node, const Number &n)
    {
        const Styled &s = face->styled[node.slot];
        if (s.skeleton) {
            append(out, (n.kind == Number::Decimal ? s.skeleton->formatDecimal(n.decimal, status)
                         : n.kind == Number::Whole ? s.skeleton->formatInt(n.whole, status)
                                                   : s.skeleton->formatDouble(n.real, status))
                            .toString(status));
            return nullptr;
        }
        if (n.kind == Number::Decimal && node.simple == "number" && node.style.isEmpty()) {
            append_plain(*face->language, n, out, status); /* with its zeros */
            return nullptr;
        }
        UnicodeString text;
        icu::FieldPosition ignored(icu::FieldPosition::DONT_CARE);
        if (n.kind == Number::Whole)
            s.number->format(n.whole, text, ignored, status);
        else
            s.number->format(n.real, text, ignored, status);
        append(out, text);
        return nullptr;
    }

    /* =n is compared with the number itself, a category with the number less the offset, and # prints that. */
    char *plural(const Node &node, const Number &n)
    {
        Number rest = n;
        const Nodes *other = nullptr;

        for (const Branch &b : node.branches)
            if (b.exact && b.number == n.value())
                return run(*b.body, &(rest = less(n, node.offset)));
        rest = less(n, node.offset);
        const PluralRules &rules = node.kind == Kind::Ordinal ? *face->language->ordinal : *face->language->cardinal;
        UnicodeString keyword = rest.kind == Number::Whole && rest.whole == static_cast<int32_t>(rest.whole)
                                    ? rules.select(static_cast<int32_t>(rest.whole))
                                    : rules.select(plain_number(*face->language, rest, status), status);
        for (const Branch &b : node.branches) {
            if (!b.exact && b.keyword == keyword)
                return run(*b.body, &rest);
            if (b.selector == "other")
                other = b.body;
        }
        return run(*other, &rest);
    }

    static Number less(const Number &n, double offset)
    {
        Number rest = n;
        if (offset == 0)
            return rest;
        if (rest.kind != Number::Whole || __builtin_sub_overflow(n.whole, static_cast<int64_t>(offset), &rest.whole))
            rest.kind = Number::Real;
        rest.real = n.value() - offset;
        return rest;
    }

    char *date(const Node &node, const json_t *value)
    {
        Styled &s = face->styled[node.slot];
        int64_t ms;
        bool day_only = false;

        if (json_is_integer(value) && std::abs(json_integer_value(value)) <= last_second) {
            ms = json_integer_value(value) * 1000;
        } else if (json_is_string(value)) {
            day_only = json_string_length(value) == 10;
            g_autofree char *whole = g_strconcat(json_string_value(value), day_only ? "T00:00:00Z" : "", nullptr);
            if (const char *complaint = env->instant(&ms, whole))
                return wrong(node, complaint);
        } else {
            return wrong(node, "is no date; write an RFC 3339 time or seconds since 1970");
        }
        int offset = day_only ? 0 : env->offset(env->arg, ms); /* a calendar day is the same everywhere */
        if (offset != s.offset)
            s.calendar->adoptTimeZone(new icu::SimpleTimeZone(offset * 1000, UnicodeString()));
        s.offset = offset;
        s.calendar->setTime(static_cast<UDate>(ms), status);
        UnicodeString text;
        icu::FieldPosition ignored(icu::FieldPosition::DONT_CARE);
        append(out, s.date->format(*s.calendar, text, ignored));
        return nullptr;
    }
};

/* Every style is made and used once, in English, so that a wrong one is found when the catalog is loaded. */
char *try_styles(icu_message *m)
{
    UErrorCode status = U_ZERO_ERROR;
    Face *face = m->slots ? face_for(m, "en", status) : nullptr;
    for (size_t i = 0; i < m->slots && U_SUCCESS(status); i++) {
        Styled &s = face->styled[i];
        UnicodeString text;
        if (s.skeleton)
            s.skeleton->formatInt(1, status);
        else if (s.date)
            s.date->format(static_cast<UDate>(0), text);
        else if (s.number)
            s.number->format(static_cast<int32_t>(1), text);
    }
    return U_FAILURE(status) ? g_strdup_printf("has a style that ICU does not know (%s)", u_errorName(status))
                             : nullptr;
}
} // namespace

/* ---------------------------------------------------------------- the face in C */

extern "C" icu_message *icu_message_parse(const char *pattern, char **why)
{
    UErrorCode status = U_ZERO_ERROR;
    UParseError place = {};

    if (strlen(pattern) > ICU_MAX_PATTERN || !nesting_bearable(pattern)) {
        *why = g_strdup("is longer or nested deeper than a message may be");
        return nullptr;
    }
    auto m = std::make_unique<icu_message>();
    UnicodeString text = UnicodeString::fromUTF8(pattern);
    for (int i = 1; i + 1 < text.length(); i++)
        m->quotes_argument |= text[i] == u'\'' && text[i + 1] == u'{' && u_isalpha(text[i - 1]);
    MessagePattern parsed(UMSGPAT_APOS_DOUBLE_OPTIONAL, status);
    parsed.parse(text, &place, status);
    if (U_FAILURE(status)) {
        *why = g_strdup_printf("is no ICU message (%s) near \"%s\", column %d", u_errorName(status),
                               utf8(UnicodeString(place.postContext)).c_str(), place.offset + 1);
        return nullptr;
    }
    m->bodies.push_back(std::make_unique<Nodes>());
    Parser parser(m.get(), parsed, text);
    if (!parser.message(0, m->bodies[0].get())) {
        *why = g_strdup(parser.complaint);
        return nullptr;
    }
    m->styled.resize(m->slots);
    for (const auto &body : m->bodies)
        for (const Node &node : *body)
            if (node.kind == Kind::Number || node.kind == Kind::Date)
                m->styled[node.slot] = &node;
    if ((*why = try_styles(m.get())))
        return nullptr;
    return m.release();
}

extern "C" bool icu_message_quotes_argument(const icu_message *m)
{
    return m->quotes_argument;
}

extern "C" void icu_message_free(icu_message *m)
{
    delete m;
}

extern "C" char *icu_message_format(icu_message *m, const char *locale, const icu_env *env, GString *out)
{
    const Nodes &nodes = *m->bodies[0];
    if (nodes.size() == 1 && nodes[0].kind == Kind::Text) {
        g_string_append_len(out, nodes[0].text.data(), static_cast<gssize>(nodes[0].text.size()));
        return nullptr;
    }
    UErrorCode status = U_ZERO_ERROR;
    Face *face = face_for(m, locale, status);
    if (!face)
        return g_strdup_printf("cannot be used in %s (%s)", locale, u_errorName(status));
    Writer writer(face, env, out);
    char *why = writer.run(nodes, nullptr);
    if (!why && U_FAILURE(writer.status))
        why = g_strdup_printf("cannot be formatted (%s)", u_errorName(writer.status));
    return why;
}

static const char *type_name(const Node &node)
{
    switch (node.kind) {
    case Kind::Plural: return "plural";
    case Kind::Ordinal: return "selectordinal";
    case Kind::Select: return "select";
    case Kind::Date: return "date";
    case Kind::Number: return "number";
    default: return "string";
    }
}

extern "C" void icu_message_arguments(const icu_message *m, icu_argument_fn *on_argument, void *arg)
{
    for (const auto &body : m->bodies)
        for (const Node &node : *body) {
            if (node.kind == Kind::Text || node.kind == Kind::Pound)
                continue;
            std::vector<const char *> selectors;
            for (const Branch &b : node.branches)
                selectors.push_back(b.selector.c_str());
            selectors.push_back(nullptr);
            on_argument(arg, node.text.c_str(), type_name(node), selectors.data());
        }
}

extern "C" bool icu_plural_needs(const char *locale, bool ordinal, const char *category, const char *const *selectors)
{
    UErrorCode status = U_ZERO_ERROR;
    auto language = language_of(locale, status);
    bool any = false;

    for (int32_t n = 0; language && n <= 200; n++) {
        g_autofree char *exact = g_strdup_printf("=%d", n);
        if ((ordinal ? *language->ordinal : *language->cardinal).select(n) != UnicodeString::fromUTF8(category))
            continue;
        any = true;
        if (!g_strv_contains(selectors, exact))
            return true;
    }
    return !any;
}

extern "C" char **icu_plural_categories(const char *locale, bool ordinal)
{
    UErrorCode status = U_ZERO_ERROR;
    GPtrArray *list = g_ptr_array_new();
    auto language = language_of(locale, status);
    std::unique_ptr<icu::StringEnumeration> keywords;

    if (language)
        keywords.reset((ordinal ? *language->ordinal : *language->cardinal).getKeywords(status));
    while (const UnicodeString *keyword = keywords ? keywords->snext(status) : nullptr)
        g_ptr_array_add(list, g_strdup(utf8(*keyword).c_str()));
    g_ptr_array_add(list, nullptr);
    return reinterpret_cast<char **>(g_ptr_array_free(list, FALSE));
}
