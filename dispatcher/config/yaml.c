#include "dispatcher/config/yaml.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#define MAX_DEPTH 32
#define MAX_BYTES (16 * 1024 * 1024)

struct reader {
    yaml_document_t *doc;
    const char *name;
    enum yaml_mode mode;
    GHashTable *lines;
    char *why;
    int visits; /* a document with aliases would visit a node twice */
};

static json_t *complain(struct reader *r, const yaml_node_t *node, const char *what, const char *which)
{
    r->why = g_strdup_printf("%s:%zu: %s%s", r->name, node->start_mark.line + 1, which, what);
    return NULL;
}

static json_t *scalar_typed(const char *text)
{
    char *end;

    if (!*text || strcmp(text, "null") == 0 || strcmp(text, "~") == 0)
        return json_null();
    if (strcmp(text, "true") == 0 || strcmp(text, "True") == 0)
        return json_true();
    if (strcmp(text, "false") == 0 || strcmp(text, "False") == 0)
        return json_false();
    if (text[strspn(text, "+-0123456789")] == '\0') {
        errno = 0;
        long long number = strtoll(text, &end, 10);
        if (errno == 0 && *end == '\0' && end != text)
            return json_integer(number);
    }
    if (text[strspn(text, "+-0123456789.eE")] == '\0' && strpbrk(text, "0123456789")) {
        double real = g_ascii_strtod(text, &end);
        if (*end == '\0' && real - real == 0)
            return json_real(real);
    }
    return json_string(text);
}

/* What a request for a gateway is made of goes on as JSON, so its numbers and truth values stay what they are. */
static bool keeps_types(const char *path)
{
    return strstr(path, ".request.body") != NULL;
}

static json_t *read_scalar(struct reader *r, const yaml_node_t *node, const char *path)
{
    const char *text = (const char *)node->data.scalar.value;

    if (strlen(text) != node->data.scalar.length)
        return complain(r, node, "holds a NUL character", "");
    if ((r->mode == YAML_TYPED || keeps_types(path)) && node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
        return scalar_typed(text);
    if (node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
        (!*text || strcmp(text, "~") == 0 || strcmp(text, "null") == 0))
        return json_null();
    return json_string(text);
}

static json_t *read_node(struct reader *, int index, const char *path, int depth);

static json_t *read_mapping(struct reader *r, const yaml_node_t *node, const char *path, int depth)
{
    json_t *object = json_object();

    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top; pair++) {
        const yaml_node_t *key = yaml_document_get_node(r->doc, pair->key);
        if (key->type != YAML_SCALAR_NODE) {
            json_decref(object);
            return complain(r, key, "a key must be a word", "");
        }
        const char *name = (const char *)key->data.scalar.value;
        g_autofree char *full = *path ? g_strdup_printf("%s.%s", path, name) : g_strdup(name);
        if (json_object_get(object, name)) {
            json_decref(object);
            return complain(r, key, " is given twice", full);
        }
        json_t *value = read_node(r, pair->value, full, depth + 1);
        if (!value) {
            json_decref(object);
            return NULL;
        }
        json_object_set_new(object, name, value);
        g_hash_table_insert(r->lines, g_steal_pointer(&full), GINT_TO_POINTER((int)key->start_mark.line + 1));
    }
    return object;
}

static json_t *read_sequence(struct reader *r, const yaml_node_t *node, const char *path, int depth)
{
    json_t *array = json_array();
    int i = 0;

    for (yaml_node_item_t *item = node->data.sequence.items.start; item < node->data.sequence.items.top; item++, i++) {
        g_autofree char *full = g_strdup_printf("%s[%d]", path, i);
        json_t *value = read_node(r, *item, full, depth + 1);
        if (!value) {
            json_decref(array);
            return NULL;
        }
        json_array_append_new(array, value);
    }
    return array;
}

static json_t *read_node(struct reader *r, int index, const char *path, int depth)
{
    const yaml_node_t *node = yaml_document_get_node(r->doc, index);
    long nodes = r->doc->nodes.top - r->doc->nodes.start;

    if (depth > MAX_DEPTH)
        return complain(r, node, "is nested too deeply", "");
    if (++r->visits > nodes)
        return complain(r, node, "aliases (*name) are not read; write the value out", "");
    g_hash_table_insert(r->lines, g_strdup(path), GINT_TO_POINTER((int)node->start_mark.line + 1));
    switch (node->type) {
    case YAML_SCALAR_NODE: return read_scalar(r, node, path);
    case YAML_SEQUENCE_NODE: return read_sequence(r, node, path, depth);
    case YAML_MAPPING_NODE: return read_mapping(r, node, path, depth);
    default: return complain(r, node, "is no value", "");
    }
}

/* Inside { } and [ ] a brace of its own begins a mapping. */
static bool has_reference(const char *text, size_t len, size_t line)
{
    const char *p = text, *end = text + len;

    while (line-- > 0 && p)
        p = memchr(p, '\n', (size_t)(end - p)) ? (const char *)memchr(p, '\n', (size_t)(end - p)) + 1 : NULL;
    const char *eol = p ? memchr(p, '\n', (size_t)(end - p)) : NULL;
    return p && g_strstr_len(p, (eol ? eol : end) - p, "${");
}

/* libyaml takes the square of how deep flow collections are nested: what no reader here takes is refused before. */
#define FLOW_DEPTH 1000

static bool is_bottomless(const char *text, size_t len)
{
    int depth = 0;

    for (size_t i = 0; i < len && depth <= FLOW_DEPTH; i++) {
        depth += text[i] == '[' || text[i] == '{';
        if ((text[i] == ']' || text[i] == '}') && depth > 0)
            depth--;
    }
    return depth > FLOW_DEPTH;
}

static bool load(yaml_parser_t *parser, yaml_document_t *doc, const char *name, const char *text, size_t len,
                 char **why)
{
    if (yaml_parser_load(parser, doc))
        return true;
    *why = g_strdup_printf("%s:%zu: is no YAML: %s%s%s%s", name, parser->problem_mark.line + 1,
                           parser->context ? parser->context : "", parser->context ? ", " : "",
                           parser->problem ? parser->problem : "it cannot be read",
                           has_reference(text, len, parser->problem_mark.line)
                               ? "; inside { } and [ ] a reference needs quotation marks: \"${NAME:-8}\""
                               : "");
    return false;
}

json_t *yaml_parse(const char *name, const char *text, size_t len, enum yaml_mode mode, GHashTable **lines, char **why)
{
    yaml_parser_t parser;
    yaml_document_t doc, more;
    json_t *value = NULL;
    GHashTable *table = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

    if (is_bottomless(text, len)) {
        *why = g_strdup_printf("%s:1: is nested too deeply", name);
        g_hash_table_unref(table);
        return NULL;
    }
    yaml_parser_initialize(&parser);
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) /* a byte order mark is no part of it */
        text += 3, len -= 3;
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
    if (load(&parser, &doc, name, text, len, why)) {
        struct reader r = { .doc = &doc, .name = name, .mode = mode, .lines = table };
        yaml_node_t *root = yaml_document_get_root_node(&doc);
        value = root ? read_node(&r, (int)(root - doc.nodes.start) + 1, "", 0) : json_object();
        *why = r.why;
        if (value && json_is_null(value)) {
            json_decref(value);
            value = json_object();
        }
        yaml_document_delete(&doc);
        if (value && root) {
            bool second = load(&parser, &more, name, text, len, why) && yaml_document_get_root_node(&more);
            if (second)
                *why =
                    g_strdup_printf("%s:%zu: a second document begins here; one is read", name, parser.mark.line + 1);
            if (!*why || second)
                yaml_document_delete(&more);
            if (*why)
                g_clear_pointer(&value, json_decref);
        }
    }
    yaml_parser_delete(&parser);
    if (value && lines)
        *lines = g_steal_pointer(&table);
    if (table)
        g_hash_table_unref(table);
    return value;
}

json_t *yaml_read(const char *path, GHashTable **lines, char **why)
{
    g_autofree char *text = NULL;
    gsize len;
    GError *error = NULL;

    if (!g_file_get_contents(path, &text, &len, &error)) {
        *why = g_strdup_printf("%s:1: %s", path, error->message);
        g_error_free(error);
        return NULL;
    }
    if (len > MAX_BYTES) {
        *why = g_strdup_printf("%s:1: is larger than 16 MB", path);
        return NULL;
    }
    return yaml_parse(path, text, len, YAML_TYPED, lines, why);
}

int yaml_line(GHashTable *lines, const char *at)
{
    g_autofree char *path = g_strdup(at);
    int line = GPOINTER_TO_INT(g_hash_table_lookup(lines, path));

    while (!line && *path) {
        char *dot = strrchr(path, '.'), *bracket = strrchr(path, '['), *cut = MAX(dot, bracket);
        *(cut ? cut : path) = '\0';
        line = GPOINTER_TO_INT(g_hash_table_lookup(lines, path));
    }
    return line ? line : 1;
}
