#include "dispatcher/store/wire/address.h"

#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/config/settings.h"
#include "dispatcher/config/values.h"

bool place_parse(struct redis_place *p, const char *text)
{
    const char *colon = strrchr(text, ':');
    size_t len = colon ? (size_t)(colon - text) : 0;

    if (!colon || len >= sizeof p->host)
        return false;
    memcpy(p->host, text, len);
    p->host[len] = '\0';
    p->port = (int)strtol(colon + 1, NULL, 10);
    return p->port > 0 && p->port < 65536;
}

bool place_is(const struct redis_place *a, const struct redis_place *b)
{
    return a->port == b->port && strcmp(a->host, b->host) == 0;
}

/* ---------------------------------------------------------------- the URL */

static int default_port(enum redis_kind kind)
{
    return kind == REDIS_SENTINEL ? 26379 : 6379;
}

/* What each of the URLs says of the whole: who we are, and which database or master. */
static char *take_whole(struct redis_address *a, GUri *uri)
{
    const char *path = g_uri_get_path(uri), *name = *path ? path + 1 : "";

    a->user = g_strdup(g_uri_get_user(uri));
    a->password = g_strdup(g_uri_get_password(uri));
    if (a->kind == REDIS_SENTINEL) {
        a->master = g_strdup(name);
        return *name ? NULL : g_strdup("redis.url: needs the name of the master at its end, as in /mymaster");
    }
    if (name[strspn(name, "0123456789")] || strlen(name) > 5)
        return g_strdup_printf("redis.url: the database behind the address is a number, not \"%s\"", name);
    a->db = (int)g_ascii_strtoll(name, NULL, 10);
    return a->kind == REDIS_CLUSTER && a->db ? g_strdup("redis.url: a cluster has no database but 0") : NULL;
}

static char *take_places(struct redis_address *a, const char *url)
{
    g_auto(GStrv) urls = setting_url_split(url);

    a->places = g_new0(struct redis_place, g_strv_length(urls));
    for (char **one = urls; *one; one++) {
        GError *error = NULL;
        g_autoptr(GUri) uri = g_uri_parse(*one, G_URI_FLAGS_HAS_PASSWORD, &error);
        if (!uri) {
            char *why = g_strdup_printf("redis.url: %s", error->message);
            g_error_free(error);
            return why;
        }
        struct redis_place *p = &a->places[a->count++];
        g_strlcpy(p->host, g_uri_get_host(uri), sizeof p->host);
        p->port = g_uri_get_port(uri) > 0 ? g_uri_get_port(uri) : default_port(a->kind);
        if (one == urls) {
            char *why = take_whole(a, uri);
            if (why)
                return why;
        }
    }
    return NULL;
}

/* ---------------------------------------------------------------- TLS */

static char *file_complaint(const char *setting, const char *file)
{
    return g_strdup_printf("%s: %s cannot be used: it needs PEM that this program may read", setting, file);
}

static char *take_tls(struct redis_address *a, const struct config *config)
{
    g_autofree char *ca = config_path(config, config->root, "redis.tls.ca_file"),
                    *cert = config_path(config, config->root, "redis.tls.cert_file"),
                    *key = config_path(config, config->root, "redis.tls.key_file");

    a->tls = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(a->tls, TLS1_2_VERSION);
    SSL_CTX_set_mode(a->tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_verify(a->tls, SSL_VERIFY_PEER, NULL);
    if (ca ? !SSL_CTX_load_verify_locations(a->tls, ca, NULL) : !SSL_CTX_set_default_verify_paths(a->tls))
        return file_complaint("redis.tls.ca_file", ca ? ca : "the system's list of authorities");
    if (cert && SSL_CTX_use_certificate_chain_file(a->tls, cert) != 1)
        return file_complaint("redis.tls.cert_file", cert);
    if (cert && SSL_CTX_use_PrivateKey_file(a->tls, key ? key : cert, SSL_FILETYPE_PEM) != 1)
        return file_complaint("redis.tls.key_file", key ? key : cert);
    return NULL;
}

/* ---------------------------------------------------------------- the face */

char *address_parse(struct redis_address *a, const char *url, const struct config *config)
{
    if (g_str_has_prefix(url, "unix:")) {
        a->path = g_strdup(g_str_has_prefix(url, "unix://") ? url + 7 : url + 5);
        return NULL;
    }
    g_autofree char *scheme = g_strndup(url, strcspn(url, ":"));
    a->kind = g_str_has_suffix(scheme, "-cluster")    ? REDIS_CLUSTER
              : g_str_has_suffix(scheme, "-sentinel") ? REDIS_SENTINEL
                                                      : REDIS_ONE;
    char *why = take_places(a, url);
    return why ? why : g_str_has_prefix(scheme, "rediss") ? take_tls(a, config) : NULL;
}

void address_clear(struct redis_address *a)
{
    g_free(a->path);
    g_free(a->places);
    g_free(a->user);
    g_free(a->password);
    g_free(a->master);
    SSL_CTX_free(a->tls);
}
