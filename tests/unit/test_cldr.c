/*
 * Plural rules against CLDR's own samples: for each language of plurals.json
 * and ordinals.json (npm's cldr-core of the release that ICU carries), each
 * sample number must select the category under which CLDR lists it.
 *
 *     test_cldr DIRECTORY_OF_CLDR_CORE
 */
#include <glib.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unicode/unumberformatter.h>
#include <unicode/upluralrules.h>
#include <unicode/ustring.h>

#include "templates/icu_message.h"
#include "templates/locale.h"

static int languages, samples, compact, faults;

static const json_t *on_value(void *arg, const char *name)
{
    return strcmp(name, "n") == 0 ? arg : NULL;
}

/* "1c6": a number in compact form, which no message argument can be; ICU's rules are asked as they are. */
static void select_compact(const char *locale, bool ordinal, const char *number, GString *out)
{
    UErrorCode status = U_ZERO_ERROR;
    g_auto(GStrv) words = g_strsplit(number, "c", 2);
    const char *dot = strchr(words[0], '.');
    g_autofree char *decimal = g_strdup_printf("%sE%s", words[0], words[1]),
                    *precision = g_strnfill(dot ? strlen(dot + 1) : 0, '0');
    g_autofree char *skeleton = g_strdup_printf("compact-short .%s", precision);
    UChar pattern[64], keyword[16];
    char category[16];

    u_uastrncpy(pattern, skeleton, 64);
    UNumberFormatter *format = unumf_openForSkeletonAndLocale(pattern, -1, locale, &status);
    UFormattedNumber *result = unumf_openResult(&status);
    UPluralRules *rules = uplrules_openForType(locale, ordinal ? UPLURAL_TYPE_ORDINAL : UPLURAL_TYPE_CARDINAL, &status);
    unumf_formatDecimal(format, decimal, -1, result, &status);
    uplrules_selectFormatted(rules, result, keyword, 16, &status);
    g_string_append(out, U_SUCCESS(status) ? u_austrncpy(category, keyword, 16) : u_errorName(status));
    uplrules_close(rules);
    unumf_closeResult(result);
    unumf_close(format);
}

static void check(const char *locale, bool ordinal, const char *number, const char *category)
{
    static struct icu_message *messages[2];
    static const char *const patterns[] = {
        "{n, plural, zero{zero} one{one} two{two} few{few} many{many} other{other}}",
        "{n, selectordinal, zero{zero} one{one} two{two} few{few} many{many} other{other}}",
    };
    g_autoptr(GString) out = g_string_new(NULL);
    char *why = NULL;

    samples++;
    if (strchr(number, 'c')) {
        compact++;
        select_compact(locale, ordinal, number, out);
    } else {
        json_auto_t *value = json_string(number);
        struct icu_env env = { value, on_value, NULL, NULL, false };
        if (!messages[ordinal])
            messages[ordinal] = icu_message_parse(patterns[ordinal], &why);
        why = icu_message_format(messages[ordinal], locale, &env, out);
    }
    if (why || strcmp(out->str, category) != 0) {
        faults++;
        fprintf(stderr, "%s %s %s: %s, not %s %s\n", locale, ordinal ? "ordinal" : "cardinal", number, out->str,
                category, why ? why : "");
    }
    g_free(why);
}

/* "0.00~0.04": each step of the last digit that is written. */
static void check_range(const char *locale, bool ordinal, const char *from, const char *to, const char *category)
{
    const char *dot = strchr(from, '.');
    int decimals = dot ? (int)strlen(dot + 1) : 0;
    double scale = 1;

    for (int i = 0; i < decimals; i++)
        scale *= 10;
    long last = (long)(g_ascii_strtod(to, NULL) * scale + 0.5);
    for (long n = (long)(g_ascii_strtod(from, NULL) * scale + 0.5); n <= last; n++) {
        char number[G_ASCII_DTOSTR_BUF_SIZE], format[8];
        g_snprintf(format, sizeof format, "%%.%df", decimals);
        check(locale, ordinal, g_ascii_formatd(number, sizeof number, format, (double)n / scale), category);
    }
}

static void check_rule(const char *locale, bool ordinal, const char *rule, const char *category)
{
    g_auto(GStrv) lists = g_strsplit(rule, "@", -1);

    for (char **list = lists + 1; *lists && *list; list++) {
        const char *numbers = strchr(*list, ' ');
        g_auto(GStrv) words = g_strsplit_set(numbers ? numbers : "", ", ", -1);
        for (char **word = words; *word; word++) {
            g_auto(GStrv) ends = g_strsplit(*word, "~", 2);
            if (!g_ascii_isdigit(**word))
                continue;
            if (ends[1])
                check_range(locale, ordinal, ends[0], ends[1], category);
            else
                check(locale, ordinal, *word, category);
        }
    }
}

static void check_file(const char *dir, const char *file, const char *key, bool ordinal)
{
    g_autofree char *path = g_build_filename(dir, "supplemental", file, NULL);
    json_error_t error;
    json_auto_t *root = json_load_file(path, 0, &error);
    json_t *table = json_object_get(json_object_get(root, "supplemental"), key), *rules, *rule;
    const char *locale, *name;

    if (!json_object_size(table)) {
        fprintf(stderr, "%s: %s\n", path, root ? "has no rules" : error.text);
        faults++;
    }
    json_object_foreach (table, locale, rules) {
        languages++;
        json_object_foreach (rules, name, rule)
            check_rule(locale, ordinal, json_string_value(rule), strrchr(name, '-') + 1);
    }
}

static void check_parents(const char *dir)
{
    g_autofree char *path = g_build_filename(dir, "supplemental", "parentLocales.json", NULL);
    json_auto_t *root = json_load_file(path, 0, NULL);
    json_t *parents =
               json_object_get(json_object_get(json_object_get(root, "supplemental"), "parentLocales"), "parentLocale"),
           *parent;
    const char *child;
    int count = 0;

    json_object_foreach (parents, child, parent) {
        struct locale_chain chain;
        bool found = strcmp(json_string_value(parent), "und") == 0;
        locale_chain_make(&chain, child, "tlh");
        for (int i = 1; i < chain.count && !found; i++)
            found = strcmp(chain.tags[i], json_string_value(parent)) == 0;
        if (strcmp(json_string_value(parent), "und") == 0) {
            g_auto(GStrv) words = g_strsplit(child, "-", 2);
            for (int i = 0; i < chain.count; i++)
                found &= strcmp(chain.tags[i], words[0]) != 0;
        }
        if (!found && ++faults)
            fprintf(stderr, "the chain of %s does not follow CLDR to %s\n", child, json_string_value(parent));
        count++;
    }
    printf("%d parent locales\n", count);
    faults += count == 0;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: test_cldr DIRECTORY_OF_CLDR_CORE\n");
        return 2;
    }
    check_file(argv[1], "plurals.json", "plurals-type-cardinal", false);
    check_file(argv[1], "ordinals.json", "plurals-type-ordinal", true);
    check_parents(argv[1]);
    printf("%d tables of languages, %d samples (%d of them compact numbers), %d faults\n", languages, samples, compact,
           faults);
    return faults ? 1 : 0;
}
