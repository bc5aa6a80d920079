/*
 * What Redis pays for an admission: the last gate of a message (suppression of
 * its address, consent, four caps over a history of ten sends), 64 to a
 * batch, as the worker asks it, for more and more recipients.
 *
 *     bench_admit RECIPIENTS…          (tests/bench/admit builds and runs it)
 *
 * A private Redis is filled with the people, their histories and claimed
 * messages; then the batches run.  One JSON line for each number of recipients:
 * microseconds of the server's main thread a message (everything: reading the
 * command, the scripts, the suppression lookups, the answer), how much of it is
 * the script, and the same where an account's cap is asked behind it.
 */
#include <errno.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dispatcher/content/render.h"
#include "dispatcher/base/clock.h"
#include "dispatcher/service.h"
#include "dispatcher/store/pipeline.h"
#include "dispatcher/store/shortcut.h"
#include "dispatcher/store/suppressions.h"

#define BATCH    64
#define BATCHES  100
#define MESSAGES (BATCH * BATCHES)
#define ROUNDS   12
#define SENDS    10
#define ACCOUNT  10 /* people */
#define SPREAD   UINT64_C(2654435761)

static const char config_text[] = "data_dir: %s\n"
                                  "redis: { partitions: 1 }\n"
                                  "categories: { news: { kind: marketing } }\n"
                                  "caps:\n"
                                  "  - { name: day,   max: 1000, per: 1 calendar day, over: defer }\n"
                                  "  - { name: week,  max: 1000, per: 7d, over: drop, keep: { high: 1 } }\n"
                                  "  - { name: mail,  max: 1000, per: 30d, channels: [email], over: next_channel }\n"
                                  "  - { name: shop,  max: 1000, per: 36h, sources: [shop], over: drop }\n"
                                  "  - { name: firm,  max: 1000, per: 7d, scope: account }\n";

/* The people: a grant, and SENDS sends over four weeks each; and one claimed message for each of the first MESSAGES. */
static const char fill_text[] = "local P, from, to, now, sends = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), "
                                "tonumber(ARGV[3]), tonumber(ARGV[4]) "
                                "for i = from, to do "
                                "  local rid = 'r'..i "
                                "  redis.call('HSET', P..'c:'..rid, 'news|*', 'g:1:1') "
                                "  for k = 1, sends do "
                                "    local mid = string.format('00%020d', i * 100 + k) "
                                "    redis.call('ZADD', P..'h:'..rid, now - k * 240000000, mid..'e|m|1|news|shop') "
                                "  end "
                                "end return 1";
/* A mail that is claimed (wire/state.h), of a recipient. */
#define CLAIMED                                                                                                        \
    "%s\x1fnews\x1fm\x1f\x31\x1f\x30\x1f\x61\x1f\x65\x1f\x31\x1f\x1f\x1f\x31\x1f\x31\x1f\x1fshop\x1f\x1f\n"            \
    "s\x1f\x30\x1f\x31\x1f\x1f\x31\x1f\x1f\x1f\x1f\x1f\x1f\x1f\x1f\x1f\n\n"
/* Claimed messages, and nothing left of what the last round reserved for them. */
static const char claim_text[] =
    "local P, people, step = KEYS[1], tonumber(ARGV[2]), 2654435761 "
    "for i = 0, tonumber(ARGV[1]) - 1 do "
    "  local mid, who = string.format('01%020d', i), (i * step) % people "
    "  redis.call('SET', P..'s:'..mid, string.format(ARGV[3], 'r'..string.format('%d', who))) "
    "  redis.call('ZREM', P..'h:r'..string.format('%d', who), mid..'e|m|1|news|shop') "
    "  redis.call('DEL', P..'ah:firm'..string.format('%d', math.floor(who / 10))) "
    "end return 1";

static struct service service;

static void fail(const char *why)
{
    fprintf(stderr, "bench_admit: %s\n", why);
    exit(1);
}

/* ---------------------------------------------------------------- one question at a time */

static bool answered;
static double used_us, script_us;

static void on_answer(void *arg, const redisReply *reply)
{
    if (!reply || reply->type == REDIS_REPLY_ERROR)
        fail(reply ? reply->str : "Redis is gone");
    answered = true;
}

static void wait_for_answer(void)
{
    while (!answered)
        ev_run(service.loop, EVRUN_ONCE);
    answered = false;
}

static void eval(const char *text, const char *const *args, int count)
{
    const char *words[10] = { "EVAL", text, "1", "tidings:{0}:" };

    for (int i = 0; i < count; i++)
        words[4 + i] = args[i];
    store_command(service.store, on_answer, NULL, 4 + count, words);
    wait_for_answer();
}

static double number_behind(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    return at ? g_ascii_strtod(at + strlen(name), NULL) : 0;
}

static void on_cpu(void *arg, const redisReply *reply)
{
    used_us = 1e6 * (number_behind(reply->str, "used_cpu_sys_main_thread:") +
                     number_behind(reply->str, "used_cpu_user_main_thread:"));
    on_answer(arg, reply);
}

static void on_stats(void *arg, const redisReply *reply)
{
    const char *row = strstr(reply->str, "cmdstat_evalsha:");
    script_us = row ? number_behind(row, "usec=") : 0;
    on_answer(arg, reply);
}

static void read_costs(double *cpu, double *script)
{
    store_command(service.store, on_cpu, NULL, 2, (const char *[]){ "INFO", "cpu" });
    wait_for_answer();
    store_command(service.store, on_stats, NULL, 2, (const char *[]){ "INFO", "commandstats" });
    wait_for_answer();
    *cpu = used_us;
    *script = script_us;
}

/* ---------------------------------------------------------------- filling */

static void fill(int from, int to, int64_t now)
{
    char texts[4][24];

    for (int i = from; i < to; i += 1000) {
        g_snprintf(texts[0], sizeof *texts, "%d", i);
        g_snprintf(texts[1], sizeof *texts, "%d", MIN(i + 1000, to) - 1);
        g_snprintf(texts[2], sizeof *texts, "%" G_GINT64_FORMAT, now);
        g_snprintf(texts[3], sizeof *texts, "%d", SENDS);
        eval(fill_text, (const char *[]){ texts[0], texts[1], texts[2], texts[3] }, 4);
    }
}

static bool rewriting;

static void on_persistence(void *arg, const redisReply *reply)
{
    rewriting = !strstr(reply->str, "aof_rewrite_in_progress:0") || !strstr(reply->str, "aof_rewrite_scheduled:0");
    on_answer(arg, reply);
}

/* Filling makes Redis rewrite its append-only file in a child; what that costs is none of the admission's. */
static void wait_for_rewrite(void)
{
    do {
        g_usleep(100000);
        store_command(service.store, on_persistence, NULL, 2, (const char *[]){ "INFO", "persistence" });
        wait_for_answer();
    } while (rewriting);
}

static void claim_all(int recipients)
{
    char count[24], people[24];

    g_snprintf(count, sizeof count, "%d", MESSAGES);
    g_snprintf(people, sizeof people, "%d", recipients);
    eval(claim_text, (const char *[]){ count, people, CLAIMED }, 3);
}

/* ---------------------------------------------------------------- asking */

static int open_answers, admitted;

static void on_batch(void *arg, const redisReply *reply)
{
    struct admitted verdict;

    for (size_t i = 0; i < BATCH; i++) {
        admit_read(reply, i, &verdict);
        admitted += verdict.verdict <= VERDICT_CHANGED;
    }
    open_answers--;
}

static void on_looked(void *arg, const redisReply *reply)
{
    open_answers--;
}

static void add_rules(struct admission *a, bool account)
{
    const struct policy *p = service.policy;
    struct cap_subject subject = { "news", KIND_MARKETING, CHANNEL_EMAIL, LANE_NORMAL, a->source, "", true };

    for (int i = 0; i < p->n_caps; i++) {
        struct admission_rule *r = &a->rules[a->n_rules];
        if (p->caps[i].account != account || !cap_selects(&p->caps[i], &subject))
            continue;
        cap_window(&p->caps[i], zone_open("Europe/Berlin"), clock_now(), &r->since, &r->next);
        r->rule = i;
        r->window = p->caps[i].per.ms;
        r->max = cap_room(&p->caps[i], LANE_NORMAL);
        a->n_rules++;
    }
}

static void add_one(struct batch *batch, struct batch *looks, int i, int recipients, bool account)
{
    char message[MESSAGE_ID_SIZE], recipient[24], firm[24], address[48];
    /* spread over all people, so that no part of the data is warm by accident */
    unsigned who = (unsigned)((guint64)i * SPREAD % (unsigned)recipients);
    struct admission a = { .message = message,
                           .recipient = recipient,
                           .category = "news",
                           .account = account ? firm : "",
                           .role = "",
                           .source = "shop",
                           .letter = 'e',
                           .kind = 'm',
                           .lane = LANE_NORMAL,
                           .fence = 1,
                           .consent = CONSENT_OPT_IN };

    g_snprintf(message, sizeof message, "01%020d", i);
    g_snprintf(recipient, sizeof recipient, "r%u", who);
    g_snprintf(firm, sizeof firm, "firm%u", who / ACCOUNT);
    g_snprintf(address, sizeof address, "r%u@example.com", who);
    add_rules(&a, account);
    if (account) {
        account_add(batch, &a);
        return;
    }
    a.account = "";
    g_autofree char *state = g_strdup_printf(CLAIMED, recipient), *next = shortcut_admitted(state, 'e', 0);
    a.state = state;
    a.next = next;
    admit_add(batch, &a);
    suppressed_add(looks, service.store, address);
}

/* Microseconds a message. */
static void ask_all(int recipients, bool account, double *cpu, double *script)
{
    double cpu_before, script_before;

    read_costs(&cpu_before, &script_before);
    admitted = 0;
    for (int b = 0; b < BATCHES; b++) {
        struct batch *batch = account ? account_batch(service.policy) : admit_batch(service.policy),
                     *looks = account ? NULL : suppressed_batch();
        for (int i = 0; i < BATCH; i++)
            add_one(batch, looks, b * BATCH + i, recipients, account);
        if (looks) {
            open_answers++;
            batch_run(service.store, 0, looks, on_looked, NULL);
        }
        open_answers++;
        batch_run(service.store, 0, batch, on_batch, NULL);
        while (open_answers)
            ev_run(service.loop, EVRUN_ONCE);
    }
    if (admitted != MESSAGES)
        fail("not all were admitted");
    read_costs(cpu, script);
    *cpu = (*cpu - cpu_before) / MESSAGES;
    *script = (*script - script_before) / MESSAGES;
}

/* The best of several rounds: whatever else the machine does only adds. */
static void measure(int recipients)
{
    double best[4] = { 1e9, 1e9, 1e9, 1e9 }, now[4];

    for (int round = 0; round < ROUNDS; round++) {
        claim_all(recipients);
        wait_for_rewrite();
        ask_all(recipients, false, &now[0], &now[1]);
        ask_all(recipients, true, &now[2], &now[3]);
        for (int i = 0; i < 4; i++)
            best[i] = MIN(best[i], now[i]);
    }
    printf("{\"recipients\": %d, \"us_admit\": %.1f, \"us_script\": %.1f, \"us_account\": %.1f, "
           "\"us_account_script\": %.1f}\n",
           recipients, best[0], best[1], best[2], best[3]);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    g_autofree char *dir = g_dir_make_tmp("tidings-bench-XXXXXX", NULL),
                    *file = g_build_filename(dir, "tidings.yaml", NULL);
    g_autofree char *text = g_strdup_printf(config_text, dir);
    char *why = NULL;
    int filled = 0;

    if (!g_file_set_contents(file, text, -1, NULL))
        fail(g_strerror(errno));
    struct service *opened = service_open(ev_default_loop(0), file, &render_hooks, false, &why);
    if (!opened || !service_connect(opened, 0, 20, &why))
        fail(why);
    service = *opened;
    for (int i = 1; i < argc; i++) {
        int recipients = atoi(argv[i]);
        fill(filled, recipients, clock_now());
        filled = MAX(filled, recipients);
        measure(recipients);
    }
    service_close(opened);
    return 0;
}
