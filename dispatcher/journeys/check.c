#include "dispatcher/journeys/check.h"

#include <string.h>

#include "dispatcher/base/vocab.h"

static void add_name(void *list, struct template *t)
{
    if (!template_is_pages(t))
        g_ptr_array_add(list, (char *)template_name(t));
}

static void complain_no_template(const struct service *s, struct complaints *c, const char *at, const char *name)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();

    library_each(s->library, add_name, names);
    g_ptr_array_add(names, NULL);
    complain_nearest(c, at, "template", name, "is no template", (const char *const *)names->pdata);
}

static void check_channels(struct complaints *c, const char *at, const struct template *t, const json_t *channels)
{
    json_t *item;
    size_t i;

    if (channels && (!json_is_array(channels) || !json_array_size(channels)))
        complain(c, at, "channels", "must be a list of %s", CHANNEL_LIST);
    json_array_foreach ((json_t *)channels, i, item) {
        const char *name = json_is_string(item) ? json_string_value(item) : "";
        g_autofree char *place = path_item(at, "channels", i);
        if (!channel_letter(name))
            complain(c, place, NULL, "must be one of %s", CHANNEL_LIST);
        else if (!template_has_channel(t, name))
            complain(c, place, NULL, "the template %s has no part for %s", template_name(t), name);
    }
}

/* Something of the declared type, for data that comes from a path: whether it is there only the run knows. */
static json_t *any_value(const json_t *declared)
{
    const json_t *sample = json_object_get(declared, "sample");
    const char *type = json_string_value(json_object_get(declared, "type"));

    if (sample)
        return json_incref((json_t *)sample);
    if (g_strcmp0(type, "integer") == 0 || g_strcmp0(type, "number") == 0)
        return json_integer(1);
    if (g_strcmp0(type, "boolean") == 0)
        return json_true();
    return g_strcmp0(type, "list") == 0 || g_strcmp0(type, "array") == 0 ? json_array()
           : g_strcmp0(type, "object") == 0                              ? json_object()
                                                                         : NULL;
}

struct data_check {
    struct complaints *c;
    const char *at;
    const json_t *data;
};

/* Of what comes from a path, only that it is named counts. */
static void on_data(void *arg, const char *pointer, const char *detail)
{
    struct data_check *check = arg;
    const char *key = g_str_has_prefix(pointer, "/data/") ? pointer + 6 : NULL;
    const json_t *given = key ? json_object_get(check->data, key) : NULL;
    bool from_path = json_is_object(given) && !json_object_get(given, "default");

    if (from_path && strcmp(detail, "is unknown") != 0 && !strstr(detail, "no variable"))
        return;
    g_autofree char *place = given ? path_to(check->at, key) : g_strdup(check->at);
    if (given)
        complain(check->c, place, NULL, "%s", detail);
    else
        complain(check->c, place, NULL, "%s %s", key ? key : "it", detail);
}

static void check_data(struct complaints *c, const char *at, const struct template *t, const json_t *data)
{
    g_autofree char *place = path_to(at, "data");
    struct data_check check = { c, place, data };
    json_auto_t *sample = json_object();
    const char *key;
    json_t *value;

    json_object_foreach ((json_t *)data, key, value) {
        json_t *otherwise = json_object_get(value, "default");
        json_t *one = !json_is_object(value) ? json_incref(value)
                      : otherwise            ? json_incref(otherwise)
                                             : any_value(json_object_get(template_data(t), key));
        json_object_set_new(sample, key, one ? one : json_string("x"));
    }
    template_check_data(t, sample, on_data, &check);
}

static const struct category *check_category(const struct service *s, struct complaints *c, const char *at,
                                             const char *name)
{
    const struct category *category = name ? policy_category(s->policy, name) : NULL;

    if (name && !category)
        complain(c, at, "category", "\"%s\" names no category of the configuration", name);
    return category;
}

static void check_message(const struct service *s, const struct sequence *q, const char *at, const json_t *message,
                          const json_t *data, struct complaints *c)
{
    const char *name = json_string_value(json_object_get(message, "template"));
    struct template *t = name && s->library ? library_find(s->library, name) : NULL;
    const struct category *own = policy_category(s->policy, q->category ? q->category : ""), *mail;

    if (name && !t && s->library)
        complain_no_template(s, c, at, name);
    if (!t)
        return;
    if (template_fault(t)) {
        complain(c, at, "template", "%s is broken: %s", name, template_fault(t));
        return;
    }
    check_channels(c, at, t, json_object_get(message, "channels"));
    check_data(c, at, t, data);
    const char *said = json_string_value(json_object_get(message, "category"));
    mail = check_category(s, c, at, said);
    if (!said && !q->category && !template_category(t))
        complain(c, at, "category", "is required: neither the sequence nor the template names one");
    if (!mail && !said && template_category(t))
        mail = policy_category(s->policy, template_category(t));
    if (own && mail && !said && own->kind < mail->kind && mail->kind == KIND_MARKETING)
        complain(c, at, "template", "%s is marketing (%s), the sequence is not; give the step a category of its own",
                 name, template_category(t));
}

void check_content(const struct service *s, const struct sequence *q, struct complaints *c)
{
    check_category(s, c, "", q->category);
    for (guint i = 0; i < q->steps->len; i++) {
        const struct step *step = q->steps->pdata[i];
        g_autofree char *send = path_to(step->at, "send"), *first = path_to(step->at, "collect.first");
        if (step->kind == STEP_SEND)
            check_message(s, q, send, step->message, step->data, c);
        if (step->collect && step->collect->first)
            check_message(s, q, first, step->collect->first, step->collect->first_data, c);
    }
}
