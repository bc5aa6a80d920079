/*
 * Problem documents, RFC 9457: what every door answers to input that it refuses,
 * with one error for each place that is wrong.
 */
#ifndef DISPATCHER_BASE_PROBLEM_H
#define DISPATCHER_BASE_PROBLEM_H

#include <jansson.h>

/* problem_add: one error, {"pointer","detail"}; pointer as in RFC 6901, detail is a format. */
void problem_add(json_t *errors, const char *pointer, const char *detail, ...) __attribute__((format(printf, 3, 4)));

/* problem_unknown: one error for each key of an object that is none of `known` (NULL at the end). */
void problem_unknown(json_t *errors, const json_t *object, const char *const *known, const char *detail);

/* problem_make: the whole document; takes errors, which may be NULL. */
json_t *problem_make(int status, const char *detail, json_t *errors);

#endif
