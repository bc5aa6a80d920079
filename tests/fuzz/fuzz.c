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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char *why = NULL;
    struct mustache *m = mustache_compile("fuzz", (const char *)data, len, "  ", &why);
    struct mustache_env env = { .html = true };

    if (m) {
        json_auto_t *context =
            json_pack("{s:s, s:[{s:i}, {s:i}], s:{s:f}}", "a", "<x>", "l", "n", 1, "n", 2, "o", "r", 1.5);
        g_autoptr(GString) out = g_string_new(NULL);
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
        json_auto_t *args = json_pack("{s:i, s:s, s:s}", "n", 3, "name", "Ada", "d", "2026-12-01T09:00:00Z");
        struct icu_env env = { args, on_value, instant_parse, on_offset };
        g_autoptr(GString) out = g_string_new(NULL);
        why = icu_message_format(m, "pl", &env, out);
    }
    icu_message_free(m);
    g_free(why);
    return 0;
}
#elif defined FUZZ_html
#include "templates/html_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    g_autoptr(GString) out = g_string_new(NULL);

    html_text((const char *)data, len, out);
    return 0;
}
#elif defined FUZZ_mail
#include "channels/address.h"
#include "channels/gsm.h"
#include "channels/mime.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    g_autofree char *raw = g_strndup((const char *)data, len), *text = g_utf8_make_valid(raw, -1);
    char address[ADDRESS_SIZE];
    g_autoptr(GString) out = g_string_new(NULL);
    struct mail m = { .from = "a@example.com",
                      .from_name = text,
                      .to = "b@example.com",
                      .subject = text,
                      .text = { .text = text, .len = strlen(text) },
                      .html = { .text = text, .len = strlen(text) },
                      .message_id = "x@example.com" };

    (void)address_email(address, raw);
    (void)address_phone(address, raw);
    sms_measure(text);
    if (mime_compose(&m, out) == NULL)
        for (size_t i = 0, column = 0; i < out->len;
             i++) { /* 7 bit, short lines, no bare line ends, no dot that ends the mail */
            g_assert((unsigned char)out->str[i] < 0x80 && out->str[i]);
            g_assert(out->str[i] != '\n' || (i && out->str[i - 1] == '\r'));
            g_assert(column || out->str[i] != '.');
            column = out->str[i] == '\n' ? 0 : column + 1;
            g_assert(column <= 998);
        }
    return 0;
}
#elif defined FUZZ_yaml
#include "dispatcher/base/settings.h"
#include "dispatcher/base/yaml.h"

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
        g_assert(instant_parse(&again, instant_format(buf, ms)) == NULL && (again == ms || ms < -62135596800000));
    }
    (void)duration_parse(&ms, text);
    (void)civil_parse(&c, text);
    (void)zone_open(text);
    locale_chain_make(&chain, text, "en");
    g_assert(!token_read("secret", TOKEN_INBOX, text, 0, &token));
    return 0;
}
#endif
