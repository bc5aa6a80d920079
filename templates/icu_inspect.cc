#include "templates/icu_message_own.h"

#include <cstring>

#include <unicode/strenum.h>
#include <unicode/uchar.h>

using icu::UnicodeString;
using namespace message;

/* ---------------------------------------------------------------- what stands in a message */

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

static bool has_digit(const std::string &text)
{
    for (const char *p = text.c_str(); *p; p = g_utf8_next_char(p))
        if (u_isdigit(static_cast<UChar32>(g_utf8_get_char(p))))
            return true;
    return false;
}

/* Whether some text in it or below it writes digits, and whether the number itself is said. */
static void look_for_number(const Nodes &nodes, const std::string &name, bool &digits, bool &said)
{
    for (const Node &node : nodes) {
        digits |= node.kind == Kind::Text && has_digit(node.text);
        said |= node.kind == Kind::Pound || (node.kind != Kind::Text && node.text == name);
        for (const Branch &b : node.branches)
            look_for_number(*b.body, name, digits, said);
    }
}

static bool spells_number(const Node &node, const Branch &b)
{
    bool digits = false, said = false;

    if (node.kind == Kind::Select || b.exact)
        return false;
    look_for_number(*b.body, node.text, digits, said);
    return digits && !said;
}

extern "C" void icu_message_arguments(const icu_message *m, icu_argument_fn *on_argument, void *arg)
{
    for (const auto &body : m->bodies)
        for (const Node &node : *body) {
            if (node.kind == Kind::Text || node.kind == Kind::Pound)
                continue;
            std::vector<const char *> selectors, spelled;
            for (const Branch &b : node.branches) {
                selectors.push_back(b.selector.c_str());
                if (spells_number(node, b))
                    spelled.push_back(b.selector.c_str());
            }
            selectors.push_back(nullptr);
            spelled.push_back(nullptr);
            const icu_argument a = { node.text.c_str(), type_name(node), selectors.data(), spelled.data() };
            on_argument(arg, &a);
        }
}

extern "C" char *icu_message_quoted(const icu_message *m)
{
    static GRegex *argument =
        g_regex_new("\\{\\s*([A-Za-z_]\\w*)\\s*[,}]", G_REGEX_OPTIMIZE, GRegexMatchFlags(0), nullptr);

    for (const auto &body : m->bodies)
        for (const Node &node : *body) {
            GMatchInfo *match = nullptr;
            bool found =
                node.kind == Kind::Text && g_regex_match(argument, node.text.c_str(), GRegexMatchFlags(0), &match);
            char *name = found ? g_match_info_fetch(match, 1) : nullptr;
            g_match_info_free(match);
            if (name)
                return name;
        }
    return nullptr;
}

/* ---------------------------------------------------------------- plural rules */

extern "C" int icu_plural_numbers(const char *locale, bool ordinal, const char *category, const char *const *selectors)
{
    static const int32_t large[] = { 1000, 1000000, 1000000000 };
    UErrorCode status = U_ZERO_ERROR;
    auto language = language_of(locale, status);
    int count = 0;

    for (int32_t i = 0; language && i < 201 + static_cast<int32_t>(G_N_ELEMENTS(large)) && count < 2; i++) {
        int32_t n = i <= 200 ? i : large[i - 201];
        g_autofree char *exact = g_strdup_printf("=%d", n);
        if ((ordinal ? *language->ordinal : *language->cardinal).select(n) == UnicodeString::fromUTF8(category) &&
            !g_strv_contains(selectors, exact))
            count++;
    }
    return count;
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
