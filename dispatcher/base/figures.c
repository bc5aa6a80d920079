#include "dispatcher/base/figures.h"

void figure_add(json_t *to, const char *key, json_int_t n)
{
    json_object_set_new(to, key, json_integer(json_integer_value(json_object_get(to, key)) + n));
}

json_t *figures_of(json_t *of, const char *key)
{
    json_t *one = json_object_get(of, key);

    if (!one)
        json_object_set_new(of, key, one = json_object());
    return one;
}
