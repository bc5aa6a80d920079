#include "templates/icu_message_own.h"

#include <unicode/strenum.h>

using icu::UnicodeString;
using namespace message;

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

extern "C" bool icu_message_quotes_argument(const icu_message *m)
{
    return m->quotes_argument;
}
