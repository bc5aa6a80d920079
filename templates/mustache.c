#include "templates/mustache_own.h"

#include <string.h>

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
    int steps;
    const char *indent; /* goes before each line of a replacement; "" outside */
    size_t begin;       /* of our output */
    size_t max_output;
    char *why;
};

static bool fault(struct mustache_stack *s, const struct mustache *m, const struct op *op, char *what)
{
    s->why = g_strdup_printf("%s:%d: %s", m->name, op->line, what);
    g_free(what);
    return false;
}

/* A fault of the data, which a check wants to hear of and go on; takes `what`. */
static bool lack(struct mustache_stack *s, const struct mustache *m, const struct op *op, char *what)
{
    if (!s->env->lack)
        return fault(s, m, op, what);
    g_autofree char *full = g_strdup_printf("%s:%d: %s", m->name, op->line, what);
    s->env->lack(s->env->arg, full);
    g_free(what);
    return true;
}

static json_t *lookup_outermost(const struct mustache_stack *s, const char *name)
{
    const struct mustache_env *env = s->env;
    json_t *value = env->given ? env->given(env->arg, name) : NULL;

    if (!value)
        value = json_object_get(s->frames[0], name);
    if (value && !json_is_null(value))
        return value;
    json_t *instead = env->missing ? env->missing(env->arg, name) : NULL; /* a default */
    return instead ? instead : value;
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
    g_auto(GStrv) path = mustache_path(name);
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

/* Appends a JSON value as Mustache prints it; false for objects and arrays. */
static bool append_scalar(const json_t *value, GString *out)
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

static void tell_value(struct mustache_stack *s, const struct op *op, size_t from)
{
    if (s->env->value)
        s->env->value(s->env->arg, from, s->out->len, s->env->html && op->raw);
}

/* A text stands there now. */
static bool text_placed(struct mustache_stack *s, const struct mustache *m, const struct op *op, size_t from,
                        bool message)
{
    const struct mustache_env *env = s->env;
    char *what = env->placed ? env->placed(env->arg, s->out, from, message) : NULL;

    if (what && !lack(s, m, op, what))
        return false;
    if (env->html && !op->raw)
        escape_tail(s->out, from);
    tell_value(s, op, from);
    return true;
}

static bool append_message(struct mustache_stack *s, const struct mustache *m, const struct op *op)
{
    const struct mustache_env *env = s->env;
    size_t from = s->out->len;
    char *what = env->message(env->arg, op->name + strlen(env->message_prefix), s, s->out);

    return what ? lack(s, m, op, what) : text_placed(s, m, op, from, true);
}

static bool append_value(struct mustache_stack *s, const struct mustache *m, const struct op *op)
{
    const struct mustache_env *env = s->env;

    if (env->message && g_str_has_prefix(op->name, env->message_prefix))
        return append_message(s, m, op);
    const json_t *value = lookup(s, op->path);
    if (!value)
        return !env->strict || lack(s, m, op, g_strdup_printf("the variable \"%s\" is missing", op->name));
    size_t from = s->out->len;
    if (!append_scalar(value, s->out))
        return lack(s, m, op, g_strdup_printf("\"%s\" is no text and no number", op->name));
    if (json_is_string(value))
        return text_placed(s, m, op, from, false);
    tell_value(s, op, from);
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
    if (++s->steps > MUSTACHE_MAX_STEPS)
        return fault(s, m, op, g_strdup("the template does not come to an end"));
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
        return lack(s, m, op, why ? why : g_strdup_printf("there is no partial \"%s\"", name));
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
    const char *around = s->indent;
    g_autofree char *indent = *around || *op->indent ? g_strconcat(around, op->indent, NULL) : NULL;
    s->indent = indent ? indent : around;
    s->calls++;
    bool good = run(s, found->m, at + 1, g_array_index(found->m->ops, struct op, at).end, found->older);
    s->calls--;
    s->indent = around;
    return good;
}

/* A line of the output that a replacement begins is indented like the block that it replaces. */
static void append_indent(struct mustache_stack *s)
{
    if (*s->indent && (s->out->len == s->begin || s->out->str[s->out->len - 1] == '\n'))
        append(s->out, s->indent, strlen(s->indent));
}

static void append_lines(struct mustache_stack *s, const char *text, size_t len)
{
    for (const char *p = text, *end = text + len; p < end;) {
        const char *eol = memchr(p, '\n', (size_t)(end - p)), *next = eol ? eol + 1 : end;
        append_indent(s);
        append(s->out, p, (size_t)(next - p));
        p = next;
    }
}

static void append_literal(struct mustache_stack *s, const struct op *op)
{
    if (*s->indent) {
        append_lines(s, op->name, op->len);
        return;
    }
    if (op->prepared && s->env->literal)
        s->env->literal(s->env->arg, s->out->len, op->prepared);
    append(s->out, op->name, op->len);
}

static bool run(struct mustache_stack *s, const struct mustache *m, int from, int to, const struct overrides *over)
{
    bool good = true;

    for (int i = from; i < to && good; i++) {
        const struct op *op = &g_array_index(m->ops, struct op, i);
        if (++s->steps > MUSTACHE_MAX_STEPS)
            return fault(s, m, op, g_strdup("the template does not come to an end"));
        if (s->env->place && (op->kind == OP_TEXT || op->kind == OP_VALUE))
            s->env->place(s->env->arg, s->out->len, m->name, op->line);
        switch (op->kind) {
        case OP_TEXT: append_literal(s, op); break;
        case OP_VALUE:
            append_indent(s);
            good = append_value(s, m, op);
            break;
        case OP_SECTION: good = run_section(s, m, op, i, over); break;
        case OP_INVERTED: good = !is_false(lookup(s, op->path)) || run(s, m, i + 1, op->end, over); break;
        case OP_PARTIAL: good = run_partial(s, m, op, over); break; /* a parent without blocks */
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
    struct mustache_stack s = {
        .env = env, .out = out, .frames = { (json_t *)context }, .depth = 1, .indent = "", .begin = out->len
    };

    s.max_output = env->max_output ? env->max_output : MUSTACHE_MAX_OUTPUT;

    run(&s, m, 0, (int)m->ops->len, NULL);
    return s.why;
}
