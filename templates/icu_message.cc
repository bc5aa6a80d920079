#include "templates/icu_message_own.h"

#include <cstdlib>

#include <unicode/simpletz.h>
#include <unicode/ustring.h>

#include "templates/bidi.h"

using icu::PluralRules;
using icu::UnicodeString;
using icu::number::FormattedNumber;
using namespace message;

namespace
{
constexpr json_int_t last_second = INT64_C(253402300799); /* of the year 9999 */

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
        size_t from = out->len;
        if (json_is_string(value)) {
            g_string_append_len(out, json_string_value(value), static_cast<gssize>(json_string_length(value)));
            if (env->isolate)
                bidi_isolate(out, from);
        } else if (read_number(value, n))
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
} // namespace

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
