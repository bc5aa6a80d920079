/*
 * The cost of a finished mail: what the worker does between claim and admission
 * (dispatcher/render.h), for recipients in three languages.
 *
 *     bench_render CONFIG DATA.json MAILS
 *
 * Prints one JSON line: ns for a whole mail, the same with signed links for unsubscribing, the templates alone, and the
 * size of a mail.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dispatcher/base/clock.h"
#include "dispatcher/content/render.h"
#include "schedules/instant.h"

static const char *const locales[] = { "en", "de", "pl" };

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void fail(const char *why)
{
    fprintf(stderr, "bench_render: %s\n", why);
    exit(1);
}

struct job {
    struct service *service;
    json_t *body, *profiles[3];
    const struct category *category;
    size_t bytes;
};

static void whole_mail(struct job *j, int i)
{
    struct rendered_delivery out;
    if (!render_delivery(j->service, "0-01jd", 'e', j->body, j->profiles[i % 3], j->category, &out))
        fail(out.why);
    j->bytes += out.bytes->len;
    rendered_delivery_clear(&out);
}

static void templates_alone(struct job *j, int i)
{
    struct template *t = library_find(j->service->library, "order");
    struct render_request request = { .channel = "email",
                                      .locale = locales[i % 3],
                                      .context = json_object_get(j->body, "data"),
                                      .arg = (void *)j->service->default_zone,
                                      .offset = render_offset,
                                      .instant = instant_parse };
    struct rendered out;
    if (!template_render(t, &request, &out))
        fail(out.why);
    rendered_clear(&out);
}

/* The best of ten slices: what disturbs a slice is not ours. */
static double ns_each(struct job *j, void (*one)(struct job *, int), int n)
{
    double best = 0;

    for (int i = 0; i < n / 10; i++)
        one(j, i);
    j->bytes = 0;
    for (int slice = 0; slice < 10; slice++) {
        double begin = now_ns();
        for (int i = 0; i < n / 10; i++)
            one(j, i);
        double ns = (now_ns() - begin) / (n / 10);
        best = best == 0 || ns < best ? ns : best;
    }
    return best;
}

int main(int argc, char **argv)
{
    char *why = NULL;
    int n = argc == 4 ? atoi(argv[3]) : 0;
    struct job j = { .service = n > 0 ? service_open(NULL, argv[1], &render_hooks, true, &why) : NULL };

    if (!j.service)
        fail(why ? why : "usage: bench_render CONFIG DATA.json MAILS");
    j.body = json_pack("{s:s, s:s, s:o}", "template", "order", "recipient", "cus_1", "data",
                       json_load_file(argv[2], 0, NULL));
    for (int i = 0; i < 3; i++)
        j.profiles[i] = json_pack("{s:s, s:s, s:s, s:{s:s}}", "id", "cus_1", "email", "ada@example.com", "locale",
                                  locales[i], "attributes", "name", "Ada Lovelace");
    j.category = policy_category(j.service->policy, "account");
    double whole = ns_each(&j, whole_mail, n);
    size_t bytes = j.bytes / (size_t)n;
    j.category = policy_category(j.service->policy, "onboarding");
    double linked = ns_each(&j, whole_mail, n);
    printf("{\"what\":\"tidings\",\"mails\":%d,\"ns_per_mail\":%.0f,\"ns_with_links\":%.0f,\"ns_templates\":%.0f,"
           "\"bytes\":%zu}\n",
           n, whole, linked, ns_each(&j, templates_alone, n), bytes);
    return 0;
}
