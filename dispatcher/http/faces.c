/*
 * Files for pages: the inbox component, and a demonstration of it where no key is
 * needed.
 */
#include "dispatcher/http/faces.h"

#include <glib.h>
#include <string.h>

#include "dispatcher/http/handlers.h"
#include "dispatcher/http/keys.h"

#define DEMO_POLICY                                                                                                    \
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action "       \
    "'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"

static const struct library_file *find(const char *name)
{
    for (const struct library_file *f = face_files; f->name; f++)
        if (strcmp(f->name, name) == 0)
            return f;
    return NULL;
}

static char *hash_of(const struct library_file *f)
{
    char *hash = g_compute_checksum_for_data(G_CHECKSUM_SHA256, (const guchar *)f->text, f->len);
    hash[16] = '\0';
    return hash;
}

/* How the page that takes it in may know it: https://www.w3.org/TR/SRI/ */
char *face_integrity(const char *name)
{
    const struct library_file *f = find(name);
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA384);
    guint8 digest[48];
    gsize len = sizeof digest;

    g_checksum_update(sum, (const guchar *)f->text, (gssize)f->len);
    g_checksum_get_digest(sum, digest, &len);
    g_autofree char *text = g_base64_encode(digest, len);
    return g_strconcat("sha384-", text, NULL);
}

static void serve(struct request *r, const char *name, const char *type, const char *cache)
{
    const struct library_file *f = find(name);
    const char *known = request_header(r, "If-None-Match");
    g_autofree char *hash = hash_of(f), *tag = g_strdup_printf("\"%s\"", hash);

    answer_header(r, "ETag", tag);
    answer_header(r, "Cache-Control", cache);
    if (known && strcmp(known, tag) == 0)
        answer_text(r, 304, type, "", 0);
    else
        answer_text(r, 200, type, f->text, f->len);
}

/* Pages elsewhere take it in. */
static void serve_component(struct request *r, const char *cache)
{
    answer_header(r, "Access-Control-Allow-Origin", "*");
    answer_header(r, "Cross-Origin-Resource-Policy", "cross-origin");
    serve(r, "inbox.js", "text/javascript; charset=utf-8", cache);
}

void get_component(struct request *r)
{
    serve_component(r, "public, max-age=300");
}

void get_component_of(struct request *r)
{
    g_autofree char *hash = hash_of(find("inbox.js"));

    if (strcmp(r->param[0], hash) == 0)
        serve_component(r, "public, max-age=31536000, immutable");
    else
        answer_problem(r, 404, "this version of the component is not served here; /inbox.js is the one that is");
}

/* It sends and makes tokens without a key: only where everybody on this host may. */
static void serve_demo(struct request *r, const char *name, const char *type)
{
    if (keys_any(http_keys(r->server))) {
        answer_problem(r, 404, "the demonstration is served where no keys are configured");
        return;
    }
    answer_header(r, "Content-Security-Policy", DEMO_POLICY);
    serve(r, name, type, "no-cache");
}

void get_demo(struct request *r)
{
    serve_demo(r, "demo.html", "text/html; charset=utf-8");
}

void get_demo_script(struct request *r)
{
    serve_demo(r, "demo.js", "text/javascript; charset=utf-8");
}

void get_demo_style(struct request *r)
{
    serve_demo(r, "demo.css", "text/css; charset=utf-8");
}
