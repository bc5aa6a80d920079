#include "dispatcher/config/config.h"

#include <stdlib.h>
#include <string.h>

#include "dispatcher/config/settings.h"
#include "dispatcher/config/yaml.h"

static char *find_file(const char *file)
{
    if (file)
        return g_strdup(file);
    const char *named = getenv("TIDINGS_CONFIG");
    if (named && *named)
        return g_strdup(named);
    return g_file_test("tidings.yaml", G_FILE_TEST_EXISTS) ? g_strdup("tidings.yaml") : NULL;
}

struct config *config_load(const char *name, char **why)
{
    g_autofree char *file = find_file(name), *text = NULL;
    struct config *c = g_new0(struct config, 1);
    GError *error = NULL;
    gsize len = 0;

    c->file = g_strdup(file ? file : "(built-in)");
    c->dir = file ? g_path_get_dirname(file) : g_strdup(".");
    *why = NULL;
    if (file && !g_file_get_contents(file, &text, &len, &error)) {
        *why = g_strdup_printf("%s:1: %s", file, error->message);
        g_error_free(error);
    } else {
        c->root = yaml_parse(c->file, text ? text : "", len, YAML_TEXT, &c->lines, why);
        if (c->root && !(*why = settings_expand(c->root, c->lines, c->file)))
            *why = settings_check(c->root, c->lines, c->file);
    }
    if (!*why)
        return c;
    config_free(c);
    return NULL;
}

void config_free(struct config *c)
{
    if (!c)
        return;
    json_decref(c->root);
    if (c->lines)
        g_hash_table_unref(c->lines);
    g_free(c->file);
    g_free(c->dir);
    g_free(c);
}

char *config_path(const struct config *c, const json_t *at, const char *setting)
{
    const char *path = setting_text(at, setting);

    if (!path)
        return NULL;
    if (g_path_is_absolute(path) || strcmp(c->dir, ".") == 0)
        return g_strdup(path);
    return g_build_filename(c->dir, g_str_has_prefix(path, "./") ? path + 2 : path, NULL);
}

char *config_complaint(const struct config *c, const char *path, const char *what)
{
    int line = c->lines ? GPOINTER_TO_INT(g_hash_table_lookup(c->lines, path)) : 0;
    return g_strdup_printf("%s:%d: %s %s", c->file, line ? line : 1, path, what);
}

/* Links stand in headers, so an international name is written in ASCII (RFC 5890). */
static char *ascii_host(const char *url)
{
    const char *begin = strstr(url, "://") ? strstr(url, "://") + 3 : url, *end = begin + strcspn(begin, ":/?#");
    g_autofree char *host = g_strndup(begin, (gsize)(end - begin)), *ascii = g_hostname_to_ascii(host);

    return g_strdup_printf("%.*s%s%s", (int)(begin - url), url, ascii ? ascii : host, end);
}

char *config_public_url(const struct config *c)
{
    const char *url = setting_text(c->root, "http.public_url");
    const char *listen = setting_text(c->root, "http.listen");

    if (!url)
        return g_str_has_prefix(listen, "unix:") ? g_strdup("http://localhost") : g_strconcat("http://", listen, NULL);
    size_t len = strlen(url);
    while (len && url[len - 1] == '/')
        len--;
    g_autofree char *plain = g_strndup(url, len);
    return ascii_host(plain);
}
