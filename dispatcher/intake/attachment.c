#include "dispatcher/intake/attachment.h"

#include <glib.h>
#include <string.h>

#include "channels/mime.h"
#include "dispatcher/base/problem.h"
#include "dispatcher/people/recipient.h"

struct checking {
    json_t *errors;
    char pointer[64]; /* "/attachments/0" */
    size_t bytes;
};

static void complain(struct checking *c, const char *key, const char *why)
{
    g_autofree char *pointer = g_strdup_printf("%s/%s", c->pointer, key);
    if (why)
        problem_add(c->errors, pointer, "%s", why);
}

/* Letters, digits, + and /, then at most two = ; line breaks are not base64 here. */
static bool base64_good(const char *text)
{
    size_t len = strlen(text), letters = len;

    while (letters && text[letters - 1] == '=')
        letters--;
    if (len == 0 || len % 4 || len - letters > 2)
        return false;
    for (size_t i = 0; i < letters; i++)
        if (!g_ascii_isalnum(text[i]) && text[i] != '+' && text[i] != '/')
            return false;
    return true;
}

static void check_content(struct checking *c, const json_t *value)
{
    const char *text = json_string_value(value);
    size_t len = text ? strlen(text) : 0;

    if (!text || !base64_good(text))
        complain(c, "content", text ? "is no base64" : "is required: the file's bytes as base64");
    else
        c->bytes += len / 4 * 3 - (text[len - 1] == '=') - (text[len - 2] == '=');
}

static void check_text(struct checking *c, const json_t *item, const char *key, const char *(*check)(const char *),
                       bool required)
{
    const json_t *value = json_object_get(item, key);

    if (value || required)
        complain(c, key,
                 json_is_string(value) ? check(json_string_value(value))
                 : value               ? "must be a text"
                                       : "is required");
}

static void check_one(struct checking *c, const json_t *item)
{
    static const char *const known[] = { "filename", "content_type", "content", "cid", NULL };
    const char *key;
    json_t *value;

    if (!json_is_object(item)) {
        problem_add(c->errors, c->pointer, "must be an object with filename, content_type and content");
        return;
    }
    json_object_foreach ((json_t *)item, key, value)
        if (!g_strv_contains(known, key))
            complain(c, key,
                     strcmp(key, "url") == 0 ? "is not fetched; send the file's bytes as \"content\""
                                             : "is no field of an attachment");
    check_text(c, item, "filename", mime_filename_check, true);
    check_text(c, item, "content_type", mime_type_check, false);
    check_text(c, item, "cid", mime_cid_check, false);
    check_content(c, json_object_get(item, "content"));
}

static void check_cids(const json_t *list, json_t *errors)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    json_t *item;
    size_t i;

    json_array_foreach ((json_t *)list, i, item) {
        const char *cid = json_string_value(json_object_get(item, "cid"));
        g_autofree char *pointer = g_strdup_printf("/attachments/%zu/cid", i);
        if (cid && !g_hash_table_add(seen, (char *)cid))
            problem_add(errors, pointer, "stands in the list already");
    }
}

void attachments_check(const json_t *list, size_t max_bytes, json_t *errors)
{
    struct checking c = { .errors = errors };
    json_t *item;
    size_t i;

    if (!json_is_array(list) || json_array_size(list) > MIME_MAX_ATTACHMENTS) {
        problem_add(errors, "/attachments", "must be a list of at most %d files", MIME_MAX_ATTACHMENTS);
        return;
    }
    json_array_foreach ((json_t *)list, i, item) {
        g_snprintf(c.pointer, sizeof c.pointer, "/attachments/%zu", i);
        check_one(&c, item);
    }
    check_cids(list, errors);
    if (c.bytes > max_bytes)
        problem_add(errors, "/attachments", "are %zu bytes; email.max_attachments is %zu", c.bytes, max_bytes);
}

size_t attachments_text_bytes(const json_t *list)
{
    size_t bytes = 0, i;
    json_t *item;

    json_array_foreach ((json_t *)list, i, item)
        bytes += json_string_length(json_object_get(item, "content"));
    return bytes;
}
