#include "channels/in_app.h"

#include <stdbool.h>
#include <string.h>

static bool url_good(const char *url)
{
    return strncmp(url, "https://", 8) == 0 || strncmp(url, "http://", 7) == 0 ||
           (url[0] == '/' && url[1] != '/' && url[1] != '\\');
}

char *in_app_card(const char *title, const char *body, const char *url, const json_t *answer, const char **why)
{
    json_auto_t *card = json_pack("{s:s}", "title", title);

    if (url && *url && !url_good(url)) {
        *why = "in_app.url must begin with https://, http:// or /";
        return NULL;
    }
    if (body)
        json_object_set_new(card, "body", json_string(body));
    if (url && *url)
        json_object_set_new(card, "url", json_string(url));
    if (answer)
        json_object_set(card, "answer", (json_t *)answer);
    return json_dumps(card, JSON_COMPACT);
}
