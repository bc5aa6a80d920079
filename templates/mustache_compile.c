#include "templates/mustache_own.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* ---------------------------------------------------------------- scanning */

struct scan {
    struct mustache *m;
    const char *text, *p, *end;
    char open[16], close[16];
    const char *indent;
    const char *dedent; /* taken from the beginning of each line: inside a block that replaces another */
    int line;
    GArray *blocks; /* struct open */
    char *why;
};

/* A block operation that is not closed yet. */
struct open {
    int index;
    const char *indent, *dedent; /* of what is around it */
};

static bool complain(struct scan *s, const char *at, const char *what)
{
    int line = 1;
    const char *start = s->text;

    for (const char *p = s->text; p < at; p++)
        if (*p == '\n')
            line++, start = p + 1;
    s->why = g_strdup_printf("%s:%d:%d: %s", s->m->name, line, (int)(at - start) + 1, what);
    return false;
}

static void push_op(struct scan *s, struct op op)
{
    op.line = s->line;
    g_array_append_val(s->m->ops, op);
}

/* Text, with the indentation of a standalone partial put before each of its lines. */
static void push_text(struct scan *s, const char *from, const char *to)
{
    g_autoptr(GString) text = g_string_new(NULL);

    for (const char *p = from; p < to;) {
        const char *eol = memchr(p, '\n', (size_t)(to - p));
        const char *next = eol ? eol + 1 : to;
        if (p == s->text || p[-1] == '\n') {
            g_string_append(text, s->indent);
            size_t dedent = strlen(s->dedent);
            if ((size_t)(next - p) >= dedent && memcmp(p, s->dedent, dedent) == 0)
                p += dedent;
        }
        g_string_append_len(text, p, next - p);
        p = next;
    }
    if (text->len)
        push_op(s, (struct op){ .kind = OP_TEXT,
                                .name = g_string_chunk_insert_len(s->m->strings, text->str, (gssize)text->len),
                                .len = text->len });
    for (const char *p = from; p < to; p++)
        s->line += *p == '\n';
}

char **mustache_path(const char *name)
{
    if (strcmp(name, ".") == 0)
        return NULL;
    return g_strsplit(name, ".", 32);
}

struct tag {
    char sigil;                /* one of "#^/>!=&{<$", or 'v' for a plain variable */
    const char *start, *after; /* of the whole tag in the source */
    const char *name;
    bool dynamic;
};

static bool set_delimiters(struct scan *s, const struct tag *tag, const char *body, size_t len)
{
    char open[16], close[16], rest[2];
    g_autofree char *text = g_strndup(body, len);

    g_strstrip(text);
    size_t n = strlen(text);
    if (n < 2 || text[n - 1] != '=' || (text[n - 1] = ' ', sscanf(text, "%15s %15s %1s", open, close, rest) != 2) ||
        strchr(open, '=') || strchr(close, '='))
        return complain(s, tag->start, "set delimiters like {{=<% %>=}}");
    g_strlcpy(s->open, open, sizeof s->open);
    g_strlcpy(s->close, close, sizeof s->close);
    return true;
}

/* Reads the tag at tag->start. */
static bool read_tag(struct scan *s, struct tag *tag)
{
    const char *p = tag->start + strlen(s->open);
    const char *close = s->close;
    g_autofree char *triple = NULL;

    while (p < s->end && isspace((unsigned char)*p))
        p++;
    tag->sigil = p < s->end && *p && strchr("#^/>!=&{<$", *p) ? *p++ : 'v';
    if (tag->sigil == '{')
        close = triple = g_strconcat("}", s->close, NULL);
    const char *end = g_strstr_len(p, s->end - p, close);
    if (!end)
        return complain(s, tag->start, "this tag is not closed");
    tag->after = end + strlen(close);
    if (tag->sigil == '!')
        return true;
    if (tag->sigil == '=')
        return set_delimiters(s, tag, p, (size_t)(end - p));
    g_autofree char *name = g_strndup(p, (gsize)(end - p));
    g_strstrip(name);
    tag->dynamic = strchr("></", tag->sigil) && *name == '*';
    if (tag->dynamic)
        memmove(name, name + 1, strlen(name)), g_strstrip(name);
    if (!*name)
        return complain(s, tag->start, "this tag has no name");
    if (strpbrk(name, " \t\r\n{}"))
        return complain(s, tag->start, "a name has no blanks and no braces");
    tag->name = g_string_chunk_insert_const(s->m->strings, name);
    return true;
}

static struct op *op_at(const struct scan *s, int index)
{
    return &g_array_index(s->m->ops, struct op, index);
}

/* The open block operation `out` steps outwards, or NULL.  Borrowed until the next push_op(). */
static struct op *open_op(const struct scan *s, guint out)
{
    return s->blocks->len > out ? op_at(s, g_array_index(s->blocks, struct open, s->blocks->len - 1 - out).index)
                                : NULL;
}

static bool open_is(const struct scan *s, guint out, enum op_kind kind)
{
    const struct op *op = open_op(s, out);
    return op && op->kind == kind;
}

static bool close_block(struct scan *s, const struct tag *tag)
{
    struct op *block = open_op(s, 0);

    if (!block)
        return complain(s, tag->start, "this closes nothing");
    if (strcmp(block->name, tag->name) != 0 || (tag->dynamic && !block->dynamic)) {
        g_autofree char *what =
            g_strdup_printf("closes \"%s\", but \"%s\" of line %d is open", tag->name, block->name, block->line);
        return complain(s, tag->start, what);
    }
    block->end = (int)s->m->ops->len;
    s->indent = g_array_index(s->blocks, struct open, s->blocks->len - 1).indent;
    s->dedent = g_array_index(s->blocks, struct open, s->blocks->len - 1).dedent;
    g_array_set_size(s->blocks, s->blocks->len - 1);
    push_op(s, (struct op){ .kind = OP_END });
    return true;
}

static bool open_block(struct scan *s, const struct tag *tag, enum op_kind kind, const char *indent)
{
    struct open open = { (int)s->m->ops->len, s->indent, s->dedent };

    if (s->blocks->len >= MUSTACHE_MAX_NESTING)
        return complain(s, tag->start, "sections are nested too deeply");
    g_array_append_val(s->blocks, open);
    push_op(s, (struct op){ .kind = kind,
                            .name = tag->name,
                            .path = mustache_path(tag->name),
                            .dynamic = tag->dynamic,
                            .indent = indent,
                            .lead = -1 });
    return true;
}

static bool emit_tag(struct scan *s, const struct tag *tag, const char *indent)
{
    switch (tag->sigil) {
    case '!':
    case '=': return true;
    case '/': return close_block(s, tag);
    case '#': return open_block(s, tag, OP_SECTION, NULL);
    case '^': return open_block(s, tag, OP_INVERTED, NULL);
    case '$': return open_block(s, tag, OP_BLOCK, indent);
    case '<': return open_block(s, tag, OP_PARENT, indent);
    case '>':
        push_op(s, (struct op){ .kind = OP_PARTIAL,
                                .name = tag->name,
                                .path = mustache_path(tag->name),
                                .dynamic = tag->dynamic,
                                .indent = indent });
        return true;
    default:
        push_op(s,
                (struct op){
                    .kind = OP_VALUE, .name = tag->name, .path = mustache_path(tag->name), .raw = tag->sigil != 'v' });
        return true;
    }
}

/* ---------------------------------------------------------------- lines */

/* Where the line of a tag begins and the next one starts, and whether only blanks stand before and behind the tag. */
struct line {
    const char *from, *next;
    bool blank_before, blank_after;
};

static const char *blanks_end(const struct scan *s, const char *p)
{
    while (p < s->end && (*p == ' ' || *p == '\t'))
        p++;
    return p;
}

static struct line line_of(const struct scan *s, const struct tag *tag)
{
    struct line l = { .from = tag->start, .next = blanks_end(s, tag->after) };

    while (l.from > s->p && (l.from[-1] == ' ' || l.from[-1] == '\t'))
        l.from--;
    l.blank_before = l.from == s->text || l.from[-1] == '\n';
    if (l.next < s->end && *l.next == '\r' && l.next + 1 < s->end)
        l.next++;
    l.blank_after = l.next == s->end || *l.next == '\n';
    if (l.next < s->end && l.blank_after)
        l.next++;
    return l;
}

/* The blanks between two places, without what is taken from each line, behind the indentation of the whole. */
static const char *indentation(struct scan *s, const char *from, const char *to)
{
    g_autofree char *blanks = g_strndup(from, (gsize)(to - from));
    const char *own = blanks + (g_str_has_prefix(blanks, s->dedent) ? strlen(s->dedent) : 0);
    g_autofree char *all = g_strconcat(s->indent, own, NULL);

    return g_string_chunk_insert_const(s->m->strings, all);
}

/* A line of a partial that begins with a tag is indented too. */
static void push_indent(struct scan *s, const struct tag *tag)
{
    if (*s->indent && tag->sigil != '/' && (tag->start == s->text || tag->start[-1] == '\n'))
        push_op(s, (struct op){ .kind = OP_TEXT, .name = s->indent, .len = strlen(s->indent) });
}

/* Goes on at `to`; push_text() has counted the lines up to `from`. */
static bool go_on(struct scan *s, const char *from, const char *to)
{
    for (const char *p = from; p < to; p++)
        s->line += *p == '\n';
    s->p = to;
    return true;
}

/* A parent with all that it holds stands alone when nothing else stands on its first and last line; that shows at its
 * end, so the blanks before it are a text of their own until then. */
static bool scan_parent(struct scan *s, const struct tag *tag)
{
    struct line line = line_of(s, tag);
    const char *from = line.blank_before ? line.from : tag->start;

    push_text(s, s->p, from);
    int lead = line.blank_before ? (int)s->m->ops->len : -1;
    if (line.blank_before) {
        const char *blanks = indentation(s, from, tag->start);
        push_op(s, (struct op){ .kind = OP_TEXT, .name = blanks, .len = strlen(blanks) });
    }
    if (!emit_tag(s, tag, ""))
        return false;
    open_op(s, 0)->lead = lead;
    return go_on(s, from, tag->after);
}

static bool scan_parent_end(struct scan *s, const struct tag *tag)
{
    struct line line = line_of(s, tag);
    int index = g_array_index(s->blocks, struct open, s->blocks->len - 1).index, lead = op_at(s, index)->lead;

    push_text(s, s->p, tag->start);
    if (!close_block(s, tag))
        return false;
    if (lead < 0 || !line.blank_after)
        return go_on(s, tag->start, tag->after);
    op_at(s, index)->indent = op_at(s, lead)->name;
    op_at(s, lead)->len = 0;
    return go_on(s, tag->start, line.next);
}

/* A block inside a parent replaces one of its blocks.  With its first line to itself, its text begins on the next one,
 * whose indentation is taken from all of its lines. */
static bool scan_replacement(struct scan *s, const struct tag *tag)
{
    struct line line = line_of(s, tag);

    push_text(s, s->p, tag->start);
    if (!emit_tag(s, tag, ""))
        return false;
    s->indent = ""; /* what it replaces is indented */
    if (!line.blank_after || line.next == tag->after)
        return go_on(s, tag->start, tag->after);
    const char *end = blanks_end(s, line.next);
    s->dedent = g_string_chunk_insert_len(s->m->strings, line.next, end - line.next);
    return go_on(s, tag->start, line.next);
}

static bool scan_replacement_end(struct scan *s, const struct tag *tag)
{
    struct line line = line_of(s, tag);
    const char *from = line.blank_before ? line.from : tag->start;

    push_text(s, s->p, from);
    return close_block(s, tag) && go_on(s, from, tag->after);
}

/* A block that may be replaced, by lines that are indented like its own text; without text, like itself. */
static bool scan_block(struct scan *s, const struct tag *tag)
{
    struct line line = line_of(s, tag);
    bool alone = line.blank_before && line.blank_after;
    const char *text = blanks_end(s, line.next);
    size_t open = strlen(s->open);
    bool empty = (size_t)(s->end - text) > open && memcmp(text, s->open, open) == 0 && text[open] == '/';
    const char *indent = !line.blank_before ? s->indent
                         : alone && !empty  ? indentation(s, line.next, text)
                                            : indentation(s, line.from, tag->start);

    push_text(s, s->p, alone ? line.from : tag->start);
    if (!alone)
        push_indent(s, tag);
    return emit_tag(s, tag, indent) && go_on(s, alone ? line.from : tag->start, alone ? line.next : tag->after);
}

/* Tags but variables take their line with them when they stand alone on it. */
static bool scan_tag(struct scan *s, const struct tag *tag)
{
    struct line line = line_of(s, tag);
    bool alone = !strchr("v&{", tag->sigil) && line.blank_before && line.blank_after;
    const char *from = alone ? line.from : tag->start;

    push_text(s, s->p, from);
    if (!alone)
        push_indent(s, tag);
    return emit_tag(s, tag, alone ? indentation(s, from, tag->start) : "") &&
           go_on(s, from, alone ? line.next : tag->after);
}

static bool scan_one(struct scan *s)
{
    struct tag tag = { .start = g_strstr_len(s->p, s->end - s->p, s->open) };

    if (!tag.start) {
        push_text(s, s->p, s->end);
        s->p = s->end;
        return true;
    }
    if (!read_tag(s, &tag))
        return false;
    if (tag.sigil == '<')
        return scan_parent(s, &tag);
    if (tag.sigil == '$')
        return open_is(s, 0, OP_PARENT) ? scan_replacement(s, &tag) : scan_block(s, &tag);
    if (tag.sigil == '/' && open_is(s, 0, OP_PARENT))
        return scan_parent_end(s, &tag);
    if (tag.sigil == '/' && open_is(s, 0, OP_BLOCK) && open_is(s, 1, OP_PARENT))
        return scan_replacement_end(s, &tag);
    return scan_tag(s, &tag);
}

struct mustache *mustache_compile(const char *name, const char *text, size_t len, const char *indent, char **why)
{
    struct mustache *m = g_new0(struct mustache, 1);
    struct scan s = {
        .m = m, .text = text, .p = text, .end = text + len, .open = "{{", .close = "}}", .line = 1, .dedent = ""
    };
    bool good;

    m->name = g_strdup(name);
    m->ops = g_array_new(FALSE, TRUE, sizeof(struct op));
    m->strings = g_string_chunk_new(512);
    s.indent = g_string_chunk_insert_const(m->strings, indent);
    s.blocks = g_array_new(FALSE, FALSE, sizeof(struct open));
    good = len <= MUSTACHE_MAX_SOURCE || complain(&s, text, "the file is larger than 256 kB");
    good = good && (!memchr(text, 0, len) || complain(&s, memchr(text, 0, len), "holds a NUL byte"));
    if (good && len && !g_utf8_validate(text, (gssize)len, &s.p))
        good = complain(&s, s.p, "is not UTF-8");
    s.p = text;
    while (good && s.p < s.end)
        good = scan_one(&s);
    if (good && s.blocks->len) {
        const struct op *op = open_op(&s, 0);
        s.why = g_strdup_printf("%s:%d:1: the section \"%s\" is not closed", name, op->line, op->name);
        good = false;
    }
    g_array_free(s.blocks, TRUE);
    if (good)
        return m;
    mustache_free(m);
    *why = s.why;
    return NULL;
}

void mustache_free(struct mustache *m)
{
    if (!m)
        return;
    for (guint i = 0; i < m->ops->len; i++) {
        const struct op *op = &g_array_index(m->ops, struct op, i);
        g_strfreev(op->path);
        if (op->prepared)
            m->literals->release(op->prepared);
    }
    g_array_free(m->ops, TRUE);
    g_string_chunk_free(m->strings);
    g_free(m->name);
    g_free(m);
}

const char *mustache_name(const struct mustache *m)
{
    return m->name;
}

void mustache_prepare(struct mustache *m, const struct mustache_literals *literals)
{
    m->literals = literals;
    for (guint i = 0; i < m->ops->len; i++) {
        struct op *op = &g_array_index(m->ops, struct op, i);
        if (op->kind == OP_TEXT)
            op->prepared = literals->prepare(op->name, op->len);
    }
}

static void mention(const struct mustache *m, int from, int to, mustache_mention_fn *on_mention, void *arg,
                    const struct mustache_scope *scope)
{
    for (int i = from; i < to; i++) {
        const struct op *op = &g_array_index(m->ops, struct op, i);
        struct mustache_scope inner = { op->kind == OP_SECTION ? op->name : NULL, scope };
        if (op->kind == OP_VALUE)
            on_mention(arg, op->raw ? '&' : 'v', op->name, op->line, scope);
        if (op->kind == OP_SECTION || op->kind == OP_INVERTED)
            on_mention(arg, 's', op->name, op->line, scope);
        if ((op->kind == OP_PARTIAL || op->kind == OP_PARENT) && !op->dynamic)
            on_mention(arg, 'p', op->name, op->line, scope);
        if (op->end)
            mention(m, i + 1, op->end, on_mention, arg,
                    op->kind == OP_SECTION || op->kind == OP_PARENT ? &inner : scope);
        i = op->end ? op->end : i;
    }
}

void mustache_mentions(const struct mustache *m, mustache_mention_fn *on_mention, void *arg,
                       const struct mustache_scope *scope)
{
    mention(m, 0, (int)m->ops->len, on_mention, arg, scope);
}
