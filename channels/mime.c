#include "channels/mime.h"

#include <string.h>

#include "channels/header.h"

/* ---------------------------------------------------------------- what may stand in a mail */

static bool all_of(const char *text, const char *also, size_t max)
{
    const char *p = text;

    for (; *p; p++)
        if (!g_ascii_isalnum(*p) && !strchr(also, *p))
            return false;
    return p > text && (size_t)(p - text) <= max;
}

const char *mime_filename_check(const char *name)
{
    if (!*name || strlen(name) > MIME_MAX_FILENAME)
        return "must have 1 to 200 bytes";
    if (!header_clean(name))
        return "must be UTF-8 without control characters";
    for (const char *p = name; *p; p = g_utf8_next_char(p))
        if (g_unichar_type(g_utf8_get_char(p)) == G_UNICODE_CONTROL ||
            g_unichar_type(g_utf8_get_char(p)) == G_UNICODE_FORMAT ||
            g_unichar_type(g_utf8_get_char(p)) == G_UNICODE_LINE_SEPARATOR ||
            g_unichar_type(g_utf8_get_char(p)) == G_UNICODE_PARAGRAPH_SEPARATOR)
            return "must have no characters that are not seen, or that turn others around";
    if (strpbrk(name, "/\\:*?\"<>|"))
        return "must be a plain file name, without any of / \\ : * ? \" < > |";
    return *name == '.' || g_str_has_suffix(name, ".") || g_str_has_suffix(name, " ") || *name == ' '
               ? "must not begin or end with a dot or a blank"
               : NULL;
}

/* "; name=token" or "; name=\"quoted\"", RFC 2045, 5.1; name and filename are set from the file's. */
static bool parameters_good(const char *p)
{
    while (*p == ';') {
        g_autofree char *name = NULL;
        size_t len;
        p += 1 + strspn(p + 1, " \t");
        len = strcspn(p, "=; \t");
        name = g_strndup(p, len);
        p += len;
        if (*p++ != '=' || !all_of(name, "!#$&-^_.+*", 60) || g_ascii_strcasecmp(name, "name") == 0 ||
            g_ascii_strcasecmp(name, "boundary") == 0)
            return false;
        if (*p == '"') {
            len = strcspn(p + 1, "\"\\\r\n");
            if (p[1 + len] != '"')
                return false;
            p += len + 2;
        } else {
            len = strcspn(p, "; \t");
            g_autofree char *value = g_strndup(p, len);
            if (!all_of(value, "!#$%&'*+-.^_`{|}~:/", 120))
                return false;
            p += len;
        }
        p += strspn(p, " \t");
    }
    return *p == '\0';
}

const char *mime_type_check(const char *type)
{
    const char *semicolon = strchr(type, ';');
    size_t len = semicolon ? (size_t)(semicolon - type) : strlen(type);

    while (semicolon && len && (type[len - 1] == ' ' || type[len - 1] == '\t'))
        len--;
    g_autofree char *name = g_strndup(type, len);
    char *slash = strchr(name, '/');

    if (slash)
        *slash = '\0';
    if (!slash || !all_of(name, "!#$&-^_.+", 60) || !all_of(slash + 1, "!#$&-^_.+", 60))
        return "must be a media type such as application/pdf";
    if (semicolon && !parameters_good(semicolon))
        return "has parameters that are none; write them like text/calendar; method=REQUEST";
    return g_ascii_strcasecmp(name, "multipart") == 0 || g_ascii_strcasecmp(name, "message") == 0
               ? "must not be multipart/* or message/*"
               : NULL;
}

const char *mime_cid_check(const char *cid)
{
    return all_of(cid, "-._@", 100) ? NULL : "must have 1 to 100 letters, digits and - . _ @";
}

bool mime_id_good(const char *id)
{
    const char *at = strchr(id, '@');
    return at && at > id && at[1] && !strchr(at + 1, '@') && all_of(id, "!#$%&'*+-/=?^_`{|}~.@[]:", 250);
}

/* An address as it is written: no blank and no bracket that could end it. */
static bool address_good(const char *address)
{
    return address && header_clean(address) && strchr(address, '@') && !strpbrk(address, " <>,;") &&
           strlen(address) <= 320;
}

static const char *envelope_fault(const struct mail *m)
{
    if (!address_good(m->from) || !address_good(m->to))
        return "an address is none";
    if (!m->message_id || !mime_id_good(m->message_id))
        return "the Message-ID is none";
    if (m->feedback_id && !all_of(m->feedback_id, ":._-", 160))
        return "the Feedback-ID holds other signs than letters, digits and : . _ -";
    return m->language && !all_of(m->language, "-", 64) ? "the language is no BCP 47 tag" : NULL;
}

static const char *mail_fault(const struct mail *m)
{
    const char *why = envelope_fault(m);

    if (why)
        return why;
    if (!header_clean(m->subject))
        return "the subject holds a line break or a control character";
    if (!*m->subject)
        return "the subject is empty";
    if ((m->from_name && !header_clean(m->from_name)) || (m->to_name && !header_clean(m->to_name)))
        return "a name holds a line break or a control character";
    if (m->list_unsubscribe && (!header_clean(m->list_unsubscribe) || strpbrk(m->list_unsubscribe, "<> ") ||
                                strlen(m->list_unsubscribe) > 900))
        return "the unsubscribe link is no usable address";
    if (m->in_reply_to && !mime_id_good(m->in_reply_to))
        return "the thread is no Message-ID";
    for (size_t i = 0; i < m->attachment_count; i++)
        if (mime_filename_check(m->attachments[i].filename) || mime_type_check(m->attachments[i].content_type) ||
            (m->attachments[i].cid && mime_cid_check(m->attachments[i].cid)))
            return "an attachment has no usable name, type or cid";
    return NULL;
}

/* ---------------------------------------------------------------- parts */

struct composer {
    const struct mail *mail;
    GString *out;
    char boundary[64]; /* begins with "=_", which stands neither in quoted-printable nor in base64: no body holds it */
};

static void boundary_make(struct composer *c)
{
    size_t n = 2;

    memcpy(c->boundary, "=_", 2);
    for (const char *p = c->mail->message_id; *p && *p != '@' && n < 50; p++)
        if (g_ascii_isalnum(*p))
            c->boundary[n++] = *p;
    c->boundary[n] = '\0';
}

static void boundary_line(struct composer *c, char layer, const char *before, const char *after)
{
    g_string_append(c->out, before);
    g_string_append(c->out, "--");
    g_string_append(c->out, c->boundary);
    g_string_append_c(c->out, '.');
    g_string_append_c(c->out, layer); /* each layer has a letter, so that no boundary begins another */
    g_string_append(c->out, after);
}

static void multipart_begin(struct composer *c, const char *type, char layer)
{
    g_string_append(c->out, "Content-Type: multipart/");
    g_string_append(c->out, type);
    g_string_append(c->out, ";\r\n boundary=\"");
    g_string_append(c->out, c->boundary);
    g_string_append_c(c->out, '.');
    g_string_append_c(c->out, layer);
    g_string_append(c->out, "\"\r\n\r\n");
    boundary_line(c, layer, "", "\r\n");
}

static void multipart_next(struct composer *c, char layer)
{
    boundary_line(c, layer, "\r\n", "\r\n");
}

static void multipart_end(struct composer *c, char layer)
{
    boundary_line(c, layer, "\r\n", "--\r\n");
}

static void append_text(struct composer *c, const char *type, const struct mime_text *t)
{
    bool base64 = transfer_prefers_base64(t->text, t->len);

    g_string_append(c->out, "Content-Type: ");
    g_string_append(c->out, type);
    g_string_append(c->out, base64 ? "; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n"
                                   : "; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n");
    if (c->mail->language)
        header_raw(c->out, "Content-Language", c->mail->language);
    g_string_append(c->out, "\r\n");
    if (base64)
        transfer_base64_text(c->out, t->text, t->len);
    else
        transfer_qp(c->out, t->text, t->len, t->spans, t->span_count);
}

static void append_alternative(struct composer *c)
{
    const struct mail *m = c->mail;

    if (!m->text.text || !m->html.text) {
        append_text(c, m->html.text ? "text/html" : "text/plain", m->html.text ? &m->html : &m->text);
        return;
    }
    multipart_begin(c, "alternative", 'a');
    append_text(c, "text/plain", &m->text);
    multipart_next(c, 'a');
    append_text(c, "text/html", &m->html);
    multipart_end(c, 'a');
}

static void append_file(struct composer *c, const struct mime_attachment *a, bool inside)
{
    g_string_append(c->out, "Content-Type: ");
    g_string_append(c->out, a->content_type);
    if (g_ascii_strncasecmp(a->content_type, "text/", 5) == 0 && !strcasestr(a->content_type, "charset=") &&
        g_utf8_validate(a->bytes, (gssize)a->len, NULL))
        g_string_append(c->out, "; charset=utf-8");
    header_parameter(c->out, "name", a->filename); /* older clients look here alone */
    g_string_append(c->out, "\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: ");
    g_string_append(c->out, inside ? "inline" : "attachment");
    header_parameter(c->out, "filename", a->filename);
    g_string_append(c->out, "\r\n");
    if (a->cid)
        g_string_append_printf(c->out, strchr(a->cid, '@') ? "Content-ID: <%s>\r\n" : "Content-ID: <%s@%s>\r\n", a->cid,
                               strrchr(c->mail->from, '@') + 1);
    g_string_append(c->out, "\r\n");
    transfer_base64(c->out, a->bytes, a->len);
}

/* Images belong to the HTML; without HTML they are files like the others. */
static bool is_inside(const struct mail *m, const struct mime_attachment *a)
{
    return a->cid && m->html.text;
}

static size_t count_files(const struct mail *m, bool inside)
{
    size_t n = 0;

    for (size_t i = 0; i < m->attachment_count; i++)
        n += is_inside(m, &m->attachments[i]) == inside;
    return n;
}

static void append_files(struct composer *c, char layer, bool inside)
{
    for (size_t i = 0; i < c->mail->attachment_count; i++)
        if (is_inside(c->mail, &c->mail->attachments[i]) == inside) {
            multipart_next(c, layer);
            append_file(c, &c->mail->attachments[i], inside);
        }
    multipart_end(c, layer);
}

static void append_related(struct composer *c)
{
    if (!count_files(c->mail, true)) {
        append_alternative(c);
        return;
    }
    multipart_begin(c, "related", 'r');
    append_alternative(c);
    append_files(c, 'r', true);
}

static void append_body(struct composer *c)
{
    g_string_append(c->out, "MIME-Version: 1.0\r\n");
    if (!count_files(c->mail, false)) {
        append_related(c);
        return;
    }
    multipart_begin(c, "mixed", 'm');
    append_related(c);
    append_files(c, 'm', false);
}

/* ---------------------------------------------------------------- the mail */

static void append_id(GString *out, const char *name, const char *id)
{
    g_string_append(out, name);
    g_string_append(out, ": <");
    g_string_append(out, id);
    g_string_append(out, ">\r\n");
}

/* RFC 8058, 3.1 wants HTTPS; this host itself is where one tries things out. */
static bool one_click_holds(const char *url)
{
    return g_str_has_prefix(url, "https:") || g_str_has_prefix(url, "http://127.0.0.1") ||
           g_str_has_prefix(url, "http://localhost");
}

static void append_header(const struct mail *m, GString *out)
{
    header_date(out, m->date_ms);
    header_mailbox(out, "From", m->from_name, m->from);
    header_mailbox(out, "To", m->to_name, m->to);
    header_text(out, "Subject", m->subject);
    append_id(out, "Message-ID", m->message_id);
    if (m->in_reply_to) {
        append_id(out, "In-Reply-To", m->in_reply_to);
        append_id(out, "References", m->in_reply_to);
    }
    header_raw(out, "Auto-Submitted", "auto-generated");
    if (m->list_unsubscribe) {
        append_id(out, "List-Unsubscribe", m->list_unsubscribe);
        if (one_click_holds(m->list_unsubscribe))
            header_raw(out, "List-Unsubscribe-Post", "List-Unsubscribe=One-Click");
    }
    if (m->feedback_id)
        header_raw(out, "Feedback-ID", m->feedback_id);
}

const char *mime_compose(const struct mail *m, GString *out)
{
    struct composer c = { .mail = m, .out = out };
    const char *why = mail_fault(m);

    if (why)
        return why;
    boundary_make(&c);
    append_header(m, out);
    append_body(&c);
    if (out->str[out->len - 1] != '\n')
        g_string_append(out, "\r\n");
    return NULL;
}
