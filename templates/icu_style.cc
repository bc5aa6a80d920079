#include "templates/icu_message_own.h"

#include <set>

#include <unicode/decimfmt.h>
#include <unicode/dtptngen.h>
#include <unicode/rbnf.h>
#include <unicode/smpdtfmt.h>

using icu::DateFormat;
using icu::Locale;
using icu::NumberFormat;
using icu::PluralRules;
using icu::UnicodeString;
using icu::number::NumberFormatter;
using icu::number::Precision;
using namespace message;

/* Locales come from outside: what is kept for them is bounded. */
static constexpr size_t max_faces = 1024, max_languages = 512;

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
static std::shared_ptr<Language> language_new(const char *tag, UErrorCode &status)
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

std::shared_ptr<Language> message::language_of(const char *tag, UErrorCode &status)
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

static DateFormat::EStyle date_style(const UnicodeString &style)
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

static void style_date(Styled &s, const Node &node, const Locale &locale, UErrorCode &status)
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

static void style_number(Styled &s, const Node &node, const Locale &locale, UErrorCode &status)
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

Face *message::face_for(icu_message *m, const char *locale, UErrorCode &status)
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
char *message::styles_try(icu_message *m)
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
