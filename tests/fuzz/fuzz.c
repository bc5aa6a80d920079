/*
 * Every parser, one libFuzzer target each (FUZZ_mustache …), built by the preset ci-clang:
 *
 *     build/ci-clang/tests/fuzz_mustache -max_total_time=600 tests/fuzz/corpus/mustache
 */
#include <glib.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

#if defined FUZZ_mustache
#include "templates/mustache.h"

static void *on_prepare(const char *text, size_t len)
{
    return g_strndup(text, len);
}

static void on_literal(void *arg, size_t at, const void *prepared)
{
    GString *out = arg;
    g_assert(at == out->len && prepared);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char *why = NULL;
    struct mustache *m = mustache_compile("fuzz", (const char *)data, len, "  ", &why);
    static const struct mustache_literals literals = { on_prepare, g_free };
    struct mustache_env env = { .html = true, .literal = on_literal };

    if (m) {
        mustache_prepare(m, &literals);
        json_auto_t *context =
            json_pack("{s:s, s:[{s:i}, {s:i}], s:{s:f}}", "a", "<x>", "l", "n", 1, "n", 2, "o", "r", 1.5);
        g_autoptr(GString) out = g_string_new(NULL);
        env.arg = out;
        why = mustache_render(m, &env, context, out);
    }
    mustache_free(m);
    g_free(why);
    return 0;
}
#elif defined FUZZ_icu
#include "schedules/instant.h"
#include "templates/icu_message.h"

static const json_t *on_value(void *arg, const char *name)
{
    return json_object_get(arg, name);
}

static int on_offset(void *arg, int64_t ms)
{
    return 3600;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    g_autofree char *text = g_strndup((const char *)data, len);
    char *why = NULL;
    struct icu_message *m = g_utf8_validate(text, -1, NULL) ? icu_message_parse(text, &why) : NULL;

    if (m) {
        int64_t number = 0;
        memcpy(&number, data, MIN(len, sizeof number));
        json_auto_t *args =
            json_pack("{s:I, s:s, s:s}", "n", (json_int_t)number, "name", text, "d", "2026-12-01T09:00:00Z");
        if (len % 3 == 0)
            json_object_set_new(args, "d", json_integer((json_int_t)number));
        struct icu_env env = { args, on_value, instant_parse, on_offset, true };
        g_autoptr(GString) out = g_string_new(NULL);
        why = icu_message_format(m, "pl", &env, out);
    }
    icu_message_free(m);
    g_free(why);
    return 0;
}
#elif defined FUZZ_html
#include "templates/html_check.h"
#include "templates/html_text.h"
#include "templates/mustache.h"

static void on_finding(void *arg, bool error, int line, const char *what)
{
    g_assert(line >= 0 && *what);
}

static void on_value(void *arg, size_t from, size_t to, bool raw)
{
    struct html_value v = { from, to, raw };
    g_array_append_val((GArray *)arg, v);
}

/* The text by shape is that of the whole document: the input as a template, with values that are awkward in turn. */
static void compare(struct mustache *m, struct html_shapes *shapes, const char *a, const char *b)
{
    g_autoptr(GString) html = g_string_new(NULL), whole = g_string_new(NULL), text = g_string_new(NULL);
    g_autoptr(GArray) values = g_array_new(FALSE, FALSE, sizeof(struct html_value));
    struct mustache_env env = { .html = true, .arg = values, .value = on_value };
    json_auto_t *context = json_pack("{s:s, s:s, s:i, s:[s, s]}", "a", a, "b", b, "n", 12, "l", a, b);
    char *why = mustache_render(m, &env, context, html);

    g_free(why);
    if (why)
        return;
    html_text(html->str, html->len, whole);
    html_text_by_shape(shapes, html, (struct html_value *)(void *)values->data, values->len, text);
    g_assert_cmpstr(whole->str, ==, text->str);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    g_autoptr(GString) out = g_string_new(NULL);
    char *why = NULL;
    struct mustache *m = mustache_compile("fuzz", (const char *)data, len, "", &why);
    struct html_shapes *shapes = html_shapes_new();

    g_free(why);
    if (m) {
        compare(m, shapes, "x", "y z");
        compare(m, shapes, "<b> & 'c' \"d\"", "https://x.y/?a=b&c");
        compare(m, shapes, "", "\n");
        mustache_free(m);
    }
    html_shapes_free(shapes);
    html_text((const char *)data, len, out);
    g_assert(g_utf8_validate_len(out->str, out->len, NULL));
    html_check((const char *)data, len, on_finding, NULL);
    return 0;
}
#elif defined FUZZ_sms
#include "channels/gsm.h"

/* The first byte chooses what is done. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    g_autofree char *raw = g_strndup((const char *)data + (len > 0), len - (len > 0)),
                    *text = g_utf8_make_valid(raw, -1);
    g_autoptr(GString) sms = g_string_new(text);
    int cut = len ? data[0] & 7 : 0;

    sms_prepare(sms, len && data[0] & 8, cut);
    g_assert(g_utf8_validate(sms->str, (gssize)sms->len, NULL));
    struct sms_size size = sms_measure(sms->str);
    g_assert(size.segments >= 1 && (!cut || size.segments <= cut));
    return 0;
}
#elif defined FUZZ_mail
#include "channels/address.h"
#include "channels/mime.h"

static void check_wire(const GString *out)
{
    for (size_t i = 0, column = 0; i < out->len;
         i++) { /* 7 bit, short lines, no bare line ends, no dot that ends the mail */
        g_assert((unsigned char)out->str[i] < 0x80 && out->str[i]);
        g_assert(out->str[i] != '\n' || (i && out->str[i - 1] == '\r'));
        g_assert(column || out->str[i] != '.');
        column = out->str[i] == '\n' ? 0 : column + 1;
        g_assert(column <= 998);
    }
}

/* The text in two pieces, the first of them encoded beforehand. */
static void check_literals(const char *text, size_t len, size_t cut)
{
    g_autoptr(GString) whole = g_string_new(NULL), pieces = g_string_new(NULL);
    struct qp_literal *literal = qp_literal_new(text, cut);
    struct qp_span span = { 0, literal };

    transfer_qp(whole, text, len, NULL, 0);
    transfer_qp(pieces, text, len, &span, 1);
    g_assert_cmpstr(whole->str, ==, pieces->str);
    qp_literal_free(literal);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    g_autofree char *raw = g_strndup((const char *)data, len), *text = g_utf8_make_valid(raw, -1);
    char address[ADDRESS_SIZE];
    g_autoptr(GString) out = g_string_new(NULL);
    struct mime_text body = { .text = text, .len = strlen(text) };
    struct mime_attachment files[] = { { text, "text/plain", NULL, data, len }, { "x.png", text, "x", data, len } };
    struct mail m = { .from = "a@example.com",
                      .from_name = text,
                      .to = "b@example.com",
                      .subject = text,
                      .text = body,
                      .html = body,
                      .message_id = "x@example.com" };

    (void)address_email(address, raw);
    (void)address_phone(address, raw);
    check_literals(text, body.len, len ? data[0] % (body.len + 1) : 0);
    if (mime_compose(&m, out) == NULL)
        check_wire(out);
    m.subject = "x";
    m.from_name = NULL;
    m.in_reply_to = mime_id_good(text) ? text : NULL;
    m.feedback_id = "campaign:template:category:sender";
    m.attachments = files;
    m.attachment_count = 2;
    if (mime_type_check(text))
        files[1].content_type = "image/png";
    if (mime_filename_check(text))
        files[0].filename = "x";
    g_string_truncate(out, 0);
    g_assert(mime_compose(&m, out) == NULL);
    check_wire(out);
    return 0;
}
#elif defined FUZZ_yaml
#include "dispatcher/config/settings.h"
#include "dispatcher/config/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    GHashTable *lines = NULL;
    char *why = NULL;
    json_t *config = yaml_parse("fuzz", (const char *)data, len, YAML_TEXT, &lines, &why);

    if (config) {
        g_free(settings_expand(config, lines, "fuzz"));
        g_free(settings_check(config, lines, "fuzz"));
        g_hash_table_unref(lines);
    }
    json_decref(config);
    g_free(why);
    return 0;
}
#elif defined FUZZ_sequence
#include "dispatcher/config/yaml.h"
#include "schedules/duration.h"
#include "schedules/machine.h"

static void on_complaint(void *arg, bool error, const char *at, const char *detail)
{
    g_assert(at && *detail);
}

static const struct sequence *on_find(void *arg, const char *name, const char *version)
{
    return arg;
}

static void on_id(void *arg, const char *seed, char id[static MACHINE_ID_SIZE])
{
    g_snprintf(id, MACHINE_ID_SIZE, "%08x", g_str_hash(seed));
}

/* All waves are open. */
static const json_t *on_standing(void *arg, const struct sequence *s)
{
    static json_t *standing;
    json_t *waves = json_object();

    json_decref(standing);
    for (guint i = 0; i < s->waves->len; i++)
        json_object_set_new(waves, ((const struct wave *)s->waves->pdata[i])->name,
                            json_pack("{s:s}", "state", "open"));
    standing = json_pack("{s:o}", "waves", waves);
    return standing;
}

/* A definition that is sound is played: somebody is enrolled and let in, becomes somebody else, messages
 * arrive, nothing else happens. */
static void play(struct sequence *s)
{
    static const struct almanac none;
    g_autoptr(GPtrArray) current = g_ptr_array_new(),
                         effects = g_ptr_array_new_with_free_func((GDestroyNotify)effect_free);
    json_auto_t *event = json_pack("{s:s, s:s, s:I, s:I, s:{s:s, s:i}}", "i", "e", "n", "x", "t",
                                   (json_int_t)1796000000000, "a", (json_int_t)1796000000000, "d", "kind", "a", "n", 1),
                *kept = json_array();
    struct person_runs *p = person_read("");
    struct situation in = { .now = 1796000000000,
                            .recipient = "ada",
                            .zone = zone_open("Europe/Berlin"),
                            .almanac = &none,
                            .kept = kept,
                            .current = current,
                            .find = on_find,
                            .make_id = on_id,
                            .standing = on_standing,
                            .arg = s };

    g_ptr_array_add(current, s);
    json_array_append(kept, event);
    machine_enroll(&in, p, s, event, false, effects);
    if (p->runs->len)
        machine_release(&in, p, ((const struct run *)p->runs->pdata[0])->id, effects);
    for (int i = 0; i < 50; i++) {
        if (i == 1) {
            struct person_runs *before = p;
            p = person_read("");
            machine_absorb(&in, p, "bo", before, effects);
            person_free(before);
        }
        for (guint k = 0; k < effects->len; k++) {
            const struct effect *e = effects->pdata[k];
            g_autofree char *id = e->kind == EFFECT_SEND ? g_strdup(e->message) : NULL;
            if (id)
                machine_message(&in, p, id, "sent", "", effects);
        }
        g_ptr_array_set_size(effects, 0);
        char *text = person_write(p);
        person_free(p);
        p = person_read(text);
        g_assert(p);
        free(text);
        int64_t due = machine_due(&in, p);
        if (due < 0)
            break;
        in.now = MAX(due, in.now);
        machine_look(&in, p, effects);
    }
    person_free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    GHashTable *lines = NULL;
    char *why = NULL;
    json_t *definition = yaml_parse("fuzz", (const char *)data, len, YAML_TYPED, &lines, &why);
    struct complaints c = { on_complaint, NULL, 0 };

    if (definition) {
        struct sequence *s = sequence_read(&c, "fuzz", definition);
        g_assert(!s == (c.errors > 0));
        if (s) {
            sequence_longest(s);
            play(s);
        }
        sequence_free(s);
        g_hash_table_unref(lines);
    }
    json_decref(definition);
    g_free(why);
    return 0;
}
#elif defined FUZZ_times
#include "dispatcher/base/token.h"
#include "schedules/duration.h"
#include "schedules/instant.h"
#include "schedules/zone.h"
#include "templates/locale.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    g_autofree char *text = g_strndup((const char *)data, len);
    int64_t ms;
    struct civil c;
    struct locale_chain chain;
    struct token token;

    if (instant_parse(&ms, text) == NULL) {
        char buf[32];
        int64_t again;
        g_assert(instant_parse(&again, instant_format(buf, ms)) == NULL && again == ms);
    }
    (void)duration_parse(&ms, text);
    (void)civil_parse(&c, text);
    (void)zone_open(text);
    locale_chain_make(&chain, text, "en");
    g_assert(!token_read("secret", TOKEN_INBOX, text, 0, &token));
    return 0;
}
#endif
