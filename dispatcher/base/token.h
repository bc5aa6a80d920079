/*
 * Tokens for links and inboxes: sealed, so that nobody can read, guess or alter
 * them, and bound to a recipient, a category and a purpose, so that one made for
 * unsubscribing cannot open an inbox.  The same meaning has one spelling.
 */
#ifndef DISPATCHER_BASE_TOKEN_H
#define DISPATCHER_BASE_TOKEN_H

#include <stdbool.h>
#include <stdint.h>

enum token_purpose { TOKEN_UNSUBSCRIBE = 'u', TOKEN_PREFERENCES = 'p', TOKEN_INBOX = 'i', TOKEN_CONFIRM = 'c' };

struct token {
    char recipient[129];
    char category[64];  /* "" for none */
    char message[32];   /* that the link came with, "" for none */
    int64_t expires_ms; /* 0: never */
};

/* token_make: g_free. */
char *token_make(const char *secret, enum token_purpose, const struct token *);

/* token_read: false when it is not one of ours, for this purpose, or is past its time. */
bool token_read(const char *secret, enum token_purpose, const char *text, int64_t now_ms, struct token *);

#endif
