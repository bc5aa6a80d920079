#include "templates/icu_message.h"

#include <map>
#include <memory>
#include <string>
#include <vector>

#include <unicode/datefmt.h>
#include <unicode/messagepattern.h>
#include <unicode/msgfmt.h>
#include <unicode/plurrule.h>
#include <unicode/simpletz.h>
#include <unicode/strenum.h>

using icu::Formattable;
using icu::Locale;
using icu::MessageFormat;
using icu::MessagePattern;
using icu::UnicodeString;

namespace
{
enum class Type { String, Number, Date, Select };

struct Argument {
    std::string name, type;
    UnicodeString key;
    Type kind;
    std::vector<std::string> selectors;
};

std::string utf8(const UnicodeString &text)
{
    std::string out;
    return text.toUTF8String(out);
}

struct Formatter {
    std::unique_ptr<MessageFormat> format;
    std::vector<icu::DateFormat *> dates; /* owned by format */
};
} // namespace

struct icu_message {
    UnicodeString text;
    std::vector<Argument> arguments;
    std::vector<UnicodeString> names;
    std::map<std::string, Formatter> formatters;
    std::vector<Formattable> values; /* reused between calls */
    std::string plain;               /* the whole text when it has no arguments */
    bool is_plain;
};

/* ICU recurses: 32,000 nested levels crash it, so they are counted first. */
static bool nesting_bearable(const char *pattern)
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

static Type type_of(UMessagePatternArgType arg, const std::string &simple, std::string &name)
{
    switch (arg) {
    case UMSGPAT_ARG_TYPE_PLURAL: name = "plural"; return Type::Number;
    case UMSGPAT_ARG_TYPE_SELECTORDINAL: name = "selectordinal"; return Type::Number;
    case UMSGPAT_ARG_TYPE_CHOICE: name = "number"; return Type::Number;
    case UMSGPAT_ARG_TYPE_SELECT: name = "select"; return Type::Select;
    case UMSGPAT_ARG_TYPE_SIMPLE:
        if (simple == "date" || simple == "time") {
            name = "date";
            return Type::Date;
        }
        name = "number";
        return Type::Number;
    default: name = "string"; return Type::String;
    }
}

static void collect_selectors(const MessagePattern &parsed, int start, Argument &argument)
{
    int limit = parsed.getLimitPartIndex(start);
    for (int i = start + 1; i < limit; i++) {
        const MessagePattern::Part &part = parsed.getPart(i);
        if (part.getType() == UMSGPAT_PART_TYPE_ARG_SELECTOR)
            argument.selectors.push_back(utf8(parsed.getSubstring(part)));
        else if (part.getType() == UMSGPAT_PART_TYPE_MSG_START)
            i = parsed.getLimitPartIndex(i);
    }
}

static const char *collect_arguments(icu_message *m, const MessagePattern &parsed)
{
    for (int i = 0; i < parsed.countParts(); i++) {
        const MessagePattern::Part &part = parsed.getPart(i);
        if (part.getType() != UMSGPAT_PART_TYPE_ARG_START)
            continue;
        Argument a;
        a.key = parsed.getSubstring(parsed.getPart(i + 1));
        a.name = utf8(a.key);
        std::string simple;
        if (part.getArgType() == UMSGPAT_ARG_TYPE_SIMPLE)
            simple = utf8(parsed.getSubstring(parsed.getPart(i + 2)));
        if (part.getArgType() == UMSGPAT_ARG_TYPE_SIMPLE && simple != "number" && simple != "date" &&
            simple != "time" && simple != "spellout" && simple != "ordinal" && simple != "duration")
            return "has an argument of a type that does not exist; there are number, date, time, plural, selectordinal "
                   "and select";
        a.kind = type_of(part.getArgType(), simple, a.type);
        collect_selectors(parsed, i, a);
        m->arguments.push_back(a);
    }
    return nullptr;
}

extern "C" icu_message *icu_message_parse(const char *pattern, char **why)
{
    UErrorCode status = U_ZERO_ERROR;
    UParseError place = {};

    if (strlen(pattern) > ICU_MAX_PATTERN || !nesting_bearable(pattern)) {
        *why = g_strdup("is longer or nested deeper than a message may be");
        return nullptr;
    }
    auto m = std::make_unique<icu_message>();
    m->text = UnicodeString::fromUTF8(pattern);
    MessagePattern parsed(UMSGPAT_APOS_DOUBLE_OPTIONAL, status);
    parsed.parse(m->text, &place, status);
    if (U_FAILURE(status)) {
        *why = g_strdup_printf("is no ICU message (%s) near \"%s\", column %d", u_errorName(status),
                               utf8(UnicodeString(place.postContext)).c_str(), place.offset + 1);
        return nullptr;
    }
    if (const char *complaint = collect_arguments(m.get(), parsed)) {
        *why = g_strdup(complaint);
        return nullptr;
    }
    m->is_plain = m->arguments.empty() && !strchr(pattern, '\'');
    m->plain = pattern;
    return m.release();
}

extern "C" void icu_message_free(icu_message *m)
{
    delete m;
}

static Formatter *formatter_for(icu_message *m, const char *locale, char **why)
{
    auto found = m->formatters.find(locale);
    if (found != m->formatters.end())
        return &found->second;

    UErrorCode status = U_ZERO_ERROR;
    UParseError place = {};
    Formatter f;
    f.format = std::make_unique<MessageFormat>(m->text, Locale::forLanguageTag(locale, status), place, status);
    if (U_FAILURE(status)) {
        *why = g_strdup_printf("the message cannot be used in %s (%s)", locale, u_errorName(status));
        return nullptr;
    }
    std::unique_ptr<icu::StringEnumeration> names(f.format->getFormatNames(status));
    while (const UnicodeString *name = names ? names->snext(status) : nullptr)
        if (auto date = dynamic_cast<icu::DateFormat *>(f.format->getFormat(*name, status)))
            f.dates.push_back(date);
    return &(m->formatters[locale] = std::move(f));
}

static char *wrong(const Argument &a, const char *what)
{
    return g_strdup_printf("the argument \"%s\" %s", a.name.c_str(), what);
}

struct Dates {
    bool any = false;
    int offset = 0; /* seconds, of the first date; the others are shifted to it */
};

static char *date_value(const Argument &a, const json_t *value, const icu_env *env, Dates &dates, Formattable &out)
{
    int64_t ms;
    bool date_only = false;

    if (json_is_integer(value)) {
        ms = json_integer_value(value) * 1000;
    } else if (json_is_string(value)) {
        const char *text = json_string_value(value);
        date_only = strlen(text) == 10;
        g_autofree char *whole = date_only ? g_strconcat(text, "T00:00:00Z", nullptr) : g_strdup(text);
        if (const char *complaint = env->instant(&ms, whole))
            return wrong(a, complaint);
    } else {
        return wrong(a, "is no date; write an RFC 3339 time or seconds since 1970");
    }
    int offset = env->offset(env->arg, ms);
    if (!dates.any)
        dates.offset = offset;
    dates.any = true;
    if (date_only) /* a calendar day is the same everywhere */
        ms -= dates.offset * INT64_C(1000);
    else
        ms += (offset - dates.offset) * INT64_C(1000);
    out = Formattable(static_cast<double>(ms), Formattable::kIsDate);
    return nullptr;
}

static char *argument_value(const Argument &a, const json_t *value, const icu_env *env, Dates &dates, Formattable &out)
{
    if (!value)
        return wrong(a, "is missing");
    if (a.kind == Type::Date)
        return date_value(a, value, env, dates, out);
    if (json_is_integer(value))
        out = Formattable(static_cast<int64_t>(json_integer_value(value)));
    else if (json_is_real(value))
        out = Formattable(json_real_value(value));
    else if (a.kind == Type::Number)
        return wrong(a, "is no number");
    else if (json_is_string(value))
        out = Formattable(UnicodeString::fromUTF8(
            icu::StringPiece(json_string_value(value), static_cast<int32_t>(json_string_length(value)))));
    else if (json_is_boolean(value))
        out = Formattable(UnicodeString(json_is_true(value) ? "true" : "false"));
    else if (json_is_null(value))
        out = Formattable(UnicodeString());
    else
        return wrong(a, "is no text and no number");
    return nullptr;
}

extern "C" char *icu_message_format(icu_message *m, const char *locale, const icu_env *env, GString *out)
{
    if (m->is_plain) {
        g_string_append_len(out, m->plain.data(), static_cast<gssize>(m->plain.size()));
        return nullptr;
    }
    char *why = nullptr;
    Formatter *f = formatter_for(m, locale, &why);
    Dates dates;
    if (!f)
        return why;
    m->names.clear();
    m->values.clear();
    for (const Argument &a : m->arguments) {
        Formattable value;
        if ((why = argument_value(a, env->value(env->arg, a.name.c_str()), env, dates, value)))
            return why;
        m->names.push_back(a.key);
        m->values.push_back(value);
    }
    if (dates.any)
        for (icu::DateFormat *date : f->dates)
            date->adoptTimeZone(new icu::SimpleTimeZone(dates.offset * 1000, UnicodeString()));
    UErrorCode status = U_ZERO_ERROR;
    UnicodeString text;
    f->format->format(m->names.data(), m->values.data(), static_cast<int32_t>(m->values.size()), text, status);
    if (U_FAILURE(status))
        return g_strdup_printf("the message cannot be formatted (%s)", u_errorName(status));
    std::string bytes;
    text.toUTF8String(bytes);
    g_string_append_len(out, bytes.data(), static_cast<gssize>(bytes.size()));
    return nullptr;
}

extern "C" void icu_message_arguments(const icu_message *m, icu_argument_fn *on_argument, void *arg)
{
    for (const Argument &a : m->arguments) {
        std::vector<const char *> selectors;
        for (const std::string &s : a.selectors)
            selectors.push_back(s.c_str());
        selectors.push_back(nullptr);
        on_argument(arg, a.name.c_str(), a.type.c_str(), selectors.data());
    }
}

extern "C" char **icu_plural_categories(const char *locale, bool ordinal)
{
    UErrorCode status = U_ZERO_ERROR;
    GPtrArray *list = g_ptr_array_new();
    std::unique_ptr<icu::PluralRules> rules(icu::PluralRules::forLocale(
        Locale::forLanguageTag(locale, status), ordinal ? UPLURAL_TYPE_ORDINAL : UPLURAL_TYPE_CARDINAL, status));
    std::unique_ptr<icu::StringEnumeration> keywords(rules ? rules->getKeywords(status) : nullptr);
    while (const UnicodeString *keyword = keywords ? keywords->snext(status) : nullptr)
        g_ptr_array_add(list, g_strdup(utf8(*keyword).c_str()));
    g_ptr_array_add(list, nullptr);
    return reinterpret_cast<char **>(g_ptr_array_free(list, FALSE));
}
