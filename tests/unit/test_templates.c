/* Mustache by the specification's cases and by our own, ICU messages, locales: tables and golden folders. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <glib.h>
#include <jansson.h>

#include "schedules/instant.h"
#include "templates/html_text.h"
#include "templates/icu_message.h"
#include "templates/locale.h"
#include "templates/mustache.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

struct parts {
    json_t *partials;
    GPtrArray *made;
};

static const struct mustache *on_partial(void *arg, const char *name, const char *indent, char **why)
{
    struct parts *p = arg;
    const char *text = json_string_value(json_object_get(p->partials, name));
    struct mustache *m = text ? mustache_compile(name, text, strlen(text), indent, why) : NULL;

    if (m)
        g_ptr_array_add(p->made, m);
    return m;
}

static char *render(const char *text, json_t *data, json_t *partials, bool strict, char **why)
{
    struct parts p = { partials, g_ptr_array_new_with_free_func((GDestroyNotify)mustache_free) };
    struct mustache_env env = { .html = true, .strict = strict, .arg = &p, .partial = on_partial };
    struct mustache *m = mustache_compile("case", text, strlen(text), "", why);
    GString *out = g_string_new(NULL);

    if (m)
        *why = mustache_render(m, &env, data, out);
    mustache_free(m);
    g_ptr_array_unref(p.made);
    return g_string_free(out, FALSE);
}

static int run_suite(const char *path)
{
    json_auto_t *suite = json_load_file(path, 0, NULL);
    json_t *test;
    size_t i;

    json_array_foreach (json_object_get(suite, "tests"), i, test) {
        char *why = NULL;
        g_autofree char *out = render(json_string_value(json_object_get(test, "template")),
                                      json_object_get(test, "data"), json_object_get(test, "partials"), false, &why);
        if (why || strcmp(out, json_string_value(json_object_get(test, "expected"))) != 0)
            fail_msg("%s: %s: got \"%s\" %s", path, json_string_value(json_object_get(test, "name")), out,
                     why ? why : "");
        g_free(why);
    }
    return (int)i;
}

/* Our own cases need no other folder; the specification's are run when they lie beside the project. */
static void every_case_of_mustache_renders_as_expected(void **state)
{
    const char *const folders[] = { TESTS_DIR "/golden/mustache", getenv("MUSTACHE_SPEC") ? getenv("MUSTACHE_SPEC")
                                                                                          : TESTS_DIR
                                                                      "/../../shared/mustache-spec" };
    int cases = 0;

    for (size_t f = 0; f < COUNT(folders); f++) {
        GDir *dir = g_dir_open(folders[f], 0, NULL);
        for (const char *name; dir && (name = g_dir_read_name(dir));) {
            g_autofree char *path = g_build_filename(folders[f], name, NULL);
            if (g_str_has_suffix(name, ".json"))
                cases += run_suite(path);
        }
        if (dir)
            g_dir_close(dir);
    }
    print_message("%d cases of mustache\n", cases);
    assert_true(cases >= 12);
}

static void a_template_that_cannot_work_is_refused_with_its_place(void **state)
{
    static const struct {
        const char *text, *complaint;
    } rows[] = { { "a {{", "case:1:3:" },
                 { "\n{{#a}}", "case:2:1:" },
                 { "{{#a}}{{/b}}", "case:1:7:" },
                 { "{{/a}}", "case:1:1:" },
                 { "{{}}", "case:1:1:" },
                 { "{{a b}}", "case:1:1:" },
                 { "{{{a}}", "case:1:1:" },
                 { "{{=x}}", "case:1:1:" },
                 { "{{missing}}", "case:1: the variable" },
                 { "\n{{>none}}", "case:2: there is no" },
                 { "{{>self}}", "without end" },
                 { "{{object}}", "is no text" } };

    for (size_t i = 0; i < COUNT(rows); i++) {
        char *why = NULL;
        json_auto_t *data = json_pack("{s:{}}", "object"), *partials = json_pack("{s:s}", "self", "{{>self}}");
        g_free(render(rows[i].text, data, partials, true, &why));
        if (!why || !strstr(why, rows[i].complaint))
            fail_msg("%s: %s", rows[i].text, why ? why : "was taken");
        g_free(why);
    }
    g_autoptr(GString) deep = g_string_new(NULL);
    for (int i = 0; i < 1000; i++)
        g_string_append(deep, "{{#a}}");
    char *why = NULL;
    assert_null(mustache_compile("deep", deep->str, deep->len, "", &why));
    g_free(why);
}

static const json_t *on_value(void *arg, const char *name)
{
    return json_object_get(arg, name);
}

static int on_offset(void *arg, int64_t ms)
{
    return ms < INT64_C(1790000000000) ? 7200 : 3600;
}

static char *format(const char *locale, const char *pattern, json_t *args, char **why)
{
    struct icu_message *m = icu_message_parse(pattern, why);
    struct icu_env env = { args, on_value, instant_parse, on_offset, false };
    GString *out = g_string_new(NULL);

    if (m)
        *why = icu_message_format(m, locale, &env, out);
    icu_message_free(m);
    return g_string_free(out, FALSE);
}

static void plurals_follow_each_language(void **state)
{
    static const char *const all = "{n, plural, zero{zero} one{one} two{two} few{few} many{many} other{other}}";
    static const struct {
        const char *locale;
        int n;
        const char *category;
    } rows[] = { { "en", 1, "one" },     { "en", 0, "other" },      { "fr", 0, "one" },   { "fr", 1, "one" },
                 { "fr", 2, "other" },   { "fr", 1000000, "many" }, { "pl", 1, "one" },   { "pl", 2, "few" },
                 { "pl", 5, "many" },    { "pl", 12, "many" },      { "pl", 22, "few" },  { "ar", 0, "zero" },
                 { "ar", 1, "one" },     { "ar", 2, "two" },        { "ar", 3, "few" },   { "ar", 11, "many" },
                 { "ar", 100, "other" }, { "ja", 1, "other" },      { "lv", 0, "zero" },  { "lv", 11, "zero" },
                 { "lv", 21, "one" },    { "cy", 6, "many" },       { "de-AT", 1, "one" } };

    for (size_t i = 0; i < COUNT(rows); i++) {
        char *why = NULL;
        json_auto_t *args = json_pack("{s:i}", "n", rows[i].n);
        g_autofree char *text = format(rows[i].locale, all, args, &why);
        assert_null(why);
        if (strcmp(text, rows[i].category) != 0)
            fail_msg("%s %d is %s, not %s", rows[i].locale, rows[i].n, text, rows[i].category);
    }
}

static void messages_take_named_arguments_numbers_and_dates(void **state)
{
    static const struct {
        const char *locale, *pattern, *args, *out; /* out NULL: a complaint */
    } rows[] = {
        { "en", "Hello {name}!", "{\"name\":\"Ada\"}", "Hello Ada!" },
        { "de", "{n, number}", "{\"n\":1234.5}", "1.234,5" },
        { "en", "{g, select, f{she} m{he} other{they}}", "{\"g\":\"f\"}", "she" },
        { "en", "{n, plural, =0{none} one{# thing} other{# things}}", "{\"n\":0}", "none" },
        { "en", "{n, plural, offset:1 one{you and # other} other{you and # others}}", "{\"n\":2}", "you and 1 other" },
        { "en", "{n, selectordinal, one{#st} two{#nd} few{#rd} other{#th}}", "{\"n\":22}", "22nd" },
        { "de", "{d, date, long}", "{\"d\":\"2026-12-01T23:30:00Z\"}",
          "2. Dezember 2026" }, /* one hour east: already the next day */
        { "en", "{d, time, short}", "{\"d\":\"2026-07-01T09:00:00Z\"}",
          "11:00\xe2\x80\xaf"
          "AM" },
        { "de", "{d, date, long}", "{\"d\":\"2026-12-01\"}",
          "1. Dezember 2026" }, /* a calendar day is the same everywhere */
        { "de", "{p, number, ::currency/EUR}", "{\"p\":12.5}", "12,50\xc2\xa0\xe2\x82\xac" },
        { "fr", "L'ami {name}", "{\"name\":\"Jo\"}", "L'ami Jo" },
        { "en", "It''s '{'{name}'}'", "{\"name\":\"Jo\"}", "It's {Jo}" },
        { "en", "{n, plural, one{'#' is #} other{'#' are #}}", "{\"n\":2}", "# are 2" },
        { "de", "{p, number, ::currency/EUR}", "{\"p\":\"1234.50\"}", "1.234,50\xc2\xa0\xe2\x82\xac" },
        { "en", "{p, number, percent}", "{\"p\":0.25}", "25%" },
        { "en", "{p, number, ::percent scale/100 .0}", "{\"p\":0.255}", "25.5%" },
        { "en", "{p, number, ::compact-short}", "{\"p\":12300}", "12K" },
        { "en", "{p, number, ::unit/kilometer unit-width-full-name}", "{\"p\":3}", "3 kilometers" },
        { "en", "{p, number, integer}", "{\"p\":3.5}", "4" },
        { "en", "{p, number, #0.00}", "{\"p\":3}", "3.00" },
        { "en", "{p, spellout}", "{\"p\":21}", "twenty-one" },
        { "en", "{n, plural, one{# kilo} other{# kilos}}", "{\"n\":\"1.0\"}", "1.0 kilos" },
        { "en", "{n, plural, one{# kilo} other{# kilos}}", "{\"n\":1.0}", "1 kilo" },
        { "en", "{n, plural, one{#} other{#}}", "{\"n\":1234567}", "1,234,567" },
        { "ar-EG", "{n}", "{\"n\":12}", "\xd9\xa1\xd9\xa2" },
        { "en",
          "{n, plural, one{{g, select, f{her} other{their}} # box} other{{g, select, f{her} other{their}} # boxes}}",
          "{\"n\":2,\"g\":\"x\"}", "their 2 boxes" },
        { "en", "{g, select, yes{y} other{no: {missing}}}", "{\"g\":\"yes\"}", "y" }, /* only what is said */
        { "en", "{b, select, true{on} other{off}}", "{\"b\":true}", "on" },
        { "de", "{d, date, ::MMMMd}", "{\"d\":\"2026-12-01\"}", "1. Dezember" },
        { "en", "{d, date, yyyy-MM-dd}", "{\"d\":\"2026-12-01\"}", "2026-12-01" },
        { "en", "{a, date, short} {b, time, ::Hmm}", "{\"a\":\"2026-07-01T09:00:00Z\",\"b\":\"2026-12-01T09:00:00Z\"}",
          "7/1/26 10:00" }, /* each in its own season */
        { "en", "{n, number, ::frobnicate}", "{\"n\":1}", NULL },
        { "en", "{n, choice, 0#a|1#b}", "{\"n\":1}", NULL },
        { "en", "{n, plural, one{a} other{b}}", "{\"n\":\"1.\"}", NULL },
        { "en", "{name}", "{}", NULL },
        { "en", "{n, plural, one{a} other{b}}", "{\"n\":\"x\"}", NULL },
        { "en", "{d, date}", "{\"d\":\"soon\"}", NULL },
        { "en", "{n, plural, one{a}}", "{}", NULL },
        { "en", "{n, frob}", "{}", NULL },
        { "en", "{", "{}", NULL }
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        char *why = NULL;
        json_auto_t *args = json_loads(rows[i].args, 0, NULL);
        g_autofree char *text = format(rows[i].locale, rows[i].pattern, args, &why);
        if (rows[i].out) {
            if (why || strcmp(text, rows[i].out) != 0)
                fail_msg("%s: \"%s\" %s", rows[i].pattern, text, why ? why : "");
        } else if (!why)
            fail_msg("%s was taken", rows[i].pattern);
        g_free(why);
    }
}

static void locales_fall_back_by_their_chain(void **state)
{
    static const struct {
        const char *wanted, *chain;
    } rows[] = { { "de-AT", "de-AT de en" },
                 { "zh-TW", "zh-TW zh-Hant-TW zh-Hant en" },
                 { "zh-Hant-TW", "zh-Hant-TW zh-TW zh-Hant en" },
                 { "zh-HK", "zh-HK zh-Hant-HK zh-Hant en" },
                 { "zh-CN", "zh-CN zh-Hans-CN zh-Hans zh en" },
                 { "zh", "zh zh-Hans-CN zh-CN zh-Hans en" },
                 { "sr-RS", "sr-RS sr-Cyrl-RS sr-Cyrl sr en" },
                 { "sr_RS@latin", "sr-Latn-RS sr-Latn en" },
                 { "no", "no nb en" },
                 { "es-MX", "es-MX es-419 es en" },
                 { "es-ES", "es-ES es en" },
                 { "en-AU", "en-AU en-001 en" },
                 { "pt-AO", "pt-AO pt-PT pt en" },
                 { "nb", "nb no en" },
                 { "sr-ME", "sr-ME sr-Latn-ME sr-Latn en" },
                 { "sr-Latn-RS", "sr-Latn-RS sr-Latn en" },
                 { "EN_us.UTF-8", "en-US en" },
                 { "iw", "he en" },
                 { "../../etc", "en" },
                 { "root", "en" },
                 { "", "en" },
                 { "x-private", "en" },
                 { "und", "en" } };

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct locale_chain chain;
        g_autoptr(GString) text = g_string_new(NULL);
        locale_chain_make(&chain, rows[i].wanted, "en");
        for (int n = 0; n < chain.count; n++)
            g_string_append_printf(text, "%s%s", n ? " " : "", chain.tags[n]);
        assert_string_equal(text->str, rows[i].chain);
    }
    assert_true(locale_is_rtl("ar") && locale_is_rtl("he") && !locale_is_rtl("de"));
    /* so long that, spelled out, it is longer than any tag may be: found by fuzzing */
    static const char endless[] = "zh-hanatzh-7hzh-hanzh-haanazh-huazh-hnazh-anzhntt-ta2haw-abcdefgh";
    for (size_t len = 0; len < sizeof endless; len++) {
        struct locale_chain chain;
        g_autofree char *tag = g_strndup(endless, len);
        locale_chain_make(&chain, tag, "en");
        assert_string_equal(chain.tags[chain.count - 1], "en");
    }
}

static void html_becomes_readable_text(void **state)
{
    static const struct {
        const char *html, *text;
    } rows[] = {
        { "<p>One &amp; <b>two</b></p><p>three", "One & two\n\nthree\n" },
        { "<ul><li>a<li>b</ul>", "- a\n- b\n" },
        { "<a href='https://x.example/'>here</a>", "here (https://x.example/)\n" },
        { "<style>p{}</style><div style='display: none'>hidden</div>seen<br>below", "seen\nbelow\n" },
        { "<img alt='logo'>", "logo\n" },
        { "<ol><li>a<li>b<ul><li>c</ul></ol>", "1. a\n2. b\n   - c\n" },
        { "<table><tr><th>Item<th>Price<tr><td>Tea<td>3 &euro;</table>", "Item Price\nTea 3 \xe2\x82\xac\n" },
        { "<blockquote>one<br>two</blockquote>", "> one\n> two\n" },
        { "<p>a</p><hr><p>b", "a\n\n----------------------------------------\n\nb\n" },
        { "<pre>x  y\n z</pre>", "x  y\n z\n" },
        { "<a href='mailto:a@b.c'>write</a> <a href='https://x.y'>https://x.y</a> <a href='#top'>up</a>",
          "write (a@b.c) https://x.y up\n" },
        { "<p hidden>no</p><DIV STYLE='Display : None'>no</DIV>yes", "yes\n" },
        { "aaaaaaaaa aaaaaaaaa aaaaaaaaa aaaaaaaaa aaaaaaaaa aaaaaaaaa aaaaaaaaa aaaaaa bbb",
          "aaaaaaaaa aaaaaaaaa aaaaaaaaa aaaaaaaaa aaaaaaaaa aaaaaaaaa aaaaaaaaa aaaaaa\nbbb\n" },
        { "\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6"
          "\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2"
          "\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc"
          "\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6"
          "\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe5\xad\x97\xe3\x80\x82",
          "\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6"
          "\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2"
          "\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc"
          "\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\xe6"
          "\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2\n\xe5\xad\x97\xe3\x80\x82\n" }, /* 37 wide ones, then two kept together */
        { "a\xe7", "a\xef\xbf\xbd\n" },                                     /* found by fuzzing */
        { "", "" }
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        g_autoptr(GString) out = g_string_new(NULL);
        html_text(rows[i].html, strlen(rows[i].html), out);
        assert_string_equal(out->str, rows[i].text);
    }
}

/* ---------------------------------------------------------------- text by shape */

static void on_shape_value(void *arg, size_t from, size_t to, bool raw)
{
    struct html_value v = { from, to, raw };
    g_array_append_val((GArray *)arg, v);
}

/* The same text, whether what stands around the values was parsed for these values or for others before. */
static void check_shape(struct html_shapes *shapes, const struct mustache *m, const json_t *context)
{
    g_autoptr(GString) html = g_string_new(NULL), whole = g_string_new(NULL), text = g_string_new(NULL);
    g_autoptr(GArray) values = g_array_new(FALSE, FALSE, sizeof(struct html_value));
    struct mustache_env env = { .html = true, .arg = values, .value = on_shape_value };

    assert_null(mustache_render(m, &env, context, html));
    html_text(html->str, html->len, whole);
    html_text_by_shape(shapes, html, (struct html_value *)(void *)values->data, values->len, text);
    if (strcmp(whole->str, text->str) != 0)
        fail_msg("%s\nwhole: \"%s\"\nby shape: \"%s\"", html->str, whole->str, text->str);
}

static void a_text_made_by_shape_is_that_of_the_whole_document(void **state)
{
    static const char *const documents[] = {
        "<p>{{a}}</p><p>{{b}}</p>",
        "<p>Hello {{a}}, {{b}}!</p>",
        "<p>{{a}}{{b}}</p>",
        "<p>x {{a}} <b>{{b}}</b> y</p>",
        "<a href=\"{{a}}\">{{b}}</a>",
        "<a href=\"https://x.y/{{a}}?q={{b}}\">go</a> on",
        "<a href='{{a}}'></a>|<a href='#{{b}}'>up</a>",
        "<a href=\"mailto:{{a}}\">{{b}}</a>",
        "<a href={{a}}>{{b}}</a>",
        "<img src=\"{{a}}\" alt=\"a {{b}} picture\">",
        "<div style=\"{{a}}\">{{b}}</div>z",
        "<div {{a}}>{{b}}</div>z",
        "<{{a}}>{{b}}</{{a}}>z",
        "<ol start=\"{{a}}\"><li>{{b}}<li>y</ol>",
        "<ul><li>{{a}}<ul><li>{{b}}</ul><li>z</ul>",
        "<ul>{{a}}<li>x</li> {{b}} </ul>",
        "<table><tr><td>{{a}}</td><td>{{b}}</td></tr>{{a}}</table>",
        "<table>\n <tr> <td> {{a}} </td>\n <td>{{b}}</td> </tr> </table>",
        "<pre>x  {{a}}\n {{b}}</pre>y",
        "<blockquote><p>{{a}}</p>{{b}}</blockquote>",
        "<title>{{a}}</title><style>{{b}}</style><p>x</p>",
        "<head><title>{{a}}</title></head><body>{{b}}</body>",
        "<!-- {{a}} --><p hidden>{{b}}</p>c",
        "{{a}}<br>{{b}}",
        "{{a}}",
        "a&{{a}};&am{{b}};&#{{a}};",
        "<p>{{{a}}}</p><p>{{&b}}</p>",
        "{{#a}}<p>{{b}}</p>{{/a}}{{^b}}<hr>{{/b}}",
        "<p>\357\243\2600\357\243\261 {{a}}</p>",
        "<p title='{{a}}' hidden>{{b}}</p><hr>{{b}}",
        "<span> {{a}} </span> <span>{{b}}</span>",
    };
    static const char *const words[] = {
        "",
        " ",
        "\n",
        "a",
        " a ",
        "<b>bold</b>",
        "R & D",
        "O'Neil \"x\"",
        "https://x.y/?a=b&c=d",
        "\xe6\xbc\xa2\xe5\xad\x97\xe3\x80\x82",
        "two\nlines",
        "x\x01y",
        "-->",
        "amp",
        "hidden",
        "display:none",
        "p",
        "5",
        "#top",
        "\342\201\250a\342\201\251",
        "\xef\xbf\xbe",
        "a long text of more than one line, which has to be cut where a word ends and not before"
    };

    for (size_t d = 0; d < COUNT(documents); d++) {
        char *why = NULL;
        struct mustache *m = mustache_compile("document", documents[d], strlen(documents[d]), "", &why);
        struct html_shapes *shapes = html_shapes_new();
        assert_non_null(m);
        for (size_t i = 0; i < COUNT(words) * COUNT(words); i++) {
            json_auto_t *context = json_pack("{s:s, s:s}", "a", words[i % COUNT(words)], "b", words[i / COUNT(words)]);
            check_shape(shapes, m, context);
        }
        html_shapes_free(shapes);
        mustache_free(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_made_by_shape_is_that_of_the_whole_document),
        cmocka_unit_test(every_case_of_mustache_renders_as_expected),
        cmocka_unit_test(a_template_that_cannot_work_is_refused_with_its_place),
        cmocka_unit_test(plurals_follow_each_language),
        cmocka_unit_test(messages_take_named_arguments_numbers_and_dates),
        cmocka_unit_test(locales_fall_back_by_their_chain),
        cmocka_unit_test(html_becomes_readable_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
