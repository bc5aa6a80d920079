#include "dispatcher/config/values.h"

#include <glib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schedules/duration.h"
#include "schedules/quiet.h"
#include "schedules/span.h"
#include "schedules/zone.h"

static const char *check_range(double value, const char *range, char *why)
{
    double low, high;
    char low_text[32], high_text[32];
    int64_t ms;

    if (!range)
        return NULL;
    const char *dots = strstr(range, "..");
    snprintf(low_text, sizeof low_text, "%.*s", (int)(dots - range), range);
    snprintf(high_text, sizeof high_text, "%s", dots + 2);
    low = duration_parse(&ms, low_text) == NULL ? (double)ms : g_ascii_strtod(low_text, NULL);
    high = duration_parse(&ms, high_text) == NULL ? (double)ms : g_ascii_strtod(high_text, NULL);
    if (value >= low && value <= high)
        return NULL;
    snprintf(why, 200, "must lie between %s and %s", low_text, high_text);
    return why;
}

static const char *check_number(const struct setting *s, const char *text, char *why)
{
    char *end;
    double value = g_ascii_strtod(text, &end);

    if (end == text || *end || !isfinite(value) || (s->type == SET_INT && text[strspn(text, "-+0123456789")]))
        return s->type == SET_INT ? "must be a whole number" : "must be a number";
    return check_range(value, s->range, why);
}

const char *setting_rate_parse(double *per_second, const char *text)
{
    char *end;
    double count = g_ascii_strtod(text, &end);
    const char *unit = end;
    double seconds = strcmp(unit, "/s") == 0 ? 1 : strcmp(unit, "/m") == 0 ? 60 : strcmp(unit, "/h") == 0 ? 3600 : 0;

    if (end == text || !(count > 0) || !isfinite(count) || seconds == 0)
        return "is no rate; write it like \"200/s\", \"50/m\" or \"1000/h\"";
    *per_second = count / seconds;
    return NULL;
}

const char *setting_days_parse(unsigned *days, const json_t *value)
{
    static const char *const names[] = { "mon", "tue", "wed", "thu", "fri", "sat", "sun" };
    json_t *day;
    size_t i;

    if (json_is_string(value) && strcmp(json_string_value(value), "all") == 0) {
        *days = 0x7f;
        return NULL;
    }
    if (!json_is_array(value))
        return "must be \"all\" or a list such as [mon, tue]";
    *days = 0;
    json_array_foreach (value, i, day) {
        unsigned found = 7;
        for (unsigned d = 0; d < 7; d++)
            if (json_is_string(day) && strcmp(json_string_value(day), names[d]) == 0)
                found = d;
        if (found == 7)
            return "knows the days mon, tue, wed, thu, fri, sat and sun";
        *days |= 1u << found;
    }
    return NULL;
}

const char *setting_mailbox_parse(char **name, char **address, const char *text)
{
    const char *open = strrchr(text, '<'), *close = strrchr(text, '>');

    *name = NULL;
    if (!open) {
        *address = g_strdup(text);
    } else {
        if (!close || close[1] || close < open)
            return "is no mailbox; write it like \"Example <hello@example.com>\"";
        *address = g_strndup(open + 1, (gsize)(close - open - 1));
        *name = g_strstrip(g_strndup(text, (gsize)(open - text)));
        size_t len = strlen(*name);
        if (len >= 2 && **name == '"' && (*name)[len - 1] == '"') {
            memmove(*name, *name + 1, len - 2);
            (*name)[len - 2] = '\0';
        }
    }
    bool quoted = open && strchr(text, '"');
    if (strchr(*address, '@') && !strpbrk(*address, " <>\r\n,;") && (!*name || quoted || !strpbrk(*name, "<>@,;")))
        return NULL;
    g_clear_pointer(name, g_free);
    g_clear_pointer(address, g_free);
    return "is no mailbox; write it like \"Example <hello@example.com>\"";
}

static bool in_choices(const char *choices, const char *text)
{
    g_auto(GStrv) list = g_strsplit(choices, "|", 0);
    return g_strv_contains((const char *const *)list, text);
}

const char *setting_check_choice(const struct setting *s, const char *text, char *why)
{
    if (in_choices(s->range, text))
        return NULL;
    g_auto(GStrv) list = g_strsplit(s->range, "|", 0);
    g_autofree char *choices = g_strjoinv(", ", list);
    g_snprintf(why, 200, "must be one of %s", choices);
    return why;
}

static const char *check_text(const struct setting *s, const char *text, char *why)
{
    if (s->range && s->range[0] == '[') {
        g_autofree char *whole = g_strdup_printf("^%s$", s->range);
        if (!g_regex_match_simple(whole, text, G_REGEX_DOLLAR_ENDONLY, 0)) {
            snprintf(why, 200, "must match %s", s->range);
            return why;
        }
    }
    return strpbrk(text, "\r\n") ? "must be one line" : NULL;
}

char **setting_url_split(const char *url)
{
    const char *begin = strstr(url, "://"), *dash = strchr(url, '-');

    if (!begin || !dash || dash > begin)
        return g_strsplit(url, "\n", 1);
    begin += 3;
    const char *slash = begin + strcspn(begin, "/"), *at = memrchr(begin, '@', (size_t)(slash - begin));
    const char *hosts = at ? at + 1 : begin;
    g_autofree char *list = g_strndup(hosts, (gsize)(slash - hosts));
    char **urls = g_strsplit(list, ",", 0);
    for (char **one = urls; *one; one++) {
        char *whole = g_strdup_printf("%.*s%s%s", (int)(hosts - url), url, *one, slash);
        g_free(*one);
        *one = whole;
    }
    return urls;
}

static bool is_url(const char *text)
{
    g_autoptr(GUri) uri = g_uri_parse(text, G_URI_FLAGS_HAS_PASSWORD, NULL);
    return uri && g_uri_get_host(uri) && *g_uri_get_host(uri);
}

static bool all_urls(char **texts)
{
    bool good = *texts != NULL;

    for (; *texts; texts++)
        good &= is_url(*texts);
    return good;
}

static const char *check_url(const struct setting *s, const char *text, char *why)
{
    const char *colon = strchr(text, ':');
    g_autofree char *scheme = colon ? g_strndup(text, (gsize)(colon - text)) : g_strdup("");
    g_auto(GStrv) urls = setting_url_split(text);

    if (!in_choices(s->range, scheme)) {
        g_auto(GStrv) list = g_strsplit(s->range, "|", 0);
        g_autofree char *choices = g_strjoinv(" or ", list);
        g_snprintf(why, 200, "must begin with %s, and ://", choices);
        return why;
    }
    if (strcmp(scheme, "unix") == 0)
        return NULL;
    if (!all_urls(urls))
        return "is no URL; characters like @ : / in a password are written as %40 %3A %2F";
    g_autoptr(GUri) uri = g_uri_parse(urls[0], G_URI_FLAGS_HAS_PASSWORD, NULL);
    return g_str_has_prefix(s->range, "smtp") && strchr(g_uri_get_host(uri), ':')
               ? "needs a host name: the mail library cannot take an IPv6 address"
               : NULL;
}

static const char *check_listen(const char *text)
{
    const char *colon = strrchr(text, ':');

    if (g_str_has_prefix(text, "unix:"))
        return strlen(text) > 5 + 107 ? "has a path longer than a socket may have (107 bytes)" : NULL;
    if (!colon || colon == text)
        return "is no address; write it like \"127.0.0.1:8080\"";
    char *end;
    long port = strtol(colon + 1, &end, 10);
    return *end || end == colon + 1 || port < 0 || port > 65535 ? "has no port between 0 and 65535" : NULL;
}

/* Standard Webhooks: what stands behind whsec_ is base64. */
static bool secret_good(const char *base64)
{
    size_t len = strlen(base64),
           letters = strspn(base64, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
    return letters >= 2 && letters + strspn(base64 + letters, "=") == len && len % 4 == 0;
}

/* As Standard Webhooks has it: whsec_ and base64 of 16 bytes at least. */
static bool signing_secret_good(const char *text)
{
    return g_str_has_prefix(text, "whsec_") && secret_good(text + 6) && strlen(text + 6) >= 22;
}

const char *setting_check(const struct setting *s, const char *text, char *why)
{
    struct span window;
    double rate;
    int64_t ms;
    int minutes;
    char *name, *address;
    const char *complaint;

    switch (s->type) {
    case SET_INT:
    case SET_REAL: return check_number(s, text, why);
    case SET_BOOL: return strcmp(text, "true") == 0 || strcmp(text, "false") == 0 ? NULL : "must be true or false";
    case SET_DURATION:
        return (complaint = duration_parse(&ms, text)) ? complaint : check_range((double)ms, s->range, why);
    case SET_RATE: return setting_rate_parse(&rate, text);
    case SET_CHOICE: return setting_check_choice(s, text, why);
    case SET_URL: return strpbrk(text, "\r\n\t ") ? "must be one line without blanks" : check_url(s, text, why);
    case SET_ZONE: return zone_open(text) ? NULL : "is no IANA time zone; write it like \"Europe/Berlin\"";
    case SET_LOCALE:
        return g_regex_match_simple("^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*$", text, 0, 0)
                   ? NULL
                   : "is no locale; write it like \"de\" or \"pt-BR\"";
    case SET_CLOCK: return quiet_clock(&minutes, text);
    case SET_WINDOW: return span_parse(&window, text);
    case SET_LISTEN: return check_listen(text);
    case SET_MAILBOX:
        complaint = setting_mailbox_parse(&name, &address, text);
        if (!complaint)
            g_free(name), g_free(address);
        return complaint;
    case SET_SECRET:
        if (!*text)
            return "is empty";
        if (g_str_has_suffix(s->path, "signing_secret") ? !signing_secret_good(text)
                                                        : g_str_has_prefix(text, "whsec_") && !secret_good(text + 6))
            return "must be whsec_ and base64 behind it; make one with: echo whsec_$(openssl rand -base64 32)";
        return strpbrk(text, "\r\n") ? "must be one line" : NULL;
    case SET_TEXT:
    case SET_PATH: return check_text(s, text, why);
    default: return NULL;
    }
}
