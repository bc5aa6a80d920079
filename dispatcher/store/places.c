#include "dispatcher/store/places.h"

#include <glib.h>

#include "dispatcher/store/asking.h"

struct taking {
    place_fn *fn;
    void *arg;
};

static struct taking *taking_new(place_fn *fn, void *arg)
{
    struct taking *t = g_new0(struct taking, 1);

    *t = (struct taking){ fn, arg };
    return t;
}

static void on_taken(void *arg, const redisReply *reply)
{
    struct taking *t = arg;

    t->fn(t->arg, reply != NULL, *reply_text(reply, 0) == '1', reply_text(reply, 1),
          g_ascii_strtoll(reply_text(reply, 2), NULL, 10));
    g_free(t);
}

void store_place_in_wave(struct store *s, const char *sequence, const char *wave, const char *recipient, int most,
                         place_fn *fn, void *arg)
{
    struct args *a = args_new();
    g_autofree char *name = g_strconcat(sequence, ":", wave, NULL);

    args_text(a, "wave");
    args_text(a, name);
    args_text(a, recipient);
    args_int(a, most);
    store_script(s, store_partition(s, sequence), "place", a, on_taken, taking_new(fn, arg));
}

static struct args *of_group(const char *op, const char *account, const char *group, struct place_owner who)
{
    struct args *a = args_new();

    args_text(a, op);
    args_text(a, account);
    args_text(a, group);
    args_text(a, who.recipient);
    args_text(a, who.run);
    return a;
}

void store_place_take(struct store *s, const char *account, const char *group, const char *recipient, const char *run,
                      bool waits, place_fn *fn, void *arg)
{
    struct args *a = of_group("take", account, group, (struct place_owner){ recipient, run });

    args_text(a, waits ? "1" : "");
    store_script(s, store_partition(s, account), "place", a, on_taken, taking_new(fn, arg));
}

/* ---------------------------------------------------------------- giving back */

void store_place_give(struct store *s, const char *account, const char *group, const char *recipient, const char *run,
                      json_fn *fn, void *arg)
{
    struct args *a = of_group("give", account, group, (struct place_owner){ recipient, run });

    store_script(s, store_partition(s, account), "place", a, on_asked, asking_new(read_texts, fn, arg));
}

static json_t *read_owner(const redisReply *reply, struct asking *job)
{
    return json_pack("{s:s}", "owner", reply_text(reply, 0));
}

void store_place_owner(struct store *s, const char *account, const char *group, json_fn *fn, void *arg)
{
    struct args *a = of_group("owner", account, group, (struct place_owner){ "", "" });

    store_script(s, store_partition(s, account), "place", a, on_asked, asking_new(read_owner, fn, arg));
}

void store_place_free(struct store *s, const char *account, const char *group, const char *recipient, int64_t ms,
                      json_fn *fn, void *arg)
{
    char text[32];

    g_snprintf(text, sizeof text, "%" G_GINT64_FORMAT, ms);
    store_script(s, store_partition(s, account), "place",
                 of_group("free", account, group, (struct place_owner){ recipient, text }), on_asked,
                 asking_new(read_nothing, fn, arg));
}

void store_place_pass(struct store *s, const char *account, const char *group, struct place_owner from,
                      struct place_owner to, json_fn *fn, void *arg)
{
    struct args *a = of_group("pass", account, group, from);

    args_text(a, to.recipient);
    args_text(a, to.run);
    store_script(s, store_partition(s, account), "place", a, on_asked, asking_new(read_texts, fn, arg));
}

static void on_gone(void *arg, const redisReply *reply)
{
}

void store_place_gone(struct store *s, const char *account, const char *recipient, const char *group)
{
    struct args *a = args_new();

    args_text(a, "gone");
    args_text(a, account);
    args_text(a, recipient);
    args_text(a, group);
    store_script(s, store_partition(s, account), "place", a, on_gone, NULL);
}
