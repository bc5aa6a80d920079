#include "templates/html_text_own.h"

#include <string.h>

#define COLUMNS    76
#define VALUES_MAX 512
#define SHAPES_MAX 64

/* What a program writes with. */
struct writer {
    GString *out;
    GString *line;   /* the paragraph so far, blanks collapsed */
    GString *margin; /* stands before each line: "> ", or blanks below a bullet */
    GString *href;   /* of the link that ends */
    GArray *links;   /* size_t: where in the line the text of each open link begins */
    char bullet[16]; /* goes into the margin of the first line of an item */
    bool gap;        /* an empty line is due before the next paragraph */
    bool preformatted, in_href;
};

/* ---------------------------------------------------------------- lines */

static int columns_of(gunichar c)
{
    return c < 0x80 ? 1 : g_unichar_iszerowidth(c) ? 0 : g_unichar_iswide(c) ? 2 : 1;
}

/* Between two wide characters a line may end, but not before a closing mark. */
static bool may_break(gunichar before, const char *after)
{
    if (before < 0x80 || !g_unichar_iswide(before))
        return false;
    gunichar next = *after ? g_utf8_get_char(after) : 0;
    GUnicodeType type = next ? g_unichar_type(next) : 0;

    return next && type != G_UNICODE_CLOSE_PUNCTUATION && type != G_UNICODE_FINAL_PUNCTUATION &&
           type != G_UNICODE_OTHER_PUNCTUATION && type != G_UNICODE_MODIFIER_LETTER &&
           type != G_UNICODE_NON_SPACING_MARK;
}

/* Where the line that begins at p ends: before a blank, between wide characters, or else after the word. */
static const char *line_cut(const char *p, int room)
{
    const char *cut = NULL;
    int columns = 0;

    for (const char *q = p; *q; q = g_utf8_next_char(q)) {
        gunichar c = g_utf8_get_char(q);
        if (*q == ' ')
            cut = q;
        columns += columns_of(c);
        if (columns > room && cut)
            return cut;
        if (may_break(c, g_utf8_next_char(q)) && columns <= room)
            cut = g_utf8_next_char(q);
    }
    return p + strlen(p);
}

static void line_put(struct writer *w, const char *from, const char *to)
{
    size_t bullet = strlen(w->bullet);

    if (bullet && w->margin->len >= bullet)
        g_string_append_len(w->out, w->margin->str, (gssize)(w->margin->len - bullet));
    else
        g_string_append(w->out, w->margin->str);
    g_string_append(w->out, w->bullet);
    w->bullet[0] = '\0';
    g_string_append_len(w->out, from, to - from);
    while (w->out->len && w->out->str[w->out->len - 1] == ' ')
        g_string_truncate(w->out, w->out->len - 1);
    g_string_append_c(w->out, '\n');
}

static void gap_put(struct writer *w)
{
    if (w->gap && w->out->len)
        g_string_append_c(w->out, '\n');
    w->gap = false;
}

static void line_flush(struct writer *w)
{
    if (!w->line->len)
        return;
    /* libxml2 lets bytes through that are no UTF-8 */
    g_autofree char *valid = g_utf8_make_valid(w->line->str, (gssize)w->line->len);
    int room = COLUMNS - (int)w->margin->len;

    g_string_truncate(w->line, 0);
    for (const char *p = valid + strspn(valid, " "); *p; p += strspn(p, " ")) {
        const char *cut = line_cut(p, MAX(room, 20));
        gap_put(w);
        line_put(w, p, cut);
        p = cut;
    }
}

static void preformatted_add(struct writer *w, const char *text, size_t len)
{
    for (const char *end = text + len; text < end; text++) {
        if (*text != '\n') {
            g_string_append_c(w->line, *text);
            continue;
        }
        g_autofree char *valid = g_utf8_make_valid(w->line->str, (gssize)w->line->len);
        gap_put(w);
        line_put(w, valid, valid + strlen(valid));
        g_string_truncate(w->line, 0);
    }
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static void text_add(struct writer *w, const char *text, size_t len)
{
    const char *end = text + len;

    if (w->preformatted) {
        preformatted_add(w, text, len);
        return;
    }
    while (text < end) {
        const char *word = text;
        while (text < end && !is_blank(*text))
            text++;
        g_string_append_len(w->line, word, text - word);
        bool blank = text < end;
        while (text < end && is_blank(*text))
            text++;
        if (blank && w->line->len && w->line->str[w->line->len - 1] != ' ')
            g_string_append_c(w->line, ' ');
    }
}

/* ---------------------------------------------------------------- running */

static void link_end(struct writer *w)
{
    size_t before = g_array_index(w->links, size_t, w->links->len - 1);
    const char *to = w->href->str;

    g_array_set_size(w->links, w->links->len - 1);
    w->in_href = false;
    to += g_str_has_prefix(to, "mailto:") ? 7 : 0;
    bool worth_telling = *to && *to != '#' && strcmp(w->line->str + MIN(before, w->line->len), to) != 0;
    if (worth_telling && w->line->len > before)
        g_string_append_printf(w->line, " (%s)", to);
    else if (worth_telling && g_str_has_prefix(to, "http"))
        text_add(w, to, strlen(to));
}

static void put_rule(struct writer *w)
{
    static const char rule[] = "----------------------------------------";

    line_flush(w);
    w->gap = true;
    gap_put(w);
    line_put(w, rule, rule + strlen(rule));
    w->gap = true;
}

static void pre_end(struct writer *w)
{
    if (w->line->len)
        text_add(w, "\n", 1);
    w->preformatted = false;
}

static void add(struct writer *w, const char *text, size_t len)
{
    if (w->in_href)
        g_string_append_len(w->href, text, (gssize)len);
    else
        text_add(w, text, len);
}

static void run_op(struct writer *w, const struct text_op *op, const GString *values)
{
    switch (op->kind) {
    case TEXT_LITERAL: add(w, op->text, op->len); break;
    case TEXT_VALUE: add(w, values[op->number].str, values[op->number].len); break;
    case TEXT_FLUSH: line_flush(w); break;
    case TEXT_GAP: w->gap = true; break;
    case TEXT_MARGIN: g_string_append(w->margin, op->text); break;
    case TEXT_MARGIN_END: g_string_truncate(w->margin, w->margin->len - (size_t)op->number); break;
    case TEXT_BULLET: g_strlcpy(w->bullet, op->text, sizeof w->bullet); break;
    case TEXT_PRE: w->preformatted = true; break;
    case TEXT_PRE_END: pre_end(w); break;
    case TEXT_RULE: put_rule(w); break;
    case TEXT_SPACE:
        if (w->line->len)
            text_add(w, " ", 1);
        break;
    case TEXT_LINK: g_array_append_val(w->links, w->line->len); break;
    case TEXT_HREF:
        g_string_truncate(w->href, 0);
        w->in_href = true;
        break;
    case TEXT_LINK_END: link_end(w); break;
    }
}

static void run(const struct text_program *p, const GString *values, GString *out)
{
    struct writer w = { .out = out,
                        .line = g_string_new(NULL),
                        .margin = g_string_new(NULL),
                        .href = g_string_new(NULL),
                        .links = g_array_new(FALSE, FALSE, sizeof(size_t)) };

    for (guint i = 0; i < p->ops->len; i++)
        run_op(&w, &g_array_index(p->ops, struct text_op, i), values);
    g_string_free(w.line, TRUE);
    g_string_free(w.margin, TRUE);
    g_string_free(w.href, TRUE);
    g_array_unref(w.links);
}

void html_text(const char *html, size_t len, GString *out)
{
    struct text_program *p = html_compile(html, len, 0);

    run(p, NULL, out);
    text_program_free(p);
}

/* ---------------------------------------------------------------- shapes */

struct html_shapes {
    GHashTable *programs; /* shape → struct text_program, NULL for one that has none */
};

static guint hash_shape(gconstpointer shape)
{
    const GString *s = shape;
    guint64 hash = s->len, word;
    size_t i = 0;

    for (; i + sizeof word <= s->len; i += sizeof word) {
        memcpy(&word, s->str + i, sizeof word);
        hash = (hash ^ word) * G_GUINT64_CONSTANT(0x9e3779b97f4a7c15);
        hash ^= hash >> 32;
    }
    for (; i < s->len; i++)
        hash = hash * 31 + (guchar)s->str[i];
    return (guint)(hash ^ hash >> 29);
}

static gboolean same_shape(gconstpointer a, gconstpointer b)
{
    return g_string_equal(a, b);
}

static void shape_free(void *shape)
{
    g_string_free(shape, TRUE);
}

static void program_free(void *program)
{
    text_program_free(program);
}

struct html_shapes *html_shapes_new(void)
{
    struct html_shapes *s = g_new0(struct html_shapes, 1);

    s->programs = g_hash_table_new_full(hash_shape, same_shape, shape_free, program_free);
    return s;
}

void html_shapes_free(struct html_shapes *s)
{
    if (!s)
        return;
    g_hash_table_unref(s->programs);
    g_free(s);
}

/* A value that is nothing but blanks is part of the shape: the parser drops blanks in places. */
static bool is_empty(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!is_blank(text[i]))
            return false;
    return true;
}

/* What the parser would make something else of than a text: markup, half an entity, a control character. */
static bool is_plain(const char *text, size_t len, bool raw)
{
    for (size_t i = 0; i < len; i++)
        if ((guchar)text[i] < ' ' ? text[i] != '\n' && text[i] != '\t'
                                  : text[i] == 0x7f || (raw && strchr("<>&\"'", text[i])) ||
                                        (i + 2 < len && memcmp(text + i, "\xef\xbf", 2) == 0)) /* U+FFFE, say */
            return false;
    return true;
}

static const char *skip_word(const char *p, const char *end)
{
    while (p < end && (g_ascii_isalnum(*p) || strchr("-_:", *p)))
        p++;
    return p;
}

/* Between the quotation marks of an attribute, in a tag that is written as it should be up to there:
 * <name word="…" word="… */
static bool in_attribute(const char *open, const char *at)
{
    const char *p = skip_word(open + 1, at), *word, *close;

    while (p > open + 1 && p < at && is_blank(*p)) {
        while (p < at && is_blank(*p))
            p++;
        word = p;
        p = skip_word(p, at);
        if (p == word || p == at)
            return false;
        if (*p != '=')
            continue;
        if (++p >= at || (*p != '"' && *p != '\''))
            return false;
        close = memchr(p + 1, *p, (size_t)(at - p - 1));
        if (!close)
            return true;
        p = close + 1;
    }
    return false;
}

/* The value would be part of a tag's own words, or of an entity: it is only safe in text and within an attribute. */
static bool is_exposed(const char *html, size_t at)
{
    const char *open = memrchr(html, '<', at), *close = memrchr(html, '>', at), *p = html + at;

    while (p > html && (g_ascii_isalnum(p[-1]) || p[-1] == '#') && html + at - p < 12)
        p--;
    if (p > html && p[-1] == '&')
        return true;
    return open && (!close || close < open) && !in_attribute(open, html + at);
}

static void unescape(GString *to, const char *text, size_t len)
{
    static const struct {
        const char *name;
        char is;
    } entities[] = { { "&amp;", '&' }, { "&lt;", '<' }, { "&gt;", '>' }, { "&quot;", '"' }, { "&#39;", '\'' } };
    const char *end = text + len, *amp;

    for (; (amp = memchr(text, '&', (size_t)(end - text))); text = amp) {
        g_string_append_len(to, text, amp - text);
        size_t i = 0;
        while (i < G_N_ELEMENTS(entities) && !g_str_has_prefix(amp, entities[i].name))
            i++;
        g_string_append_c(to, i < G_N_ELEMENTS(entities) ? entities[i].is : '&');
        amp += i < G_N_ELEMENTS(entities) ? strlen(entities[i].name) : 1;
    }
    g_string_append_len(to, text, end - text);
}

struct reading {
    GString *shape;            /* the document with marks for values */
    GString *text;             /* all values, one behind the other, as they are read */
    size_t ends[VALUES_MAX];   /* where in it each ends */
    GString value[VALUES_MAX]; /* views of it */
    size_t count;
};

/* False where the text depends on a value in another way than by standing there. */
static bool read_shape(struct reading *r, const GString *html, const struct html_value *v, size_t count)
{
    size_t at = 0;
    char mark[24];

    for (size_t i = 0; i < count; i++) {
        const char *text = html->str + v[i].from;
        size_t len = v[i].to - v[i].from;
        if (is_empty(text, len))
            continue;
        if (r->count == VALUES_MAX || !is_plain(text, len, v[i].raw) || is_exposed(html->str, v[i].from))
            return false;
        g_string_append_len(r->shape, html->str + at, (gssize)(v[i].from - at));
        g_string_append_len(r->shape, mark, g_snprintf(mark, sizeof mark, MARK_OPEN "%d" MARK_CLOSE, (int)r->count));
        unescape(r->text, text, len);
        r->ends[r->count++] = r->text->len;
        at = v[i].to;
    }
    g_string_append_len(r->shape, html->str + at, (gssize)(html->len - at));
    for (size_t i = 0, from = 0; i < r->count; from = r->ends[i++])
        r->value[i] = (GString){ .str = r->text->str + from, .len = r->ends[i] - from };
    return true;
}

static const struct text_program *program_of(struct html_shapes *s, struct reading *r)
{
    gpointer program;

    if (g_hash_table_lookup_extended(s->programs, r->shape, NULL, &program))
        return program;
    if (g_hash_table_size(s->programs) >= SHAPES_MAX)
        g_hash_table_remove_all(s->programs);
    /* a document may hold the letters of a mark of its own */
    program = html_marks(r->shape->str) == r->count ? html_compile(r->shape->str, r->shape->len, r->count) : NULL;
    g_hash_table_insert(s->programs, g_steal_pointer(&r->shape), program);
    return program;
}

void html_text_by_shape(struct html_shapes *s, const GString *html, const struct html_value *values, size_t count,
                        GString *out)
{
    struct reading r = { .shape = g_string_sized_new(html->len + 16 * count), .text = g_string_new(NULL) };
    const struct text_program *p = read_shape(&r, html, values, count) ? program_of(s, &r) : NULL;

    if (p)
        run(p, r.value, out);
    else
        html_text(html->str, html->len, out);
    if (r.shape)
        g_string_free(r.shape, TRUE);
    g_string_free(r.text, TRUE);
}
