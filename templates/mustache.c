#include "templates/mustache.h"

#include <ctype.h>
#include <string.h>

/*
 *  text ──scan──▶ tags ──▶ flat operations; a block operation knows where it ends
 *
 *      TEXT "Hello "   VALUE name   SECTION items ─┐  TEXT ...  END ◀┘
 */
enum op_kind { OP_TEXT, OP_VALUE, OP_SECTION, OP_INVERTED, OP_PARTIAL, OP_PARENT, OP_BLOCK, OP_END };

struct op {
    enum op_kind kind;
    bool raw;         /* VALUE: not escaped */
    bool dynamic;     /* PARTIAL, PARENT: the name is looked up */
    int line, end;    /* end: index of the matching END */
    const char *name; /* as written; TEXT: the bytes */
    size_t len;       /* TEXT: how many */
    char **path;      /* name split at dots; NULL for "." */
    void *prepared;   /* TEXT: what mustache_prepare() made of it */
    const char *indent;
};

struct mustache {
    char *name;
    GArray *ops;
    GStringChunk *strings;
    const struct mustache_literals *literals;
};

/* ---------------------------------------------------------------- compiling */

struct scan {
    struct mustache *m;
    const char *text, *p, *end;
    char open[16], close[16];
    const char *indent;
    int line;
    const char *line_start;
    GArray *blocks; /* indices of open block operations */
    char *why;
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
        if (*s->indent && (p == s->text || p[-1] == '\n'))
            g_string_append(text, s->indent);
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

static char **split_path(struct mustache *m, const char *name)
{
    if (strcmp(name, ".") == 0)
        return NULL;
    return g_strsplit(name, ".", 32);
}

static bool is_blank(const char *from, const char *to)
{
    while (from < to && (*from == ' ' || *from == '\t'))
        from++;
    return from == to;
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
    tag->dynamic = (tag->sigil == '>' || tag->sigil == '<') && *name == '*';
    if (tag->dynamic)
        memmove(name, name + 1, strlen(name)), g_strstrip(name);
    if (!*name)
        return complain(s, tag->start, "this tag has no name");
    if (strpbrk(name, " \t\r\n{}"))
        return complain(s, tag->start, "a name has no blanks and no braces");
    tag->name = g_string_chunk_insert_const(s->m->strings, name);
    return true;
}

static bool close_block(struct scan *s, const struct tag *tag)
{
    if (s->blocks->len == 0)
        return complain(s, tag->start, "this closes nothing");
    int index = g_array_index(s->blocks, int, s->blocks->len - 1);
    struct op *block = &g_array_index(s->m->ops, struct op, index);
    if (strcmp(block->name, tag->name) != 0) {
        g_autofree char *what =
            g_strdup_printf("closes \"%s\", but \"%s\" of line %d is open", tag->name, block->name, block->line);
        return complain(s, tag->start, what);
    }
    block->end = (int)s->m->ops->len;
    g_array_set_size(s->blocks, s->blocks->len - 1);
    push_op(s, (struct op){ .kind = OP_END });
    return true;
}

static bool open_block(struct scan *s, const struct tag *tag, enum op_kind kind, const char *indent)
{
    int index = (int)s->m->ops->len;

    if (s->blocks->len >= MUSTACHE_MAX_NESTING)
        return complain(s, tag->start, "sections are nested too deeply");
    g_array_append_val(s->blocks, index);
    push_op(s, (struct op){ .kind = kind,
                            .name = tag->name,
                            .path = split_path(s->m, tag->name),
                            .dynamic = tag->dynamic,
                            .indent = indent });
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
    case '$': return open_block(s, tag, OP_BLOCK, NULL);
    case '<': return open_block(s, tag, OP_PARENT, indent);
    case '>':
        push_op(s, (struct op){ .kind = OP_PARTIAL,
                                .name = tag->name,
                                .path = split_path(s->m, tag->name),
                                .dynamic = tag->dynamic,
                                .indent = indent });
        return true;
    default:
        push_op(s, (struct op){ .kind = OP_VALUE,
                                .name = tag->name,
                                .path = split_path(s->m, tag->name),
                                .raw = tag->sigil != 'v' });
        return true;
    }
}

/* A tag that stands alone on its line takes the line with it (not variables). */
static bool stands_alone(const struct scan *s, const struct tag *tag, const char **line, const char **next)
{
    const char *from = tag->start, *to = tag->after;

    if (strchr("v&{", tag->sigil))
        return false;
    while (from > s->text && from[-1] != '\n')
        from--;
    const char *eol = memchr(to, '\n', (size_t)(s->end - to));
    const char *stop = eol ? eol : s->end;
    if (stop > to && stop[-1] == '\r')
        stop--;
    if (from < s->p || !is_blank(from, tag->start) || !is_blank(to, stop))
        return false;
    *line = from;
    *next = eol ? eol + 1 : s->end;
    return true;
}

static bool scan_one(struct scan *s)
{
    const char *line, *next, *indent = "";
    struct tag tag = { .start = g_strstr_len(s->p, s->end - s->p, s->open) };

    if (!tag.start) {
        push_text(s, s->p, s->end);
        s->p = s->end;
        return true;
    }
    if (!read_tag(s, &tag))
        return false;
    bool alone = stands_alone(s, &tag, &line, &next);
    push_text(s, s->p, alone ? line : tag.start);
    if (alone) {
        g_autofree char *own = g_strndup(line, (gsize)(tag.start - line));
        g_autofree char *all = g_strconcat(s->indent, own, NULL);
        indent = g_string_chunk_insert_const(s->m->strings, all);
    } else if (*s->indent && (tag.start == s->text || tag.start[-1] == '\n') && strchr("v&{", tag.sigil)) {
        push_op(s, (struct op){ .kind = OP_TEXT,
                                .name = g_string_chunk_insert_const(s->m->strings, s->indent),
                                .len = strlen(s->indent) });
    }
    if (!emit_tag(s, &tag, indent))
        return false;
    s->p = alone ? next : tag.after;
    for (const char *p = alone ? line : tag.start; p < s->p; p++)
        s->line += *p == '\n';
    return true;
}

struct mustache *mustache_compile(const char *name, const char *text, size_t len, const char *indent, char **why)
{
    struct mustache *m = g_new0(struct mustache, 1);
    struct scan s = {
        .m = m, .text = text, .p = text, .end = text + len, .open = "{{", .close = "}}", .line = 1, .indent = indent
    };
    bool good;

    m->name = g_strdup(name);
    m->ops = g_array_new(FALSE, TRUE, sizeof(struct op));
    m->strings = g_string_chunk_new(512);
    s.blocks = g_array_new(FALSE, FALSE, sizeof(int));
    good = len <= MUSTACHE_MAX_SOURCE || complain(&s, text, "the file is larger than 256 kB");
    good = good && (!memchr(text, 0, len) || complain(&s, memchr(text, 0, len), "holds a NUL byte"));
    if (good && len && !g_utf8_validate(text, (gssize)len, &s.p))
        good = complain(&s, s.p, "is not UTF-8");
    s.p = text;
    while (good && s.p < s.end)
        good = scan_one(&s);
    if (good && s.blocks->len) {
        const struct op *op = &g_array_index(m->ops, struct op, g_array_index(s.blocks, int, s.blocks->len - 1));
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
        struct mustache_scope inner = { op->name, scope };
        if (op->kind == OP_VALUE)
            on_mention(arg, op->raw ? '&' : 'v', op->name, op->line, scope);
        if (op->kind == OP_SECTION || op->kind == OP_INVERTED)
            on_mention(arg, 's', op->name, op->line, scope);
        if ((op->kind == OP_PARTIAL || op->kind == OP_PARENT) && !op->dynamic)
            on_mention(arg, 'p', op->name, op->line, scope);
        if (op->end)
            mention(m, i + 1, op->end, on_mention, arg, op->kind == OP_SECTION ? &inner : scope);
        i = op->end ? op->end : i;
    }
}

void mustache_mentions(const struct mustache *m, mustache_mention_fn *on_mention, void *arg,
                       const struct mustache_scope *scope)
{
    mention(m, 0, (int)m->ops->len, on_mention, arg, scope);
}

/* ---------------------------------------------------------------- rendering */

/* Blocks that a child hands to its parent: the operations between `from` and `to` of a program. */
struct overrides {
    const struct mustache *m;
    int from, to;
    const struct overrides *older; /* further out: given earlier, and stronger */
};

struct mustache_stack {
    const struct mustache_env *env;
    GString *out;
    json_t *frames[MUSTACHE_MAX_DEPTH];
    int depth, calls;
    size_t max_output;
    char *why;
};

static bool fault(struct mustache_stack *s, const struct mustache *m, const struct op *op, char *what)
{
    s->why = g_strdup_printf("%s:%d: %s", m->name, op->line, what);
    g_free(what);
    return false;
}

static json_t *lookup_outermost(const struct mustache_stack *s, const char *name)
{
    const struct mustache_env *env = s->env;
    json_t *value = env->given ? env->given(env->arg, name) : NULL;

    if (!value)
        value = json_object_get(s->frames[0], name);
    return value || !env->missing ? value : env->missing(env->arg, name);
}

static json_t *lookup(const struct mustache_stack *s, char *const *path)
{
    json_t *value = NULL;

    if (!path)
        return s->frames[s->depth - 1];
    for (int i = s->depth - 1; i > 0 && !value; i--)
        value = json_object_get(s->frames[i], path[0]);
    if (!value)
        value = lookup_outermost(s, path[0]);
    for (int i = 1; path[i] && value; i++)
        value = json_object_get(value, path[i]);
    return value;
}

bool mustache_at_top(const struct mustache_stack *s)
{
    return s->depth == 1;
}

const json_t *mustache_lookup(const struct mustache_stack *s, const char *name)
{
    char *one[] = { (char *)name, NULL };

    if (strcmp(name, ".") != 0 && !strchr(name, '.'))
        return lookup(s, one);
    g_auto(GStrv) path = split_path(NULL, name);
    return lookup(s, path);
}

/* g_string_append_len() without its checks: this is where most of the time goes. */
static void append(GString *out, const char *text, size_t len)
{
    if (out->len + len >= out->allocated_len) {
        g_string_append_len(out, text, (gssize)len);
        return;
    }
    memcpy(out->str + out->len, text, len);
    out->len += len;
    out->str[out->len] = '\0';
}

static const char *entity_of(char c)
{
    switch (c) {
    case '&': return "&amp;";
    case '<': return "&lt;";
    case '>': return "&gt;";
    case '"': return "&quot;";
    case '\'': return "&#39;";
    default: return NULL;
    }
}

/* By how much an entity is longer than its character. */
static const unsigned char extra_bytes[256] = { ['&'] = 4, ['<'] = 3, ['>'] = 3, ['"'] = 5, ['\''] = 4 };

/* Escapes what stands at the end of the output, from `from` on, where it stands. */
static void escape_tail(GString *out, size_t from)
{
    size_t read = out->len, extra = 0;

    for (size_t i = from; i < out->len; i++)
        extra += extra_bytes[(unsigned char)out->str[i]];
    if (!extra)
        return;
    g_string_set_size(out, out->len + extra);
    for (size_t write = out->len; write > read;) {
        const char *entity = entity_of(out->str[--read]);
        size_t n = entity ? strlen(entity) : 1;
        write -= n;
        memcpy(out->str + write, entity ? entity : &out->str[read], n);
    }
}

static void append_real(double real, GString *out)
{
    static const char *const precise[] = { "%.15g", "%.16g", "%.17g" };
    char buf[G_ASCII_DTOSTR_BUF_SIZE];

    for (size_t i = 0; i < G_N_ELEMENTS(precise); i++) { /* the shortest that reads back the same */
        g_ascii_formatd(buf, sizeof buf, precise[i], real);
        if (g_ascii_strtod(buf, NULL) == real)
            break;
    }
    g_string_append(out, buf);
}

bool mustache_scalar(const json_t *value, GString *out)
{
    switch (json_typeof(value)) {
    case JSON_STRING: append(out, json_string_value(value), json_string_length(value)); return true;
    case JSON_INTEGER: g_string_append_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value)); return true;
    case JSON_REAL: append_real(json_real_value(value), out); return true;
    case JSON_TRUE: g_string_append(out, "true"); return true;
    case JSON_FALSE: g_string_append(out, "false"); return true;
    case JSON_NULL: return true;
    default: return false;
    }
}

static bool append_message(struct mustache_stack *s, const struct mustache *m, const struct op *op)
{
    const struct mustache_env *env = s->env;
    size_t from = s->out->len;
    char *what = env->message(env->arg, op->name + strlen(env->message_prefix), s, s->out);

    if (what)
        return fault(s, m, op, what);
    if (env->html && !op->raw)
        escape_tail(s->out, from);
    return true;
}

static bool append_value(struct mustache_stack *s, const struct mustache *m, const struct op *op)
{
    const struct mustache_env *env = s->env;

    if (env->message && g_str_has_prefix(op->name, env->message_prefix))
        return append_message(s, m, op);
    const json_t *value = lookup(s, op->path);
    if (!value)
        return !env->strict || fault(s, m, op, g_strdup_printf("the variable \"%s\" is missing", op->name));
    size_t from = s->out->len;
    if (!mustache_scalar(value, s->out))
        return fault(s, m, op, g_strdup_printf("\"%s\" is no text and no number", op->name));
    if (env->html && !op->raw && json_is_string(value))
        escape_tail(s->out, from);
    return true;
}

static bool is_false(const json_t *value)
{
    return !value || json_is_false(value) || json_is_null(value) ||
           (json_is_array(value) && json_array_size(value) == 0);
}

static bool run(struct mustache_stack *, const struct mustache *, int from, int to, const struct overrides *);

static bool run_in(struct mustache_stack *s, json_t *frame, const struct mustache *m, const struct op *op, int index,
                   const struct overrides *over)
{
    if (s->depth >= MUSTACHE_MAX_DEPTH)
        return fault(s, m, op, g_strdup("sections are nested too deeply"));
    s->frames[s->depth++] = frame;
    bool good = run(s, m, index + 1, op->end, over);
    s->depth--;
    return good;
}

static bool run_section(struct mustache_stack *s, const struct mustache *m, const struct op *op, int index,
                        const struct overrides *over)
{
    json_t *value = lookup(s, op->path), *item;
    size_t i;

    if (is_false(value))
        return true;
    if (!json_is_array(value))
        return run_in(s, value, m, op, index, over);
    json_array_foreach (value, i, item)
        if (!run_in(s, item, m, op, index, over))
            return false;
    return true;
}

static bool run_partial(struct mustache_stack *s, const struct mustache *m, const struct op *op,
                        const struct overrides *over)
{
    const char *name = op->name;
    char *why = NULL;

    if (op->dynamic) {
        const json_t *value = lookup(s, op->path);
        if (!json_is_string(value))
            return !s->env->strict || fault(s, m, op, g_strdup_printf("\"%s\" does not name a partial", op->name));
        name = json_string_value(value);
    }
    const struct mustache *partial = s->env->partial ? s->env->partial(s->env->arg, name, op->indent, &why) : NULL;
    if (!partial && !s->env->strict)
        return g_free(why), true;
    if (!partial)
        return fault(s, m, op, why ? why : g_strdup_printf("there is no partial \"%s\"", name));
    if (s->calls >= MUSTACHE_MAX_DEPTH)
        return fault(s, m, op, g_strdup_printf("the partial \"%s\" includes itself without end", name));
    s->calls++;
    bool good = run(s, partial, 0, (int)partial->ops->len, over);
    s->calls--;
    return good;
}

/* The strongest replacement for a block: the one given furthest out. */
static bool find_override(const char *name, const struct overrides *over, const struct overrides **found, int *index)
{
    *found = NULL;
    for (; over; over = over->older) {
        for (int i = over->from; i < over->to; i++) {
            const struct op *op = &g_array_index(over->m->ops, struct op, i);
            if (op->kind == OP_BLOCK && strcmp(op->name, name) == 0) {
                *found = over;
                *index = i;
            }
            if (op->end)
                i = op->end;
        }
    }
    return *found != NULL;
}

static bool run_block(struct mustache_stack *s, const struct mustache *m, const struct op *op, int index,
                      const struct overrides *over)
{
    const struct overrides *found;
    int at;

    if (!find_override(op->name, over, &found, &at))
        return run(s, m, index + 1, op->end, over);
    if (s->calls >= MUSTACHE_MAX_DEPTH)
        return fault(s, m, op, g_strdup("blocks replace each other without end"));
    s->calls++;
    bool good = run(s, found->m, at + 1, g_array_index(found->m->ops, struct op, at).end, over);
    s->calls--;
    return good;
}

static void append_literal(struct mustache_stack *s, const struct op *op)
{
    if (op->prepared && s->env->literal)
        s->env->literal(s->env->arg, s->out->len, op->prepared);
    append(s->out, op->name, op->len);
}

static bool run(struct mustache_stack *s, const struct mustache *m, int from, int to, const struct overrides *over)
{
    bool good = true;

    for (int i = from; i < to && good; i++) {
        const struct op *op = &g_array_index(m->ops, struct op, i);
        if (s->env->place && (op->kind == OP_TEXT || op->kind == OP_VALUE))
            s->env->place(s->env->arg, s->out->len, m->name, op->line);
        switch (op->kind) {
        case OP_TEXT: append_literal(s, op); break;
        case OP_VALUE: good = append_value(s, m, op); break;
        case OP_SECTION: good = run_section(s, m, op, i, over); break;
        case OP_INVERTED: good = !is_false(lookup(s, op->path)) || run(s, m, i + 1, op->end, over); break;
        case OP_PARTIAL: good = run_partial(s, m, op, NULL); break;
        case OP_BLOCK: good = run_block(s, m, op, i, over); break;
        case OP_PARENT: good = run_partial(s, m, op, &(struct overrides){ m, i + 1, op->end, over }); break;
        case OP_END: break;
        }
        if (s->out->len > s->max_output)
            return good ? fault(s, m, op, g_strdup_printf("the output is larger than %zu kB", s->max_output / 1024))
                        : false;
        if (op->end)
            i = op->end;
    }
    return good;
}

char *mustache_render(const struct mustache *m, const struct mustache_env *env, const json_t *context, GString *out)
{
    struct mustache_stack s = { .env = env, .out = out, .frames = { (json_t *)context }, .depth = 1 };

    s.max_output = env->max_output ? env->max_output : MUSTACHE_MAX_OUTPUT;

    run(&s, m, 0, (int)m->ops->len, NULL);
    return s.why;
}
