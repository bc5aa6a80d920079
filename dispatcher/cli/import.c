#include "dispatcher/cli/import.h"

#include <csv.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/base/ident.h"
#include "dispatcher/base/problem.h"
#include "dispatcher/base/vocab.h"
#include "dispatcher/cli/stream.h"
#include "dispatcher/intake/message.h"
#include "dispatcher/journeys/events.h"
#include "dispatcher/journeys/sequences.h"
#include "dispatcher/people/consent.h"
#include "dispatcher/people/profile.h"
#include "dispatcher/people/recipient.h"

static char *opt_separator, *opt_encoding, *opt_enroll;
static int64_t taken, enrolled;
static bool import_silent;
const GOptionEntry recipient_options[] = {
    { "separator", 0, 0, G_OPTION_ARG_STRING, &opt_separator, "of a CSV import; found by itself when absent", "CHAR" },
    { "encoding", 0, 0, G_OPTION_ARG_STRING, &opt_encoding,
      "of a CSV import, like windows-1252; absent: UTF-8, UTF-16 with its mark, else windows-1252", "NAME" },
    { "enroll", 0, 0, G_OPTION_ARG_STRING, &opt_enroll,
      "import: enroll each in this sequence; without it imports wake "
      "only sequences that say so",
      "NAME" },
    { 0 },
};

/* ---------------------------------------------------------------- one person */

struct importing {
    struct cli *cli;
    struct stream_line *line;
    json_t *consents, *answer;
    char id[129];
    int open;
    bool ok;
};

static void importing_done(struct importing *i)
{
    if (--i->open > 0)
        return;
    if (i->ok)
        stream_answer(i->line, i->answer, true);
    else {
        json_decref(i->answer);
        stream_answer(i->line, problem_make(503, "the store does not answer; try again", NULL), false);
    }
    json_decref(i->consents);
    g_free(i);
}

static void on_consent(void *arg, bool ok, json_t *receipt)
{
    struct importing *i = arg;

    i->ok &= ok;
    importing_done(i);
}

static void on_enrolled(void *arg, const struct intake_answer *a)
{
    struct importing *i = arg;
    const json_t *did = json_array_get(json_object_get(a->body, "did"), 0);
    bool is_in = g_strcmp0(json_string_value(json_object_get(did, "what")), "enrolled") == 0;

    i->ok &= a->status == 202;
    enrolled += is_in;
    json_object_set_new(i->answer, "enrolled", json_boolean(is_in));
    if (json_object_get(did, "why"))
        json_object_set(i->answer, "why", json_object_get(did, "why"));
    importing_done(i);
}

static void enroll(struct importing *i)
{
    json_auto_t *body = json_pack("{s:s}", "recipient", i->id);
    char *text = json_dumps(body, JSON_COMPACT);

    i->open++;
    event_enroll(i->cli->service, opt_enroll, text, strlen(text), false,
                 &(struct intake_origin){ .door = "import", .source = "" }, on_enrolled, i);
    free(text);
}

static void on_profile(void *arg, enum profile_result result, const char *profile)
{
    static const char *const words[] = {
        [PROFILE_CREATED] = "created", [PROFILE_UPDATED] = "updated", [PROFILE_UNCHANGED] = "unchanged"
    };
    struct importing *i = arg;
    json_auto_t *errors = json_array();
    json_t *entry;
    size_t n;

    i->ok = result != PROFILE_GONE && result != PROFILE_CONFLICT;
    taken += i->ok;
    if (import_silent && i->ok && result != PROFILE_CREATED)
        fprintf(stderr, "line %" G_GINT64_FORMAT ": %s came before; it is one person\n", stream_number(i->line), i->id);
    i->answer = json_pack("{s:s, s:s}", "id", i->id, "result", i->ok ? words[result] : "");
    if (i->ok && opt_enroll)
        enroll(i);
    json_array_foreach (i->consents, n, entry) {
        i->open++;
        if (!i->ok || !consent_change(i->cli->service, i->id, entry, "import", errors, on_consent, i))
            i->open--;
    }
    importing_done(i);
}

/* A bad consent refuses the whole row, before anything is written. */
static void check_consents(struct cli *c, const json_t *consents, json_t *errors)
{
    json_t *entry, *error;
    size_t n, e;

    if (consents && !json_is_array(consents))
        problem_add(errors, "/consents", "must be a list of consents");
    json_array_foreach ((json_t *)consents, n, entry) {
        json_auto_t *own = json_array();
        consent_check(c->service, entry, "import", own);
        json_array_foreach (own, e, error) {
            g_autofree char *pointer =
                g_strdup_printf("/consents/%zu%s", n, json_string_value(json_object_get(error, "pointer")));
            problem_add(errors, pointer, "%s", json_string_value(json_object_get(error, "detail")));
        }
    }
}

static void import_object(struct cli *c, json_t *object, struct stream_line *line)
{
    json_auto_t *errors = json_array(), *consents = json_incref(json_object_get(object, "consents"));
    json_t *patch;
    struct importing *i;

    json_object_del(object, "consents");
    patch = recipient_check(object, "", errors);
    if (!json_object_get(object, "id"))
        problem_add(errors, "/id", "is required");
    check_consents(c, consents, errors);
    if (json_array_size(errors)) {
        stream_answer(line, problem_make(422, "the recipient was not taken", json_incref(errors)), false);
        json_decref(patch);
        return;
    }
    i = g_new0(struct importing, 1);
    *i = (struct importing){ .cli = c, .line = line, .consents = json_incref(consents), .open = 1 };
    g_strlcpy(i->id, json_string_value(json_object_get(patch, "id")), sizeof i->id);
    profile_change(c->service, i->id, patch, c->service->rehearsal ? PROFILE_MERGE : PROFILE_IMPORT, on_profile, i);
}

static void import_json(struct cli *c, const char *text, size_t len, struct stream_line *line, void *arg)
{
    json_auto_t *errors = json_array(), *object = message_parse(text, len, errors);

    if (object)
        import_object(c, object, line);
    else
        stream_answer(line, problem_make(400, "the recipient cannot be read", json_incref(errors)), false);
}

/* ---------------------------------------------------------------- CSV */

struct csv {
    struct cli *cli;
    struct stream *stream;
    struct csv_parser parser;
    char **header; /* in lower case, "." for "_" */
    GPtrArray *fields;
    int64_t line, begins, done; /* the line being read, the one on which the row begins */
    bool in_row;                /* a row has begun and not ended */
    const char *encoding;       /* NULL: UTF-8 until something else is seen */
    bool latin;
    char *fault; /* of the header: nothing is taken */
};

/* As UTF-8, or NULL. */
static char *decode(struct csv *csv, const char *cell)
{
    if (csv->encoding)
        return g_convert(cell, -1, "UTF-8", csv->encoding, NULL, NULL, NULL);
    if (!csv->latin && g_utf8_validate(cell, -1, NULL))
        return g_strdup(cell);
    csv->latin = true; /* what spreadsheets write when it is not UTF-8 */
    return g_convert(cell, -1, "UTF-8", "WINDOWS-1252", NULL, NULL, NULL);
}

static void on_field(void *bytes, size_t len, void *arg)
{
    struct csv *csv = arg;
    g_ptr_array_add(csv->fields, g_strndup(bytes ? bytes : "", len));
}

static char *header_name(const char *cell)
{
    char *name = g_strstrip(g_ascii_strdown(cell, -1));
    return g_str_has_prefix(name, "consent_") ? g_strdelimit(name, "_", '.') : name;
}

static void take_header(struct csv *csv)
{
    csv->header = g_new0(char *, csv->fields->len + 1);
    for (guint i = 0; i < csv->fields->len; i++) {
        g_autofree char *cell = decode(csv, csv->fields->pdata[i]);
        char *name = header_name(cell ? cell : "");
        if (g_strv_contains((const char *const *)csv->header, name) && *name && !csv->fault)
            csv->fault = g_strdup_printf("the header names \"%s\" twice", name);
        csv->header[i] = name;
    }
    if (!csv->fault && !g_strv_contains((const char *const *)csv->header, "id"))
        csv->fault = g_strdup("the header has no column \"id\"; the separator may be another one: see --separator");
    if (!csv->fault)
        stream_answer(stream_row(csv->stream, csv->begins, csv->done),
                      json_pack("{s:s, s:i}", "result", "header", "columns", (int)csv->fields->len), true);
}

static void set_consent(json_t *consent, const char *name, const char *value)
{
    if (g_str_has_prefix(name, "evidence.")) {
        if (!json_object_get(consent, "evidence"))
            json_object_set_new(consent, "evidence", json_object());
        json_object_set_new(json_object_get(consent, "evidence"), name + strlen("evidence."), json_string(value));
    } else if (strcmp(name, "evidence") == 0) {
        json_t *evidence = json_loads(value, 0, NULL);
        json_object_set_new(consent, name, evidence ? evidence : json_string(value));
    } else {
        json_object_set_new(consent, name, json_string(value));
    }
}

static void set_channels(json_t *object, const char *value)
{
    g_auto(GStrv) words = g_strsplit_set(value, " ;|,", 0);
    json_t *list = json_array();

    for (char **w = words; *w; w++)
        if (**w)
            json_array_append_new(list, json_string(*w));
    json_object_set_new(object, "channels", list);
}

static bool is_field(const char *name)
{
    static const char *const fields[] = { "id", "locale", "timezone", "account", "role", "persona", NULL };
    bool is = g_strv_contains(fields, name);

    for (int c = 0; c < CHANNEL_COUNT; c++)
        is |= g_strcmp0(name, channel_rows[c].address) == 0;
    return is;
}

/* Columns that are no field of a recipient become attributes, by the name as it is written in lower case. */
static void set_cell(json_t *object, const char *name, const char *value)
{
    if (strcmp(name, "channels") == 0) {
        set_channels(object, value);
    } else if (g_str_has_prefix(name, "consent.")) {
        if (!json_object_get(object, "consents"))
            json_object_set_new(object, "consents", json_pack("[{}]"));
        set_consent(json_array_get(json_object_get(object, "consents"), 0), name + strlen("consent."), value);
    } else if (is_field(name)) {
        json_object_set_new(object, name, json_string(value));
    } else {
        if (!json_object_get(object, "attributes"))
            json_object_set_new(object, "attributes", json_object());
        json_object_set_new(json_object_get(object, "attributes"), name, json_string(value));
    }
}

static void refuse_row(struct stream_line *line, const char *detail)
{
    json_t *errors = json_array();

    problem_add(errors, "", "%s", detail);
    stream_answer(line, problem_make(422, "the row was not taken", errors), false);
}

static void take_row(struct csv *csv)
{
    json_auto_t *object = json_object();
    guint columns = g_strv_length(csv->header), blank = 0;

    for (guint i = 0; i < csv->fields->len; i++)
        blank += !*(char *)csv->fields->pdata[i];
    if (blank == csv->fields->len)
        return;
    struct stream_line *line = stream_row(csv->stream, csv->begins, csv->done);
    if (csv->fields->len > columns) {
        refuse_row(line, "has more cells than the header");
        return;
    }
    for (guint i = 0; i < csv->fields->len; i++) {
        g_autofree char *cell = decode(csv, csv->fields->pdata[i]);
        if (!cell) {
            g_autofree char *detail = g_strdup_printf("the cell of \"%s\" is no text of the encoding %s",
                                                      csv->header[i], csv->encoding ? csv->encoding : "windows-1252");
            refuse_row(line, detail);
            return;
        }
        if (*cell)
            set_cell(object, csv->header[i], cell);
    }
    import_object(csv->cli, object, line);
}

static void on_row(int end, void *arg)
{
    struct csv *csv = arg;

    csv->in_row = false;
    if (!csv->header)
        take_header(csv);
    else if (!csv->fault)
        take_row(csv);
    g_ptr_array_set_size(csv->fields, 0);
}

/* The one that stands most often in the first line, outside of quotation marks. */
static char find_separator(const char *text, size_t len)
{
    static const char tried[] = ",;\t|";
    int best = 0, count[sizeof tried] = { 0 };
    bool quoted = false;

    for (size_t i = 0; i < len && (quoted || (text[i] != '\n' && text[i] != '\r')); i++) {
        const char *at = text[i] ? strchr(tried, text[i]) : NULL;
        quoted ^= text[i] == '"';
        if (at && !quoted)
            count[at - tried]++;
    }
    for (int i = 1; tried[i]; i++)
        if (count[i] > count[best])
            best = i;
    return tried[best];
}

/* Line by line, so that each row knows where it begins; a line end is CR, LF or both. */
static void feed(struct csv *csv, const char *text, size_t len)
{
    for (size_t at = 0, end; at < len && !csv->fault; at = end) {
        for (end = at; end < len && text[end] != '\n' && text[end] != '\r';)
            end++;
        bool blank = end == at;
        if (end < len)
            end += text[end] == '\r' && end + 1 < len && text[end + 1] == '\n' ? 2 : 1;
        csv->line++;
        if (!csv->in_row)
            csv->begins = csv->line;
        csv->in_row |= !blank;
        csv->done = (int64_t)end;
        csv_parse(&csv->parser, text + at, end - at, on_field, on_row, csv);
    }
    if (csv->in_row && len && (text[len - 1] == '\n' || text[len - 1] == '\r') && csv->header && !csv->fault) {
        g_autofree char *detail = g_strdup_printf(
            "a quotation mark that begins in the row of line %" G_GINT64_FORMAT " is never closed", csv->begins);
        refuse_row(stream_row(csv->stream, csv->begins, csv->done), detail);
    } else {
        csv_fini(&csv->parser, on_field, on_row, csv);
    }
}

static int import_csv(struct cli *c, const char *text, size_t len)
{
    struct csv csv = { .cli = c, .encoding = opt_encoding };

    if (opt_separator && strcmp(opt_separator, "\\t") != 0 && strlen(opt_separator) != 1)
        return cli_usage(c, "the separator is one character");
    if (csv_init(&csv.parser, CSV_APPEND_NULL) != 0)
        return cli_fail("out of memory");
    csv.stream = stream_open(c, &(struct stream_options){ .numbered = true, .silent = import_silent }, (int64_t)len);
    csv.fields = g_ptr_array_new_with_free_func(g_free);
    csv_set_delim(&csv.parser, (unsigned char)(!opt_separator                      ? find_separator(text, len)
                                               : strcmp(opt_separator, "\\t") == 0 ? '\t'
                                                                                   : *opt_separator));
    feed(&csv, text, len);
    csv_free(&csv.parser);
    g_ptr_array_unref(csv.fields);
    g_strfreev(csv.header);
    int status = stream_close(csv.stream);
    if (csv.fault)
        status = cli_fail("%s", csv.fault);
    g_free(csv.fault);
    return status;
}

/* ---------------------------------------------------------------- a file */

static char *read_all(const char *file, gsize *len, char **why)
{
    GError *error = NULL;
    char *text = NULL;

    if (strcmp(file, "-") != 0) {
        if (!g_file_get_contents(file, &text, len, &error)) {
            *why = g_strdup(error->message);
            g_error_free(error);
        }
        return text;
    }
    GString *all = g_string_new(NULL);
    char part[65536];
    for (size_t n; (n = fread(part, 1, sizeof part, stdin)) > 0;)
        g_string_append_len(all, part, (gssize)n);
    *len = all->len;
    return g_string_free(all, FALSE);
}

/* UTF-16 has no byte that separates lines, so it is converted as a whole; a byte order mark is no part of the text. */
static char *as_bytes(char *text, gsize *len)
{
    const char *from = g_str_has_prefix(text, "\xff\xfe")                                    ? "UTF-16LE"
                       : g_str_has_prefix(text, "\xfe\xff")                                  ? "UTF-16BE"
                       : opt_encoding && g_ascii_strncasecmp(opt_encoding, "utf-16", 6) == 0 ? opt_encoding
                                                                                             : NULL;
    if (from) {
        gsize made = 0;
        char *utf8 = g_convert(text, (gssize)*len, "UTF-8", from, NULL, &made, NULL);
        if (utf8) {
            g_free(text);
            text = utf8;
            *len = made;
            g_clear_pointer(&opt_encoding, g_free);
        }
    }
    if (*len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        memmove(text, text + 3, *len - 2);
        *len -= 3;
    }
    return text;
}

static int import_lines(struct cli *c, const char *text, size_t len)
{
    struct stream *s =
        stream_open(c, &(struct stream_options){ .numbered = true, .silent = import_silent }, (int64_t)len);
    int64_t number = 0;

    for (size_t at = 0, end; at < len; at = end + 1) {
        const char *eol = memchr(text + at, '\n', len - at);
        end = eol ? (size_t)(eol - text) : len;
        number++;
        g_autofree char *line = g_strndup(text + at, end - at);
        g_strstrip(line);
        if (*line)
            import_json(c, line, strlen(line), stream_row(s, number, (int64_t)end), NULL);
    }
    return stream_close(s);
}

static bool encoding_known(const char *name)
{
    GIConv conv = g_iconv_open("UTF-8", name);
    bool known = conv != (GIConv)-1;

    if (known)
        g_iconv_close(conv);
    return known;
}

int import_run(struct cli *c, const char *file, bool silent)
{
    import_silent = silent;
    if (opt_encoding && !encoding_known(opt_encoding))
        return cli_usage(c, "\"%s\" is no encoding that is known here", opt_encoding);
    struct sequences *sequences = opt_enroll ? sequences_open(c->service, NULL, NULL) : NULL;
    gsize len = 0;
    char *why = NULL, *text = read_all(file, &len, &why);

    if (!text) {
        int status = cli_fail("%s", why);
        g_free(why);
        sequences_free(sequences);
        return status;
    }
    if (opt_enroll && !sequences_find(sequences, opt_enroll, NULL)) {
        g_free(text);
        sequences_free(sequences);
        return cli_fail("there is no sequence %s", opt_enroll);
    }
    text = as_bytes(text, &len);
    const char *first = text + strspn(text, " \t\r\n");
    int status = *first == '{' ? import_lines(c, text, len) : import_csv(c, text, len);
    g_free(text);
    sequences_free(sequences);
    if (opt_enroll && !silent)
        fprintf(stderr, "%" G_GINT64_FORMAT " taken, %" G_GINT64_FORMAT " enrolled in %s\n", taken, enrolled,
                opt_enroll);
    return status;
}
