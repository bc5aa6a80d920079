#include "channels/in_app.h"

#include <string.h>

static bool url_good(const char *url)
{
    return strncmp(url, "https://", 8) == 0 || strncmp(url, "http://", 7) == 0 ||
           (url[0] == '/' && url[1] != '/' && url[1] != '\\');
}

char *in_app_card(const struct card *c, const char **why)
{
    json_auto_t *card = json_pack("{s:s, s:s*, s:s*, s:s*, s:O*}", "title", c->title, "body", c->body, "url",
                                  c->url && *c->url ? c->url : NULL, "lang", c->lang, "answer", (json_t *)c->answer);

    if (c->url && *c->url && !url_good(c->url)) {
        *why = "in_app.url must begin with https://, http:// or /";
        return NULL;
    }
    if (c->lang)
        json_object_set_new(card, "dir", json_string(c->rtl ? "rtl" : "ltr"));
    if (c->pinned)
        json_object_set_new(card, "pinned", json_true());
    if (c->high)
        json_object_set_new(card, "importance", json_string("high"));
    if (c->expires_ms)
        json_object_set_new(card, "expires", json_integer(c->expires_ms));
    return json_dumps(card, JSON_COMPACT);
}
