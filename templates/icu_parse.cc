#include "templates/icu_message_own.h"

#include <cmath>
#include <cstring>

#include <unicode/messagepattern.h>

using icu::MessagePattern;
using icu::UnicodeString;
using namespace message;

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
} // namespace

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
    if ((*why = styles_try(m.get())))
        return nullptr;
    return m.release();
}
