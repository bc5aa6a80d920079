#include "dispatcher/policy/policy.h"

#include <string.h>

static const char *const consent_rules[] = { "none", "opt_out", "opt_in", "double_opt_in", NULL };

const char *consent_rule_name(enum consent_rule rule)
{
    return consent_rules[rule];
}

enum consent_rule consent_rule_of(const char *name)
{
    unsigned rule = word_index(consent_rules, name);
    return consent_rules[rule] ? (enum consent_rule)rule : CONSENT_NONE;
}

void policy_category_free(void *p)
{
    struct category *c = p;
    g_free(c->name);
    g_free(c);
}

const struct category *policy_category(const struct policy *p, const char *name)
{
    return g_hash_table_lookup(p->categories, name);
}

struct policy *policy_hold(struct policy *p)
{
    p->holds++;
    return p;
}

void policy_free(struct policy *p)
{
    if (!p || --p->holds > 0)
        return;
    for (int i = 0; p->caps && i <= p->n_caps; i++) {
        struct cap_selector *const all[] = { &p->caps[i].held, &p->caps[i].also, &p->caps[i].free };
        g_free(p->caps[i].name);
        for (size_t n = 0; n < G_N_ELEMENTS(all); n++) {
            g_strfreev(all[n]->categories);
            g_strfreev(all[n]->sources);
            g_strfreev(all[n]->roles);
        }
    }
    g_free(p->caps);
    g_hash_table_unref(p->categories);
    g_clear_pointer(&p->holidays, g_hash_table_unref);
    g_clear_pointer(&p->blackout, g_ptr_array_unref);
    g_clear_pointer(&p->accounts, g_hash_table_unref);
    g_free(p->windows);
    g_strfreev(p->suppress);
    g_strfreev(p->soft.codes);
    g_free(p);
}

/* The code of a reply, or the enhanced one (RFC 3463) or what it begins with. */
static bool code_listed(char *const *codes, const char *reply)
{
    g_auto(GStrv) words = g_strsplit(reply, " ", 3);

    for (; codes && *codes; codes++)
        for (int i = 0; i < 2 && words[i]; i++) {
            size_t len = strlen(*codes);
            if (strncmp(words[i], *codes, len) == 0 && (words[i][len] == '\0' || words[i][len] == '.'))
                return true;
        }
    return false;
}

bool policy_suppresses(const struct policy *p, const char *reply)
{
    return code_listed(p->suppress, reply);
}

bool policy_soft_bounce(const struct policy *p, const char *reply)
{
    static char *usual[] = { "4.1", "4.2", NULL };
    return p->soft.max > 0 && code_listed(p->soft.codes ? p->soft.codes : usual, reply);
}
