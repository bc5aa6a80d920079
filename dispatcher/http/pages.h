/*
 * What the pages for customers share: the visit behind a link, and the answer.
 *
 * Rendered from templates/_pages: no script, no cookie, nothing from elsewhere.
 * GET changes nothing, because mail scanners follow links; POST needs only the
 * token.
 */
#ifndef DISPATCHER_HTTP_PAGES_H
#define DISPATCHER_HTTP_PAGES_H

#include "dispatcher/base/token.h"
#include "dispatcher/http/handlers.h"
#include "templates/locale.h"

/* One visit: the token's owner, and the language found in the profile. */
struct visit {
    struct request *request;
    struct token token;
    char locale[LOCALE_SIZE];
    void (*then)(struct visit *);
};

/* visit: reads the token of the path and the owner's language, then calls; a token that is none of ours is answered
 * here. What is called borrows the visit. */
void visit(struct request *, enum token_purpose, void (*then)(struct visit *));

/* answer_page: takes the context. */
void answer_page(struct request *, int status, const char *locale, const char *page, json_t *context);

#endif
