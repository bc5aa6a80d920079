#include "dispatcher/http/head.h"

#include <string.h>

#define URI_MAX    8192
#define FIELDS_MAX 64

void head_count(struct head *h, const char *name, const char *value)
{
    bool length = g_ascii_strcasecmp(name, "Content-Length") == 0;

    h->lengths += length;
    h->encodings += g_ascii_strcasecmp(name, "Transfer-Encoding") == 0;
    h->hosts += g_ascii_strcasecmp(name, "Host") == 0;
    h->keys += g_ascii_strcasecmp(name, "Idempotency-Key") == 0;
    h->bad |= *name == '\0' || strpbrk(name, " \t") != NULL;
    h->bad |= length && (!*value || value[strspn(value, "0123456789")]);
}

const char *head_fault(const struct head *h)
{
    if (h->bad || h->lengths > 1 || h->encodings > 1 || (h->lengths && h->encodings))
        return "the length of the request is said twice, or wrongly";
    if (h->hosts > 1 || h->keys > 1)
        return "a header that may stand once stands twice";
    return NULL;
}

/* "name=value"; an empty name says nothing. */
static bool take_field(GHashTable *query, const char *pair)
{
    const char *equals = strchr(pair, '=');
    g_autofree char *name = g_uri_unescape_segment(pair, equals, NULL);
    g_autofree char *value = equals ? g_uri_unescape_string(equals + 1, NULL) : g_strdup("");

    if (!name || !value)
        return false;
    if (*name)
        g_hash_table_insert(query, g_steal_pointer(&name), g_steal_pointer(&value));
    return true;
}

bool head_split(const char *uri, char **path, GHashTable **query)
{
    const char *mark = strchr(uri, '?');

    if (*uri != '/' || strlen(uri) > URI_MAX)
        return false;
    g_autoptr(GHashTable) fields = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_auto(GStrv) pairs = g_strsplit(mark ? mark + 1 : "", "&", FIELDS_MAX);
    for (char **p = pairs; *p; p++)
        if (!take_field(fields, *p))
            return false;
    *path = mark ? g_strndup(uri, (gsize)(mark - uri)) : g_strdup(uri);
    *query = g_steal_pointer(&fields);
    return true;
}

bool head_is_type(const char *value, const char *type)
{
    size_t len = strlen(type);

    if (g_ascii_strncasecmp(value, type, len) != 0 || !strchr("; \t", value[len]))
        return false;
    g_autofree char *rest = g_ascii_strdown(value + len, -1);
    const char *charset = strstr(rest, "charset=");
    return !charset || g_str_has_prefix(charset + 8, "utf-8") || g_str_has_prefix(charset + 8, "\"utf-8");
}
